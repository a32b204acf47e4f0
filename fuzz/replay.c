/* SPDX-License-Identifier: ISC */
/* Feeds every file of the folders and files named as arguments to the fuzz target this is
 * linked with, without libFuzzer, so that `make test` runs the kept inputs with any compiler.
 * Not a fuzzer: it invents nothing.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

/* The block is exactly as large as the input, so that a sanitizer sees a read past its end. */
static int replay_file(const char *path)
{
	struct stat st;
	uint8_t *bytes = NULL;
	size_t size;
	FILE *f = fopen(path, "rb");
	int err = -1;

	if (!f || fstat(fileno(f), &st) != 0)
		goto out;
	size = (size_t)st.st_size;
	bytes = malloc(size > 0 ? size : 1);
	if (!bytes || fread(bytes, 1, size, f) != size)
		goto out;
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(bytes, size);
	inputs++;
	err = 0;
out:
	if (err)
		perror(path);
	free(bytes);
	if (f)
		(void)fclose(f);
	return err;
}

static int replay_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	int err = 0;

	if (n < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];
		int len = snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);

		if (len < 0 || (size_t)len >= sizeof file)
			err = -1;
		else if (names[i]->d_name[0] != '.' && replay_file(file) != 0)
			err = -1;
		free(names[i]);
	}
	free(names);
	return err;
}

int main(int argc, char **argv)
{
	int err = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			err |= replay_folder(argv[i]);
		else
			err |= replay_file(argv[i]);
	}
	printf("%u inputs replayed\n", inputs);
	return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
