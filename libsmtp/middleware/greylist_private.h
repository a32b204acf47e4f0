/* SPDX-License-Identifier: ISC */
/* greylist_private.h - what greylist.c and greylist_file.c share. */
#ifndef SMTP_MIDDLEWARE_GREYLIST_PRIVATE_H
#define SMTP_MIDDLEWARE_GREYLIST_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { GREYLIST_ID = 16, GREYLIST_KEY = 32, GREYLIST_WAYS = 8, GREYLIST_SAVE_S = 300 };

struct greylist_entry {
	uint8_t id[GREYLIST_ID];
	uint32_t first_s; /* since 1970 */
	uint32_t last_s;  /* 0: empty */
};

struct greylist {
	pthread_mutex_t lock;
	bool has_lock;
	bool loaded; /* so that a failed beginning writes nothing */
	uint8_t key[GREYLIST_KEY]; /* of the hash; kept with the entries */
	uint32_t delay_s, keep_s;
	uint32_t sets;
	uint32_t saved_s;
	struct greylist_entry *entries;
	char *file; /* NULL: none */
};

struct greylist_entry *greylist_set_of(struct greylist *, const uint8_t id[GREYLIST_ID]);
/** Replaces the file. What can't be written is lost: the list begins anew after the next start. */
void greylist_save(const struct greylist *);
/** Fills the table from the file; one that is not there or is damaged leaves it empty. */
void greylist_load(struct greylist *);

#endif
