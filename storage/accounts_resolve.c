/* SPDX-License-Identifier: ISC */
/* Look-ups of the running server: who gets mail for an address, who logs in, which key signs. The
 * order is exact account, exact alias, plus form of either, catch-all, postmaster; aliases are
 * walked with an end in sight. Nothing is changed here.
 */
#include "libsmtp/core/span.h"
#include "storage/accounts_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VISITED_MAX = 1000 };

/* ---- Addresses ---- */

static void fold(char *text)
{
	for (; *text; text++)
		*text = (char)smtp_ascii_lower((uint8_t)*text);
}

void accounts_fold_local_part(struct smtp_mailbox *mailbox)
{
	fold(mailbox->local_part);
}

int accounts_address(struct smtp_accounts *a, const char *text, struct smtp_mailbox *out)
{
	if (!text || smtp_mailbox_parse(out, smtp_span_of(text), 0) != 0)
		return accounts_problem(a, SMTP_EINVAL, "'%.200s' is no address",
					text ? text : "");
	fold(out->domain);
	return 0;
}

int accounts_domain(struct smtp_accounts *a, const char *name, struct accounts_domain *out)
{
	char folded[SMTP_DOMAIN_MAX + 1] = "";
	sqlite3_stmt *stmt;
	int err;

	if (name && smtp_span_copy(smtp_span_of(name), folded, sizeof folded) != 0)
		return SMTP_ENOTFOUND;
	fold(folded);
	err = *folded ? accounts_look_up(a, &stmt, ACCOUNTS_DOMAIN, "t", folded)
		      : accounts_look_up(a, &stmt, ACCOUNTS_PRIMARY, "");
	if (!err)
		err = accounts_step(a, stmt);
	if (err > 0) {
		out->id = sqlite3_column_int64(stmt, 0);
		out->is_primary = sqlite3_column_int(stmt, 1) != 0;
		(void)snprintf(out->name, sizeof out->name, "%s", accounts_column(stmt, 2));
		(void)snprintf(out->catch_all, sizeof out->catch_all, "%s",
			       accounts_column(stmt, 3));
	} else if (!err) {
		err = accounts_problem(a, SMTP_ENOTFOUND, "no domain %s here",
				       *folded ? folded : "at all");
	}
	accounts_end(a, stmt);
	return err > 0 ? 0 : err;
}

int accounts_hosted(struct smtp_accounts *a, const char *text, struct smtp_mailbox *mailbox,
		    struct accounts_domain *domain)
{
	int err = accounts_address(a, text, mailbox);

	if (!err)
		err = accounts_domain(a, mailbox->domain, domain);
	if (!err)
		accounts_fold_local_part(mailbox);
	return err;
}

int accounts_target(struct smtp_accounts *a, const char *text, char out[SMTP_MAILBOX_TEXT_MAX + 1])
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	int err = accounts_address(a, text, &mailbox);

	if (err)
		return err;
	err = accounts_domain(a, mailbox.domain, &domain);
	if (err && err != SMTP_ENOTFOUND)
		return err;
	if (!err)
		accounts_fold_local_part(&mailbox);
	(void)smtp_mailbox_format(&mailbox, out, SMTP_MAILBOX_TEXT_MAX + 1);
	return 0;
}

/* ---- The walk over aliases ---- */

struct addresses {
	char (*list)[SMTP_MAILBOX_TEXT_MAX + 1];
	size_t count, cap;
};

struct walk {
	struct smtp_accounts *accounts;
	struct addresses targets;
	struct addresses visited; /* aliases, and "@domain" for its catch-all: none is taken twice */
	bool too_deep;
	bool met_disabled;
};

static int append(struct addresses *a, const char *text, size_t max)
{
	size_t cap = a->cap ? 2 * a->cap : 4;
	void *more;

	if (a->count >= max)
		return SMTP_ETOOLONG;
	if (a->count == a->cap) {
		more = realloc(a->list, cap * sizeof *a->list);
		if (!more)
			return SMTP_ENOMEM;
		a->list = more;
		a->cap = cap;
	}
	(void)snprintf(a->list[a->count++], sizeof *a->list, "%s", text);
	return 0;
}

/* Once only; *added says whether it is new. */
static int add(struct addresses *a, const char *text, size_t max, bool *added)
{
	*added = false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i], text) == 0)
			return 0;
	*added = true;
	return append(a, text, max);
}

static int add_mailbox(struct addresses *a, const struct smtp_mailbox *mailbox, size_t max,
		       bool *added)
{
	char text[SMTP_MAILBOX_TEXT_MAX + 1];

	(void)smtp_mailbox_format(mailbox, text, sizeof text);
	return add(a, text, max, added);
}

static int walk_text(struct walk *w, const char *text, int depth);

/* Is there such an account? Then this way ends: 1 if so. */
static int try_account(struct walk *w, const struct accounts_domain *domain,
		       const struct smtp_mailbox *mailbox)
{
	sqlite3_stmt *stmt;
	bool disabled = false, added;
	int err = accounts_look_up(w->accounts, &stmt, ACCOUNTS_ACCOUNT, "it", domain->id,
				   mailbox->local_part);

	if (!err)
		err = accounts_step(w->accounts, stmt);
	if (err > 0)
		disabled = strcmp(accounts_column(stmt, 0), "disabled") == 0;
	accounts_end(w->accounts, stmt);
	if (err <= 0)
		return err;
	w->met_disabled |= disabled;
	err = disabled ? 0 : add_mailbox(&w->targets, mailbox, SMTP_RESOLVE_TARGETS_MAX, &added);
	return err ? err : 1;
}

static int load_targets(struct walk *w, const struct accounts_domain *domain,
			const char *local_part, struct addresses *out)
{
	sqlite3_stmt *stmt;
	int err = accounts_look_up(w->accounts, &stmt, ACCOUNTS_TARGETS, "it", domain->id,
				   local_part);

	while (!err && (err = accounts_step(w->accounts, stmt)) > 0)
		err = append(out, accounts_column(stmt, 0), SMTP_ALIAS_TARGETS_MAX);
	accounts_end(w->accounts, stmt);
	return err;
}

/* Is there such an alias? Its targets are followed, unless it was met before: 1 if there is one. */
static int try_alias(struct walk *w, const struct accounts_domain *domain,
		     const struct smtp_mailbox *mailbox, int depth)
{
	struct addresses targets = { 0 };
	bool added = false, found;
	int err = load_targets(w, domain, mailbox->local_part, &targets);

	found = targets.count > 0;
	if (!err && found)
		err = add_mailbox(&w->visited, mailbox, VISITED_MAX, &added);
	for (size_t i = 0; i < targets.count && !err && added; i++)
		err = walk_text(w, targets.list[i], depth + 1);
	free(targets.list);
	return err ? err : found;
}

static int try_exact(struct walk *w, const struct accounts_domain *domain,
		     const struct smtp_mailbox *mailbox, int depth)
{
	int err = try_account(w, domain, mailbox);

	return err ? err : try_alias(w, domain, mailbox, depth);
}

/* user+anything reaches user. */
static int try_plus(struct walk *w, const struct accounts_domain *domain,
		    const struct smtp_mailbox *mailbox, int depth)
{
	struct smtp_mailbox base = *mailbox;
	char *plus = strchr(base.local_part, '+');

	if (!plus || plus == base.local_part)
		return 0;
	*plus = '\0';
	return try_exact(w, domain, &base, depth);
}

static int try_catch_all(struct walk *w, const struct accounts_domain *domain, int depth)
{
	char mark[SMTP_DOMAIN_MAX + 2];
	bool added;
	int err;

	if (!*domain->catch_all)
		return 0;
	(void)snprintf(mark, sizeof mark, "@%s", domain->name);
	err = add(&w->visited, mark, VISITED_MAX, &added);
	if (!err && added)
		err = walk_text(w, domain->catch_all, depth + 1);
	return err ? err : 1;
}

static int try_first_account(struct walk *w, const struct accounts_domain *domain)
{
	struct smtp_mailbox first = { 0 };
	sqlite3_stmt *stmt;
	int err = accounts_look_up(w->accounts, &stmt, ACCOUNTS_FIRST_ACCOUNT, "i", domain->id);

	if (!err)
		err = accounts_step(w->accounts, stmt);
	if (err > 0) {
		(void)snprintf(first.local_part, sizeof first.local_part, "%s",
			       accounts_column(stmt, 0));
		(void)snprintf(first.domain, sizeof first.domain, "%s", domain->name);
	}
	accounts_end(w->accounts, stmt);
	return err > 0 ? try_account(w, domain, &first) : err;
}

static bool is_postmaster(const struct smtp_mailbox *mailbox)
{
	return strcmp(mailbox->local_part, "postmaster") == 0;
}

/* Every hosted domain has one: the primary domain's. */
static int try_postmaster(struct walk *w, const struct smtp_mailbox *mailbox, int depth)
{
	struct smtp_mailbox postmaster = *mailbox;
	struct accounts_domain primary;
	int err = is_postmaster(mailbox) ? accounts_domain(w->accounts, NULL, &primary) : 1;

	if (err)
		return err > 0 ? 0 : err;
	(void)snprintf(postmaster.domain, sizeof postmaster.domain, "%s", primary.name);
	return try_exact(w, &primary, &postmaster, depth);
}

/* Mail to postmaster always finds somebody (RFC 5321, 4.5.1), also when he is disabled or his alias
 * leads nowhere: the account of the primary domain that has been there longest. */
static int last_resort(struct walk *w)
{
	struct accounts_domain primary;
	int err = accounts_domain(w->accounts, NULL, &primary);

	if (!err)
		err = try_first_account(w, &primary);
	return err > 0 ? 0 : err;
}

static int walk_hosted(struct walk *w, const struct accounts_domain *domain,
		       const struct smtp_mailbox *mailbox, int depth)
{
	int err = try_exact(w, domain, mailbox, depth);

	if (!err)
		err = try_plus(w, domain, mailbox, depth);
	if (!err)
		err = try_catch_all(w, domain, depth);
	if (!err)
		err = try_postmaster(w, mailbox, depth);
	return err < 0 ? err : 0;
}

static int walk_text(struct walk *w, const char *text, int depth)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	bool added;
	int err;

	if (depth > SMTP_ALIAS_DEPTH_MAX) {
		w->too_deep = true;
		return 0;
	}
	if (smtp_mailbox_parse(&mailbox, smtp_span_of(text), 0) != 0)
		return accounts_problem(w->accounts, SMTP_ECORRUPT, "a target is no address");
	err = accounts_domain(w->accounts, mailbox.domain, &domain);
	if (err == SMTP_ENOTFOUND)
		return add(&w->targets, text, SMTP_RESOLVE_TARGETS_MAX, &added);
	if (err)
		return err;
	accounts_fold_local_part(&mailbox);
	(void)snprintf(mailbox.domain, sizeof mailbox.domain, "%s", domain.name);
	return walk_hosted(w, &domain, &mailbox, depth);
}

int smtp_accounts_resolve(struct smtp_accounts *a, const struct smtp_mailbox *address,
			  struct smtp_resolve *out)
{
	struct walk w = { .accounts = a };
	struct smtp_mailbox mailbox = *address;
	struct accounts_domain domain;
	int err = accounts_domain(a, address->domain, &domain);

	smtp_resolve_release(out);
	out->kind = SMTP_RESOLVE_FOREIGN;
	if (err)
		return err == SMTP_ENOTFOUND ? 0 : err;
	accounts_fold_local_part(&mailbox);
	(void)snprintf(mailbox.domain, sizeof mailbox.domain, "%s", domain.name);
	err = walk_hosted(&w, &domain, &mailbox, 0);
	if (!err && w.targets.count == 0 && is_postmaster(&mailbox))
		err = last_resort(&w);
	free(w.visited.list);
	if (err) {
		free(w.targets.list);
		return err;
	}
	out->targets = w.targets.list;
	out->target_count = w.targets.count;
	out->target_cap = w.targets.cap;
	if (w.targets.count > 0)
		out->kind = SMTP_RESOLVE_LOCAL;
	else
		out->kind = w.met_disabled ? SMTP_RESOLVE_DISABLED : SMTP_RESOLVE_UNKNOWN;
	return 0;
}

void smtp_resolve_release(struct smtp_resolve *resolve)
{
	free(resolve->targets);
	memset(resolve, 0, sizeof *resolve);
}

int accounts_loops(struct smtp_accounts *a, const char *target, const struct smtp_mailbox *alias,
		   bool *out)
{
	struct walk w = { .accounts = a };
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	int err = walk_text(&w, target, 1);

	(void)smtp_mailbox_format(alias, text, sizeof text);
	*out = w.too_deep;
	for (size_t i = 0; i < w.visited.count; i++)
		*out |= strcmp(w.visited.list[i], text) == 0;
	free(w.visited.list);
	free(w.targets.list);
	return err;
}

int smtp_accounts_reaches(struct smtp_accounts *a, const struct smtp_mailbox *address,
			  const char *account, bool *out)
{
	struct smtp_resolve resolve = { 0 };
	char text[SMTP_MAILBOX_TEXT_MAX + 1];
	int err = accounts_target(a, account, text);

	*out = false;
	if (!err)
		err = smtp_accounts_resolve(a, address, &resolve);
	for (size_t i = 0; i < resolve.target_count && !err; i++)
		*out |= strcmp(resolve.targets[i], text) == 0;
	smtp_resolve_release(&resolve);
	return err;
}

int smtp_accounts_domain_is_hosted(struct smtp_accounts *a, const char *domain, bool *out)
{
	struct accounts_domain found;
	int err = domain && *domain ? accounts_domain(a, domain, &found) : SMTP_ENOTFOUND;

	*out = !err;
	return err == SMTP_ENOTFOUND ? 0 : err;
}

/* ---- Logins and keys ---- */

int smtp_accounts_login(struct smtp_accounts *a, struct smtp_span name, struct smtp_login *out)
{
	struct accounts_domain domain;
	struct smtp_mailbox mailbox;
	sqlite3_stmt *stmt;
	int err;

	if (smtp_mailbox_parse(&mailbox, name, 0) != 0)
		return SMTP_ENOTFOUND;
	if ((err = accounts_domain(a, mailbox.domain, &domain)))
		return err;
	accounts_fold_local_part(&mailbox);
	(void)snprintf(mailbox.domain, sizeof mailbox.domain, "%s", domain.name);
	err = accounts_look_up(a, &stmt, ACCOUNTS_ACCOUNT, "it", domain.id, mailbox.local_part);
	if (!err)
		err = accounts_step(a, stmt);
	if (err > 0) {
		(void)smtp_mailbox_format(&mailbox, out->account, sizeof out->account);
		out->disabled = strcmp(accounts_column(stmt, 0), "active") != 0;
		(void)snprintf(out->password_hash, sizeof out->password_hash, "%s",
			       accounts_column(stmt, 1));
	} else if (!err) {
		err = SMTP_ENOTFOUND;
	}
	accounts_end(a, stmt);
	return err > 0 ? 0 : err;
}

static int copy_key(sqlite3_stmt *stmt, const char *domain, struct smtp_dkim_key *out)
{
	(void)snprintf(out->domain, sizeof out->domain, "%s", domain);
	(void)snprintf(out->selector, sizeof out->selector, "%s", accounts_column(stmt, 0));
	(void)snprintf(out->algorithm, sizeof out->algorithm, "%s", accounts_column(stmt, 1));
	out->active = true;
	out->private_pem = strdup(accounts_column(stmt, 2));
	out->public_base64 = strdup(accounts_column(stmt, 3));
	if (out->private_pem && out->public_base64)
		return 0;
	smtp_dkim_key_release(out);
	return SMTP_ENOMEM;
}

int smtp_accounts_dkim_key(struct smtp_accounts *a, const char *domain, struct smtp_dkim_key *out)
{
	struct accounts_domain found;
	sqlite3_stmt *stmt;
	int err = domain && *domain ? accounts_domain(a, domain, &found) : SMTP_ENOTFOUND;

	if (err)
		return err;
	err = accounts_look_up(a, &stmt, ACCOUNTS_DKIM_KEY, "i", found.id);
	if (!err)
		err = accounts_step(a, stmt);
	if (err > 0)
		err = copy_key(stmt, found.name, out);
	else if (!err)
		err = SMTP_ENOTFOUND;
	accounts_end(a, stmt);
	return err;
}

void smtp_dkim_key_release(struct smtp_dkim_key *key)
{
	if (key->private_pem)
		sodium_memzero(key->private_pem, strlen(key->private_pem));
	free(key->private_pem);
	free(key->public_base64);
	key->private_pem = key->public_base64 = NULL;
}
