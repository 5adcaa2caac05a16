/* The state of a whole tree in one digest: whether anything in it may have changed since. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "ckit.h"

enum { DEEPEST = 256 };

struct named {
	const char *name;
	const struct ck_listed *facts;
};

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static int add_directory(struct ck_sha256 *hash, int dir_fd, int64_t *newest_ns, int depth);

static int add_entry(struct ck_sha256 *hash, int dir_fd, const struct named *entry, int64_t *newest_ns, int depth)
{
	const char *target = entry->name + strlen(entry->name) + 1;

	ck_sha256_update(hash, entry->facts, sizeof(*entry->facts));
	ck_sha256_update(hash, entry->name, strlen(entry->name) + 1);
	ck_sha256_update(hash, target, strlen(target) + 1);
	if (entry->facts->changed_ns > *newest_ns)
		*newest_ns = entry->facts->changed_ns;
	if (!S_ISDIR(entry->facts->mode))
		return 0;
	int fd = ck_openat2(dir_fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return fd;
	int error = add_directory(hash, fd, newest_ns, depth + 1);

	close(fd);
	return error;
}

static int add_directory(struct ck_sha256 *hash, int dir_fd, int64_t *newest_ns, int depth)
{
	static const char end[1];
	struct ck_listing listing;
	int error = depth > DEEPEST ? -ELOOP : ck_list_directory(dir_fd, &listing);

	if (error)
		return error;
	struct named *entries = malloc((listing.count ? listing.count : 1) * sizeof(*entries));
	const char *name = listing.names;

	if (!entries) {
		ck_listing_free(&listing);
		return -ENOMEM;
	}
	for (size_t i = 0; i < listing.count; i++) {
		entries[i] = (struct named){name, &listing.entries[i]};
		name += strlen(name) + 1;
		name += strlen(name) + 1;
	}
	qsort(entries, listing.count, sizeof(*entries), by_name);
	for (size_t i = 0; !error && i < listing.count; i++)
		error = add_entry(hash, dir_fd, &entries[i], newest_ns, depth);
	ck_sha256_update(hash, end, sizeof(end));
	free(entries);
	ck_listing_free(&listing);
	return error;
}

int ck_tree_state(int dir_fd, unsigned char *out, int64_t *newest_ns)
{
	struct ck_sha256 hash;

	*newest_ns = 0;
	ck_sha256_start(&hash);
	int error = add_directory(&hash, dir_fd, newest_ns, 0);

	ck_sha256_digest(&hash, out);
	return error;
}
