/* SPDX-License-Identifier: ISC */
/* URLs: what is taken prints and reads back as the same; what is refused has a reason. */
#include "fuzz/fuzz.h"

#include <smtp/url.h>

#include "libsmtp/core/buf.h"
#include "libsmtp/core/syntax.h"

static const char *prefix_of(enum smtp_url_scheme scheme)
{
	switch (scheme) {
	case SMTP_URL_SMTP:
		return "smtp://";
	case SMTP_URL_SMTPS:
		return "smtps://";
	case SMTP_URL_SMTP_STARTTLS:
		return "smtp+starttls://";
	case SMTP_URL_LMTP_UNIX:
		return "lmtp+unix://";
	case SMTP_URL_LMTP:
		return "lmtp://";
	case SMTP_URL_MX:
		return "mx://";
	}
	abort();
}

static void print_user(struct smtp_buf *out, const char *user)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; user[i] != '\0'; i++) {
		uint8_t c = (uint8_t)user[i];
		const char escape[] = { '%', digits[c >> 4], digits[c & 15] };

		if (smtp_is(c, SMTP_CC_LET_DIG))
			need(smtp_buf_append(out, &c, 1) == 0);
		else
			need(smtp_buf_append(out, escape, 3) == 0);
	}
	need(user[0] == '\0' || smtp_buf_append_text(out, "@") == 0);
}

static void print(struct smtp_buf *out, const struct smtp_url *url)
{
	bool bracket = url->scheme != SMTP_URL_LMTP_UNIX && strchr(url->host, ':');

	need(smtp_buf_append_text(out, prefix_of(url->scheme)) == 0);
	print_user(out, url->user);
	need(smtp_buf_append_text(out, bracket ? "[" : "") == 0);
	need(smtp_buf_append_text(out, url->host) == 0);
	need(smtp_buf_append_text(out, bracket ? "]" : "") == 0);
	if (url->port == 0)
		return;
	need(smtp_buf_append_text(out, ":") == 0);
	need(smtp_buf_append_uint(out, url->port) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_url url, again;
	const char *problem = NULL;
	struct smtp_buf printed;

	if (smtp_url_parse(&url, (struct smtp_span){ data, size }, &problem)) {
		need(problem != NULL);
		return 0;
	}
	need(!problem && url.host[0] != '\0');
	need(!smtp_span_has(smtp_span_of(url.user), SMTP_CC_CONTROL));
	need(!smtp_span_has(smtp_span_of(url.host), SMTP_CC_CONTROL));
	smtp_buf_init(&printed, 2048);
	print(&printed, &url);
	need(smtp_url_parse(&again, smtp_buf_span(&printed), &problem) == 0);
	need(again.scheme == url.scheme && again.port == url.port);
	need(strcmp(again.user, url.user) == 0 && strcmp(again.host, url.host) == 0);
	smtp_buf_release(&printed);
	return 0;
}
