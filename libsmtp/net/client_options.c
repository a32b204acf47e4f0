/* SPDX-License-Identifier: ISC */
/* client_options.c - the options of the blocking client as its own: copied, checked for size, wiped. */
#include "libsmtp/net/client_private.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "libsmtp/core/sized.h"

void smtp_client_options_init(struct smtp_client_options *options)
{
	*options = (struct smtp_client_options)SMTP_CLIENT_OPTIONS_INIT;
}

enum { TEXTS = 11 };

/* Every text of the options. */
static void list_texts(struct smtp_client_options *o, const char **texts[TEXTS])
{
	const char **const all[TEXTS] = {
		&o->helo_name, &o->user, &o->password, &o->token, &o->ca_file, &o->server_name,
		&o->certificate_file, &o->key_file, &o->key_passphrase, &o->pinned_key,
		&o->resolver,
	};

	memcpy(texts, all, sizeof all);
}

int smtp_client_options_copy(struct smtp_client_options *out, const struct smtp_client_options *in)
{
	struct smtp_client_options all;
	const char **texts[TEXTS];
	int err;

	smtp_client_options_init(&all);
	err = in ? smtp_sized_copy(&all, sizeof all, in, 0) : 0;
	if (err)
		return err;
	*out = all;
	list_texts(out, texts);
	for (size_t i = 0; i < TEXTS; i++) {
		const char *text = *texts[i];

		*texts[i] = text ? strdup(text) : NULL;
		if (text && !*texts[i])
			err = SMTP_ENOMEM;
	}
	if (err)
		smtp_client_options_release(out);
	return err;
}

void smtp_client_options_release(struct smtp_client_options *options)
{
	const char **texts[TEXTS];

	list_texts(options, texts);
	for (size_t i = 0; i < TEXTS; i++) {
		char *text = (char *)(uintptr_t)*texts[i];

		if (text)
			sodium_memzero(text, strlen(text));
		free(text);
		*texts[i] = NULL;
	}
}
