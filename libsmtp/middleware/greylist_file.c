/* SPDX-License-Identifier: ISC */
/* greylist_file.c - a greylist between two runs: a line that names the format, the key of the hash, then the
 * entries as they lie in memory. It is a cache: whatever is wrong with it, the list begins empty.
 */
#include "libsmtp/middleware/greylist_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_NAME_MAX = 4096 };

static const char format[16] = "smtp greylist 1\n";

static bool write_all(const struct greylist *g, FILE *f)
{
	size_t count = (size_t)g->sets * GREYLIST_WAYS;
	bool ok = fwrite(format, sizeof format, 1, f) == 1 && fwrite(g->key, sizeof g->key, 1, f) == 1;

	for (size_t i = 0; i < count && ok; i++)
		if (g->entries[i].last_s > 0)
			ok = fwrite(&g->entries[i], sizeof *g->entries, 1, f) == 1;
	return ok;
}

/* Not synced: after a crash of the machine an old list, or none, will do. */
void greylist_save(const struct greylist *g)
{
	char name[FILE_NAME_MAX];
	int n = snprintf(name, sizeof name, "%s.new", g->file);
	int fd = n > 0 && n < FILE_NAME_MAX ?
			 open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) :
			 -1;
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok;

	if (!f) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	ok = write_all(g, f);
	ok = fclose(f) == 0 && ok;
	if (!ok || rename(name, g->file) != 0)
		(void)unlink(name);
}

static void put(struct greylist *g, const struct greylist_entry *entry)
{
	struct greylist_entry *set = greylist_set_of(g, entry->id);

	for (unsigned i = 0; i < GREYLIST_WAYS; i++) {
		if (set[i].last_s == 0) {
			set[i] = *entry;
			return;
		}
	}
}

void greylist_load(struct greylist *g)
{
	FILE *f = fopen(g->file, "re");
	char begin[sizeof format];
	uint8_t key[GREYLIST_KEY];
	struct greylist_entry entry;

	if (!f)
		return;
	if (fread(begin, sizeof begin, 1, f) == 1 && memcmp(begin, format, sizeof format) == 0 &&
	    fread(key, sizeof key, 1, f) == 1) {
		memcpy(g->key, key, sizeof key);
		while (fread(&entry, sizeof entry, 1, f) == 1)
			if (entry.last_s > 0 && entry.first_s <= entry.last_s)
				put(g, &entry);
	}
	(void)fclose(f); /* it was only read */
}
