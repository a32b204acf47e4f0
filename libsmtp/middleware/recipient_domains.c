/* SPDX-License-Identifier: ISC */
/* recipient_domains.c - mail is taken for these domains only: what keeps a server from being an open
 * relay. Whether the mailbox exists there is for the handlers behind.
 */
#include <stdlib.h>
#include <string.h>

#include "libsmtp/middleware/domain_name.h"
#include "libsmtp/middleware/middleware_private.h"

struct recipient_domains {
	char **names; /* folded, in order */
	size_t count;
	bool accounts_may_relay;
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const struct recipient_domains *list, const char *name)
{
	return list->count > 0 &&
	       bsearch(&name, list->names, list->count, sizeof *list->names, compare) != NULL;
}

/* The domain itself, or one it is below of: those stand with a dot in front. */
static bool is_in(const struct recipient_domains *list, const char *domain)
{
	if (has(list, domain))
		return true;
	if (domain[0] == '[')
		return false;
	for (const char *dot = strchr(domain, '.'); dot; dot = strchr(dot + 1, '.'))
		if (has(list, dot))
			return true;
	return false;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	const struct recipient_domains *list = user;
	char domain[SMTP_DOMAIN_MAX + 1];
	int err;

	if (smtp_path_is_bare_postmaster(request->forward_path) ||
	    (list->accounts_may_relay && smtp_server_session_account(session)))
		return SMTP_ACCEPT;
	err = domain_name_fold(domain, request->forward_path->mailbox.domain);
	if (err == SMTP_ENOMEM)
		return middleware_refuse(session, 451, "4.3.0", "out of memory, try again later");
	if (err)
		return middleware_refuse(session, 550, "5.1.2", "no such domain can exist");
	if (is_in(list, domain))
		return SMTP_ACCEPT;
	return middleware_refuse(session, 550, "5.7.1", "relaying denied");
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler,
	.rcpt = on_rcpt,
};

static void release(void *user)
{
	struct recipient_domains *list = user;

	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	free(list);
}

/* --- reading the list ------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
	if (name[0] == '[')
		return smtp_address_literal_is_valid(smtp_span_of(name));
	return smtp_domain_is_valid(smtp_span_of(name));
}

static int add(struct recipient_domains *list, const char *text)
{
	bool below = text[0] == '.';
	char name[SMTP_DOMAIN_MAX + 2] = ".";
	int err = domain_name_fold(name + 1, text + below);

	if (err)
		return err;
	if (!name_is_valid(name + 1) || (below && name[1] == '['))
		return SMTP_EINVAL;
	list->names[list->count] = middleware_text_copy(below ? name : name + 1);
	if (!list->names[list->count])
		return SMTP_ENOMEM;
	list->count++;
	return 0;
}

static int read_list(struct recipient_domains *list, const char *const *domains)
{
	size_t count = 0;
	int err = 0;

	while (domains && domains[count])
		count++;
	list->names = calloc(count + 1, sizeof *list->names);
	if (!list->names)
		return SMTP_ENOMEM;
	for (size_t i = 0; !err && i < count; i++)
		err = add(list, domains[i]);
	if (!err)
		qsort(list->names, list->count, sizeof *list->names, compare);
	return err;
}

void smtp_recipient_domains_options_init(struct smtp_recipient_domains_options *options)
{
	*options = (struct smtp_recipient_domains_options)SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
}

int smtp_middleware_recipient_domains(struct smtp_middleware *out,
				      const struct smtp_recipient_domains_options *given)
{
	struct smtp_recipient_domains_options options = SMTP_RECIPIENT_DOMAINS_OPTIONS_INIT;
	struct recipient_domains *list;
	int err;

	if (!out || !given ||
	    smtp_sized_copy(&options, sizeof options, given, 0) != 0)
		return SMTP_EINVAL;
	list = calloc(1, sizeof *list);
	if (!list)
		return SMTP_ENOMEM;
	list->accounts_may_relay = options.accounts_may_relay;
	err = read_list(list, options.domains);
	if (err) {
		release(list);
		return err;
	}
	middleware_fill(out, "recipient_domains", &handler, list, release);
	return 0;
}
