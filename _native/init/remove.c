/* Removal of a container's directory: links are never followed, and no depth of tree is too much.
 *
 * Below KEPT_DEPTH a directory is moved up to the top and removed from there, so that neither the stack nor the
 * number of open descriptors grows with what a container has built. */
#include "daemon.h"

#include "listing.h"

#define KEPT_DEPTH 12

struct removal {
	int top_fd;
	unsigned long moved;
};

static void remove_children(struct removal *removal, int dir_fd, int depth);

static void move_to_top(struct removal *removal, int dir_fd, const char *name)
{
	char fresh[48];
	char *at = ck_append(fresh, fresh + sizeof fresh, ".ckit-removing-");

	ck_append_number(at, fresh + sizeof fresh, ++removal->moved);
	sys(renameat2, dir_fd, name, removal->top_fd, fresh, 1 /* RENAME_NOREPLACE */);
}

static void remove_directory(struct removal *removal, int dir_fd, const char *name, int depth)
{
	long fd;

	if (sys(unlinkat, dir_fd, name, AT_REMOVE_DIRECTORY) == 0)
		return;
	if (depth == KEPT_DEPTH) {
		move_to_top(removal, dir_fd, name);
		return;
	}
	fd = sys(openat, dir_fd, name, DIRECTORY_FLAGS, 0);
	if (fd == -EACCES && sys(fchmodat, dir_fd, name, 0700) == 0)
		fd = sys(openat, dir_fd, name, DIRECTORY_FLAGS, 0);
	if (fd < 0)
		return;
	remove_children(removal, fd, depth + 1);
	sys(close, fd);
	sys(unlinkat, dir_fd, name, AT_REMOVE_DIRECTORY);
}

static void remove_children(struct removal *removal, int dir_fd, int depth)
{
	struct listing listing;
	struct listed *entry;

	listing_begin(&listing, dir_fd);
	while ((entry = listing_next(&listing))) {
		long result = -EISDIR;
		if (entry->type != LISTED_DIRECTORY)
			result = sys(unlinkat, dir_fd, entry->name, 0);
		if (result == -EISDIR)
			remove_directory(removal, dir_fd, entry->name, depth);
	}
}

void remove_tree(const char *path)
{
	struct removal removal = { .top_fd = sys(openat, AT_HERE, path, DIRECTORY_FLAGS, 0) };
	long result;

	if (removal.top_fd < 0)
		return;
	do {
		unsigned long before = removal.moved;
		remove_children(&removal, removal.top_fd, 0);
		result = sys(unlinkat, AT_HERE, path, AT_REMOVE_DIRECTORY);
		if (removal.moved == before)
			break; /* what is left cannot be removed */
		sys(lseek, removal.top_fd, 0, 0);
	} while (result < 0);
	sys(close, removal.top_fd);
}
