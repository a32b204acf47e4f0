/* SPDX-License-Identifier: ISC */
/* dnsbl.c - DNS block lists (RFC 5782): asks each zone for the peer, and refuses with the text of the first
 * that lists it. How a name is looked up is the application's or dnsbl_lookup.c.
 */
#include "libsmtp/middleware/dnsbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/span.h"
#include "libsmtp/core/syntax.h"
#include "libsmtp/middleware/middleware_private.h"

struct dnsbl {
	char **zones;
	size_t count;
	char *server;
	int (*lookup)(void *user, const char *name, struct smtp_dnsbl_listing *out);
	void *user;
};

/* What is known of a session's peer: asked once, also when nobody lists it. XCLIENT may change the peer. */
struct verdict {
	char address[SMTP_ADDRESS_TEXT_MAX];
	bool listed;
	char text[SMTP_DNSBL_TEXT_MAX];
};

/* --- names ------------------------------------------------------------------------------------ */

void dnsbl_name(const struct smtp_network *peer, const char *zone, char out[DNSBL_NAME_MAX])
{
	const uint8_t *o = peer->octets;
	size_t n = 0;

	if (smtp_network_is_ipv4(peer)) {
		(void)snprintf(out, DNSBL_NAME_MAX, "%u.%u.%u.%u.%s", o[15], o[14], o[13], o[12],
			       zone);
		return;
	}
	for (unsigned i = 16; i-- > 0;)
		n += (size_t)snprintf(out + n, DNSBL_NAME_MAX - n, "%x.%x.", o[i] & 15u, o[i] >> 4);
	(void)snprintf(out + n, DNSBL_NAME_MAX - n, "%s", zone);
}

/* RFC 5782, 2.1. Behind 127.255.255 lists say that they were asked in a way they do not like, and what is
 * outside of 127 is an answer of somebody else, such as a provider that answers every name. */
bool dnsbl_is_listing(const uint8_t address[4])
{
	return address[0] == 127 && !(address[1] == 255 && address[2] == 255);
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool is_listed(const struct dnsbl *bl, const struct smtp_network *peer, const char *zone,
		      struct smtp_dnsbl_listing *listing)
{
	char name[DNSBL_NAME_MAX];

	memset(listing, 0, sizeof *listing);
	dnsbl_name(peer, zone, name);
	return bl->lookup(bl->user, name, listing) == 0 && dnsbl_is_listing(listing->address);
}

static void ask(const struct dnsbl *bl, const char *address, struct verdict *verdict)
{
	struct smtp_dnsbl_listing listing;
	struct smtp_network peer;

	(void)snprintf(verdict->address, sizeof verdict->address, "%s", address);
	verdict->listed = false;
	if (smtp_network_parse(&peer, address) != 0)
		return;
	for (size_t i = 0; i < bl->count && !verdict->listed; i++) {
		if (!is_listed(bl, &peer, bl->zones[i], &listing))
			continue;
		verdict->listed = true;
		listing.text[sizeof listing.text - 1] = '\0';
		smtp_text_make_safe((uint8_t *)listing.text, strlen(listing.text));
		(void)snprintf(verdict->text, sizeof verdict->text, "%s is listed by %s%s%s",
			       address, bl->zones[i], listing.text[0] ? ": " : "", listing.text);
	}
}

static const struct smtp_server_session_handler handler;

static enum smtp_verdict on_rcpt(struct smtp_server_session *session,
				 const struct smtp_rcpt_request *request, void *user)
{
	void **slot = smtp_server_session_slot(session, &handler);
	const char *address = smtp_server_session_peer_address(session);
	struct verdict *verdict = slot ? *slot : NULL;

	if (smtp_server_session_account(session) ||
	    smtp_path_is_bare_postmaster(request->forward_path) ||
	    smtp_span_is_nocase(smtp_span_of(request->forward_path->mailbox.local_part),
				"postmaster"))
		return SMTP_NEXT;
	if (!verdict && slot)
		*slot = verdict = calloc(1, sizeof *verdict);
	if (!verdict)
		return middleware_refuse(session, 451, "4.3.0", "out of memory, try again later");
	if (strcmp(verdict->address, address) != 0)
		ask(user, address, verdict);
	return verdict->listed ? middleware_refuse(session, 554, "5.7.1", verdict->text) : SMTP_NEXT;
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
	.rcpt = on_rcpt,
	.disconnect = on_disconnect,
};

/* --- life ------------------------------------------------------------------------------------- */

static void release(void *user)
{
	struct dnsbl *bl = user;

	for (size_t i = 0; i < bl->count; i++)
		free(bl->zones[i]);
	free(bl->zones);
	free(bl->server);
	free(bl);
}

/* The longest reversed address must fit before it. */
static bool zone_is_valid(const char *zone)
{
	return strlen(zone) < SMTP_DOMAIN_MAX - 64 && smtp_domain_is_valid(smtp_span_of(zone));
}

static int read_zones(struct dnsbl *bl, const char *const *zones)
{
	size_t count = 0;

	while (zones && zones[count])
		if (!zone_is_valid(zones[count++]))
			return SMTP_EINVAL;
	bl->zones = calloc(count + 1, sizeof *bl->zones);
	if (!bl->zones)
		return SMTP_ENOMEM;
	for (; bl->count < count; bl->count++) {
		bl->zones[bl->count] = middleware_text_copy(zones[bl->count]);
		if (!bl->zones[bl->count])
			return SMTP_ENOMEM;
	}
	return 0;
}

static int fill(struct dnsbl *bl, const struct smtp_dnsbl_options *options)
{
	int err = read_zones(bl, options->zones);

	if (err)
		return err;
	bl->lookup = options->lookup ? options->lookup : dnsbl_lookup;
	bl->user = options->user;
	if (options->lookup)
		return 0;
	bl->user = NULL;
	if (!options->server)
		return 0;
	if (!dnsbl_server_is_valid(options->server))
		return SMTP_EINVAL;
	bl->server = middleware_text_copy(options->server);
	bl->user = bl->server;
	return bl->server ? 0 : SMTP_ENOMEM;
}

void smtp_dnsbl_options_init(struct smtp_dnsbl_options *options)
{
	*options = (struct smtp_dnsbl_options)SMTP_DNSBL_OPTIONS_INIT;
}

int smtp_middleware_dnsbl(struct smtp_middleware *out, const struct smtp_dnsbl_options *given)
{
	struct smtp_dnsbl_options options = SMTP_DNSBL_OPTIONS_INIT;
	struct dnsbl *bl;
	int err;

	if (!out || !given || smtp_sized_copy(&options, sizeof options, given, 0) != 0)
		return SMTP_EINVAL;
	bl = calloc(1, sizeof *bl);
	if (!bl)
		return SMTP_ENOMEM;
	err = fill(bl, &options);
	if (err) {
		release(bl);
		return err;
	}
	middleware_fill(out, "dnsbl", &handler, bl, release);
	out->blocking = true;
	return 0;
}
