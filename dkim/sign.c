/* SPDX-License-Identifier: ISC */
/* Signing through libopendkim: relaxed/relaxed, rsa-sha256, whole body, oversigned. The guards that
 * library needs are here and in message.c; keys are made in keys.c. A handle of the library is
 * made for each call (it costs microseconds), so nothing is shared between threads.
 */
#include "dkim/message.h"

#include "libsmtp/core/span.h"

#include <smtp/address.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <opendkim/dkim.h>

/* Signed when they are there. */
static const u_char *const signed_fields[] = {
	(const u_char *)"From",
	(const u_char *)"Sender",
	(const u_char *)"Reply-To",
	(const u_char *)"To",
	(const u_char *)"Cc",
	(const u_char *)"Subject",
	(const u_char *)"Date",
	(const u_char *)"Message-ID",
	(const u_char *)"In-Reply-To",
	(const u_char *)"References",
	(const u_char *)"MIME-Version",
	(const u_char *)"Content-Type",
	(const u_char *)"Content-Transfer-Encoding",
	(const u_char *)"Content-Disposition",
	(const u_char *)"Content-Description",
	(const u_char *)"Content-ID",
	(const u_char *)"List-Id",
	(const u_char *)"List-Unsubscribe",
	(const u_char *)"List-Unsubscribe-Post",
	(const u_char *)"Auto-Submitted",
	NULL,
};

/* Signed once more than they are there: nobody can add another on the way. */
static const u_char *const oversigned_fields[] = {
	(const u_char *)"From",
	(const u_char *)"Reply-To",
	(const u_char *)"To",
	(const u_char *)"Cc",
	(const u_char *)"Subject",
	(const u_char *)"Date",
	(const u_char *)"Message-ID",
	(const u_char *)"MIME-Version",
	(const u_char *)"Content-Type",
	(const u_char *)"Content-Transfer-Encoding",
	NULL,
};

static int error_of(DKIM_STAT status)
{
	switch (status) {
	case DKIM_STAT_OK:
		return 0;
	case DKIM_STAT_SYNTAX:
		return SMTP_ESYNTAX;
	case DKIM_STAT_NORESOURCE:
		return SMTP_ENOMEM;
	default:
		return SMTP_EINVAL; /* what is left is the key */
	}
}

/* The library reads what it is given here, though its type says that it might write. */
static int set_option(DKIM_LIB *lib, dkim_opts_t option, const void *value, size_t n)
{
	return error_of(dkim_options(lib, DKIM_OP_SETOPT, option, (void *)(uintptr_t)value, n));
}

static int configure(DKIM_LIB *lib, int64_t time_s)
{
	const unsigned int flags = DKIM_LIBFLAGS_NONE; /* no files, no repairs, no l= */
	const uint64_t fixed_time = (uint64_t)time_s;
	const u_char *const *names = signed_fields, *const *over = oversigned_fields;
	int err;

	if ((err = set_option(lib, DKIM_OPTS_FLAGS, &flags, sizeof flags)) ||
	    (err = set_option(lib, DKIM_OPTS_FIXEDTIME, &fixed_time, sizeof fixed_time)) ||
	    (err = set_option(lib, DKIM_OPTS_SIGNHDRS, names, sizeof names)))
		return err;
	return set_option(lib, DKIM_OPTS_OVERSIGNHDRS, over, sizeof over);
}

static int give_field(struct smtp_span field, void *dkim)
{
	return error_of(dkim_header(dkim, (u_char *)(uintptr_t)field.p, field.n));
}

static int give_body(struct smtp_span piece, void *dkim)
{
	return error_of(dkim_body(dkim, (u_char *)(uintptr_t)piece.p, piece.n));
}

/* Never signed, never sent: with a field of a name that is in no list before the message's own,
 * the library can't step past the array of fields when it selects them. */
static int give_guard_field(DKIM *dkim)
{
	char field[48];
	uint64_t chance;
	int n;

	if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
		return SMTP_EIO;
	n = snprintf(field, sizeof field, "X-Guard-%016" PRIx64 ": 1", chance);
	return give_field(smtp_span_make(field, (size_t)n), dkim);
}

/* The value comes folded; whatever its line ends are, ours are CRLF. */
static int format_field(struct smtp_span value, char **out)
{
	struct smtp_buf buf;
	int err;

	smtp_buf_init(&buf, 65536);
	err = smtp_buf_append_text(&buf, DKIM_SIGNHEADER ": ");
	for (size_t i = 0; i < value.n && !err; i++) {
		if (value.p[i] == '\n')
			err = smtp_buf_append(&buf, "\r\n", 2);
		else if (value.p[i] != '\r')
			err = smtp_buf_append(&buf, value.p + i, 1);
	}
	if (!err)
		err = smtp_buf_append(&buf, "\r\n", sizeof "\r\n");
	if (err)
		smtp_buf_release(&buf);
	else
		*out = (char *)buf.p;
	return err;
}

/* Here the library first looks at the key, and says NORESOURCE for one it can't read. */
static int get_signature(DKIM *dkim, char **out)
{
	u_char *value;
	size_t n;

	if (dkim_eom(dkim, NULL) != DKIM_STAT_OK)
		return SMTP_EINVAL;
	if (dkim_getsighdr_d(dkim, sizeof DKIM_SIGNHEADER ": " - 1, &value, &n) != DKIM_STAT_OK)
		return SMTP_ENOMEM;
	return format_field(smtp_span_make(value, n), out);
}

static int sign_message(DKIM *dkim, const struct dkim_message *m, char **out)
{
	int err = give_guard_field(dkim);

	if (!err)
		err = dkim_message_fields(m, give_field, dkim);
	if (!err)
		err = error_of(dkim_eoh(dkim));
	if (!err)
		err = dkim_message_body(m, give_body, dkim);
	return err ? err : get_signature(dkim, out);
}

static int sign_with(DKIM_LIB *lib, const struct smtp_dkim_signing *s, const struct dkim_message *m,
		     char **out)
{
	DKIM_STAT status = DKIM_STAT_OK;
	DKIM *dkim;
	int err = configure(lib, s->time_s);

	if (err)
		return err;
	dkim = dkim_sign(lib, (const u_char *)"", NULL,
			 (dkim_sigkey_t)(uintptr_t)s->private_pem, (const u_char *)s->selector,
			 (const u_char *)s->domain, DKIM_CANON_RELAXED, DKIM_CANON_RELAXED,
			 DKIM_SIGN_RSASHA256, -1, &status);
	if (!dkim)
		return status == DKIM_STAT_OK ? SMTP_ENOMEM : error_of(status);
	err = sign_message(dkim, m, out);
	(void)dkim_free(dkim); /* fails only for NULL */
	return err;
}

/* Domain and selector become part of a header field. */
static bool names_are_valid(const struct smtp_dkim_signing *s)
{
	return s->domain && s->selector && s->private_pem && *s->private_pem && s->time_s >= 0 &&
	       smtp_domain_is_valid(smtp_span_of(s->domain)) &&
	       smtp_domain_is_valid(smtp_span_of(s->selector));
}

int smtp_dkim_sign(const struct smtp_dkim_signing *signing, char **out)
{
	struct dkim_message message;
	DKIM_LIB *lib;
	int err;

	if (!names_are_valid(signing))
		return SMTP_EINVAL;
	err = dkim_message_open(&message, signing->fd, signing->content_bytes,
				signing->added_fields);
	if (err)
		return err;
	lib = dkim_init(NULL, NULL);
	err = lib ? sign_with(lib, signing, &message, out) : SMTP_ENOMEM;
	if (lib)
		dkim_close(lib);
	dkim_message_close(&message);
	return err;
}
