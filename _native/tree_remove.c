/* Removal of a directory tree by descriptors: nothing is followed, no mount point is entered.
 *
 * A container may leave a tree of any depth.  Below KEPT_DEPTH a directory is moved up to the top of the tree
 * and removed from there, so that the number of open descriptors and the stack stay small. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "beneath.h"
#include "ckit.h"

enum { KEPT_DEPTH = 48, LISTING_SIZE = 16 * 1024 };

struct removal {
	int top_fd;
	unsigned int moved;
};

struct listing {
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

static int remove_entry(struct removal *removal, int dir_fd, const char *name, int type, int depth);

/* By descriptor: a process that is still at work in the tree may put a link to elsewhere in the place of the name. */
static int make_accessible(int dir_fd, const char *name)
{
	int fd = ck_openat2(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, CK_RESOLVE_ENTRY);
	char path[32];

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int error = chmod(path, 0700) < 0 ? -errno : 0;

	close(fd);
	return error;
}

/* A directory that its owner closed for himself (mode 0) is opened by an unprivileged owner too. */
static int open_directory(int dir_fd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	int fd = ck_openat2(dir_fd, name, flags, 0, CK_RESOLVE_ENTRY);

	if (fd == -EACCES && make_accessible(dir_fd, name) == 0)
		fd = ck_openat2(dir_fd, name, flags, 0, CK_RESOLVE_ENTRY);
	return fd == -EXDEV ? -EBUSY : fd;
}

/* Removes what one read of the directory returned; the number of bytes read, 0 at the end, or -errno. */
static long remove_listed(struct removal *removal, int fd, char *buffer, int depth)
{
	long size = syscall(SYS_getdents64, fd, buffer, LISTING_SIZE);

	if (size < 0)
		return -errno;
	for (long at = 0; at < size;) {
		struct listing *entry = (struct listing *)(buffer + at);

		at += entry->size;
		if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
			continue;
		int error = remove_entry(removal, fd, entry->name, entry->type, depth);

		if (error)
			return error;
	}
	return size;
}

static int empty_directory(struct removal *removal, int fd, int depth)
{
	char *buffer = malloc(LISTING_SIZE);
	long size = 1;

	if (!buffer)
		return -ENOMEM;
	while (size > 0)
		size = remove_listed(removal, fd, buffer, depth);
	free(buffer);
	return (int)size;
}

static int remove_directory(struct removal *removal, int dir_fd, const char *name, int depth)
{
	for (;;) {
		int fd = open_directory(dir_fd, name);

		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		if (removal->top_fd < 0)
			removal->top_fd = fd;
		int error = empty_directory(removal, fd, depth + 1);

		if (removal->top_fd == fd)
			removal->top_fd = -1;
		close(fd);
		if (error)
			return error;
		if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		/* Entries that came while it was read (moved up from below, or still being written): again. */
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
	}
}

/* The deep directory becomes a child of the top, whose loop meets it again. */
static int move_up(struct removal *removal, int dir_fd, const char *name)
{
	char moved[32];

	do {
		snprintf(moved, sizeof(moved), ".removing-%u", removal->moved++);
		if (renameat2(dir_fd, name, removal->top_fd, moved, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return -errno;
}

static int remove_entry(struct removal *removal, int dir_fd, const char *name, int type, int depth)
{
	if (type != DT_DIR) {
		if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
	}
	if (depth >= KEPT_DEPTH)
		return move_up(removal, dir_fd, name);
	int error = remove_directory(removal, dir_fd, name, depth);

	/* EPERM from unlink of an immutable file ends here: it is no directory. */
	return error == -ENOTDIR ? -EPERM : error;
}

int ck_remove_tree(int parent_fd, const char *name)
{
	struct removal removal = {.top_fd = -1};

	if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	return remove_entry(&removal, parent_fd, name, DT_UNKNOWN, 0);
}
