/* SPDX-License-Identifier: ISC */
/* connection_check.c - who may connect, by two lists of networks. For other rules there is
 * smtp_middleware_connect().
 */
#include <stdlib.h>
#include <string.h>

#include "libsmtp/middleware/middleware_private.h"
#include <smtp/network.h>

enum { NOWHERE = -1 };

struct network_list {
	struct smtp_network *networks;
	size_t count;
};

struct connection_check {
	struct network_list allow, deny;
	bool has_allow;
	char *text;
};

static int list_read(struct network_list *list, const char *const *texts)
{
	size_t count = 0;
	int err = 0;

	while (texts && texts[count])
		count++;
	if (count == 0)
		return 0;
	list->networks = calloc(count, sizeof *list->networks);
	if (!list->networks)
		return SMTP_ENOMEM;
	for (; !err && list->count < count; list->count++)
		err = smtp_network_parse(&list->networks[list->count], texts[list->count]);
	return err ? SMTP_EINVAL : 0;
}

/* Prefix length of the smallest network that the peer is in, or NOWHERE. */
static int closest(const struct network_list *list, const struct smtp_network *peer)
{
	int bits = NOWHERE;

	for (size_t i = 0; i < list->count; i++)
		if (list->networks[i].bits > bits &&
		    smtp_network_contains(&list->networks[i], peer))
			bits = list->networks[i].bits;
	return bits;
}

static bool is_allowed(const struct connection_check *check, const struct smtp_network *peer)
{
	int allowed = closest(&check->allow, peer);
	int denied = closest(&check->deny, peer);

	if (allowed == NOWHERE && denied == NOWHERE)
		return !check->has_allow;
	return allowed > denied;
}

static enum smtp_verdict on_connect(struct smtp_server_session *session, void *user)
{
	const struct connection_check *check = user;
	const char *address = smtp_server_session_peer_address(session);
	struct smtp_network peer;

	if (smtp_network_parse(&peer, address) != 0 || is_allowed(check, &peer))
		return SMTP_NEXT;
	return middleware_refuse(session, 554, "5.7.1", check->text);
}

static const struct smtp_server_session_handler handler = {
	.size = sizeof handler,
	.connect = on_connect,
};

static void release(void *user)
{
	struct connection_check *check = user;

	free(check->allow.networks);
	free(check->deny.networks);
	free(check->text);
	free(check);
}

void smtp_connection_check_options_init(struct smtp_connection_check_options *options)
{
	*options = (struct smtp_connection_check_options)SMTP_CONNECTION_CHECK_OPTIONS_INIT;
}

static int fill(struct connection_check *check, const struct smtp_connection_check_options *options)
{
	int err = list_read(&check->allow, options->allow);

	if (!err)
		err = list_read(&check->deny, options->deny);
	if (err)
		return err;
	check->has_allow = options->allow != NULL;
	check->text = middleware_text_copy(options->text ? options->text : "no service for your address");
	return check->text ? 0 : SMTP_ENOMEM;
}

int smtp_middleware_connection_check(struct smtp_middleware *out,
				     const struct smtp_connection_check_options *given)
{
	struct smtp_connection_check_options options = SMTP_CONNECTION_CHECK_OPTIONS_INIT;
	struct connection_check *check;
	int err;

	if (!out || !given ||
	    smtp_sized_copy(&options, sizeof options, given, 0) != 0)
		return SMTP_EINVAL;
	check = calloc(1, sizeof *check);
	if (!check)
		return SMTP_ENOMEM;
	err = fill(check, &options);
	if (err) {
		release(check);
		return err;
	}
	middleware_fill(out, "connection_check", &handler, check, release);
	return 0;
}
