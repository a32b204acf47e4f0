/* SPDX-License-Identifier: ISC */
/* greylist.c - who has tried before, in memory that is set aside at the start and, between two runs, in a
 * file. What is kept of a try is a keyed hash and two times, no address. Where the file is concerned, see
 * greylist_file.c.
 */
#include "libsmtp/middleware/greylist.h"

#include <smtp/sasl.h> /* struct smtp_crypto */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "libsmtp/core/span.h"
#include "libsmtp/middleware/greylist_private.h"
#include "libsmtp/middleware/middleware_private.h"

enum { IPV4_BITS = 96 + 24, IPV6_BITS = 64, ENTRIES_MAX = 1 << 24, CLOCK_DISORDER_S = 60 };

/* --- the table -------------------------------------------------------------------------------- */

/* In any case: no sender changes it from one try to the next on purpose. */
static int hash(const struct greylist *g, const struct smtp_network *peer,
		const struct smtp_mailbox *from, const struct smtp_mailbox *to, uint8_t out[32])
{
	const struct smtp_crypto *crypto = smtp_crypto_openssl();
	struct smtp_network network = *peer;
	uint8_t text[16 + 2 * sizeof *from];

	smtp_network_cut(&network, smtp_network_is_ipv4(&network) ? IPV4_BITS : IPV6_BITS);
	memset(text, 0, sizeof text);
	memcpy(text, network.octets, 16);
	(void)snprintf((char *)text + 16, sizeof text - 16, "%s@%s\n%s@%s", from->local_part,
		       from->domain, to->local_part, to->domain);
	for (size_t i = 16; i < sizeof text; i++)
		text[i] = smtp_ascii_lower(text[i]);
	return crypto->hmac_sha256(crypto->user, smtp_span_make(g->key, sizeof g->key),
				   smtp_span_make(text, sizeof text), out);
}

struct greylist_entry *greylist_set_of(struct greylist *g, const uint8_t id[GREYLIST_ID])
{
	uint64_t number;

	memcpy(&number, id, sizeof number);
	return g->entries + number % g->sets * GREYLIST_WAYS;
}

/* Its entry, or the one that was not seen for longest. */
static struct greylist_entry *find(struct greylist *g, const uint8_t id[GREYLIST_ID], bool *found)
{
	struct greylist_entry *set = greylist_set_of(g, id), *oldest = set;

	for (unsigned i = 0; i < GREYLIST_WAYS; i++) {
		*found = set[i].last_s > 0 && memcmp(set[i].id, id, GREYLIST_ID) == 0;
		if (*found)
			return &set[i];
		if (set[i].last_s < oldest->last_s)
			oldest = &set[i];
	}
	return oldest;
}

static bool passes(struct greylist *g, const uint8_t id[GREYLIST_ID], uint32_t now, uint32_t *wait_s)
{
	bool found;
	struct greylist_entry *entry = find(g, id, &found);

	/* Threads may come in another order than they read the clock; one that was set back counts as a
	 * new beginning. */
	if (found && now < entry->last_s && entry->last_s - now <= CLOCK_DISORDER_S)
		now = entry->last_s;
	if (!found || now < entry->last_s || now - entry->last_s > g->keep_s) {
		memcpy(entry->id, id, GREYLIST_ID);
		entry->first_s = now;
	}
	entry->last_s = now;
	if (now - entry->first_s >= g->delay_s)
		return true;
	*wait_s = g->delay_s - (now - entry->first_s);
	return false;
}

bool greylist_passes(struct greylist *g, const struct smtp_network *peer,
		     const struct smtp_mailbox *from, const struct smtp_mailbox *to, int64_t now_s,
		     uint32_t *wait_s)
{
	uint32_t now = now_s < 1 ? 1 : now_s > UINT32_MAX ? UINT32_MAX : (uint32_t)now_s;
	uint8_t id[32];
	bool ok;

	if (hash(g, peer, from, to, id) != 0)
		return true; /* without cryptography there is no list */
	(void)pthread_mutex_lock(&g->lock);
	ok = passes(g, id, now, wait_s);
	if (g->file && (now < g->saved_s || now - g->saved_s >= GREYLIST_SAVE_S)) {
		g->saved_s = now;
		greylist_save(g);
	}
	(void)pthread_mutex_unlock(&g->lock);
	return ok;
}

/* --- life ------------------------------------------------------------------------------------- */

void greylist_free(struct greylist *g)
{
	if (!g)
		return;
	if (g->file && g->loaded)
		greylist_save(g);
	if (g->has_lock)
		(void)pthread_mutex_destroy(&g->lock);
	free(g->entries);
	free(g->file);
	free(g);
}

static int init(struct greylist *g, const struct smtp_greylist_options *options)
{
	g->delay_s = options->delay_s;
	g->keep_s = options->keep_s;
	g->sets = (options->max_entries + GREYLIST_WAYS - 1) / GREYLIST_WAYS;
	if (getrandom(g->key, sizeof g->key, 0) != (ssize_t)sizeof g->key)
		return SMTP_EIO;
	g->entries = calloc((size_t)g->sets * GREYLIST_WAYS, sizeof *g->entries);
	if (!g->entries)
		return SMTP_ENOMEM;
	g->has_lock = pthread_mutex_init(&g->lock, NULL) == 0;
	if (!g->has_lock)
		return SMTP_ENOMEM;
	if (!options->file)
		return 0;
	g->file = middleware_text_copy(options->file);
	return g->file ? 0 : SMTP_ENOMEM;
}

int greylist_new(struct greylist **out, const struct smtp_greylist_options *options)
{
	struct greylist *g = calloc(1, sizeof *g);
	int err = g ? init(g, options) : SMTP_ENOMEM;

	if (err) {
		greylist_free(g);
		return err;
	}
	if (g->file)
		greylist_load(g);
	g->loaded = true;
	*out = g;
	return 0;
}

/* --- the middleware --------------------------------------------------------------------------- */

static const struct smtp_server_session_handler handler;

/* The reverse-path of the transaction, in the slot. */
static enum smtp_verdict on_mail(struct smtp_server_session *session,
				 const struct smtp_mail_request *request, void *user)
{
	void **slot = smtp_server_session_slot(session, &handler);

	(void)user;
	if (slot && !*slot)
		*slot = malloc(sizeof(struct smtp_mailbox));
	if (!slot || !*slot)
		return middleware_refuse(session, 451, "4.3.0", "out of memory, try again later");
	memcpy(*slot, &request->reverse_path->mailbox, sizeof(struct smtp_mailbox));
	return SMTP_NEXT;
}

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	void **slot = smtp_server_session_slot(session, &handler);
	struct smtp_network peer;
	uint32_t wait_s = 0;
	char text[80];

	if (smtp_server_session_account(session) || !slot || !*slot ||
	    smtp_network_parse(&peer, smtp_server_session_peer_address(session)) != 0 ||
	    greylist_passes(user, &peer, *slot, &request->forward_path->mailbox, time(NULL),
			    &wait_s))
		return SMTP_NEXT;
	(void)snprintf(text, sizeof text, "greylisted, try again in %u s", wait_s);
	return middleware_refuse(session, 450, "4.7.1", text);
}

static void on_disconnect(struct smtp_server_session *session, enum smtp_disconnect_reason reason,
			  void *user)
{
	(void)reason;
	(void)user;
	middleware_slot_free(smtp_server_session_slot(session, &handler));
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler,
	.mail = on_mail,
	.rcpt = on_rcpt,
	.disconnect = on_disconnect,
};

static void release(void *user)
{
	greylist_free(user);
}

void smtp_greylist_options_init(struct smtp_greylist_options *options)
{
	*options = (struct smtp_greylist_options)SMTP_GREYLIST_OPTIONS_INIT;
}

int smtp_middleware_greylist(struct smtp_middleware *out, const struct smtp_greylist_options *given)
{
	struct smtp_greylist_options options = SMTP_GREYLIST_OPTIONS_INIT;
	struct greylist *g = NULL;
	int err = given ? smtp_sized_copy(&options, sizeof options, given, 0) : 0;

	if (!err && (!out || options.delay_s == 0 || options.keep_s <= options.delay_s ||
		     options.max_entries == 0 || options.max_entries > ENTRIES_MAX))
		err = SMTP_EINVAL;
	if (!err)
		err = greylist_new(&g, &options);
	if (err)
		return err;
	middleware_fill(out, "greylist", &handler, g, release);
	out->blocking = options.file != NULL;
	return 0;
}
