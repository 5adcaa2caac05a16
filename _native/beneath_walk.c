/* What openat2 does, one component at a time, for hosts whose own sandbox refuses that system call.
 *
 * Every directory on the way is held open, so ".." goes back to a descriptor and never to whatever the parent has
 * become meanwhile.  Links are read and their text walked in the same way: nothing is followed by the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

enum { DEEPEST = 1024, MOST_LINKS = 40, ROOM = 8192 };

struct walk {
	unsigned long long resolve;
	int fds[DEEPEST]; /* fds[0] is the root */
	int depth;
	int links;
	uint64_t mount;
	char left[ROOM]; /* of the path */
	char name[256];
};

static int current(const struct walk *walk)
{
	return walk->fds[walk->depth - 1];
}

static void back_to(struct walk *walk, int depth)
{
	while (walk->depth > depth)
		close(walk->fds[--walk->depth]);
}

static int forbids_leaving(const struct walk *walk)
{
	return (walk->resolve & RESOLVE_BENEATH) != 0;
}

static int go_up(struct walk *walk)
{
	if (walk->depth > 1)
		back_to(walk, walk->depth - 1);
	else if (forbids_leaving(walk))
		return -EXDEV;
	return 0;
}

/* Takes the next component out of what is left; 0 when there is none. */
static int next_name(struct walk *walk)
{
	char *start = walk->left + strspn(walk->left, "/");
	size_t size = strcspn(start, "/");

	if (!size)
		return 0;
	if (size >= sizeof(walk->name))
		return -ENAMETOOLONG;
	memcpy(walk->name, start, size);
	walk->name[size] = 0;
	memmove(walk->left, start + size, strlen(start + size) + 1);
	return 1;
}

/* The text of the link takes its place in the path. */
static int follow(struct walk *walk, int link_fd)
{
	char target[ROOM];
	ssize_t size = readlinkat(link_fd, "", target, sizeof(target) - 1);

	if (size < 0)
		return -errno;
	target[size] = 0;
	if ((walk->resolve & RESOLVE_NO_SYMLINKS) || ++walk->links > MOST_LINKS)
		return -ELOOP;
	if ((size_t)size + strlen(walk->left) + 1 > ROOM)
		return -ENAMETOOLONG;
	if (*target == '/' && forbids_leaving(walk))
		return -EXDEV;
	if (*target == '/')
		back_to(walk, 1);
	strcat(target, walk->left);
	strcpy(walk->left, target);
	return 0;
}

/* Which mount a descriptor is on; before Linux 5.8, which device it shows, and that of its directories only: on an
 * overlay, files may show those of its layers. */
static int mount_of(int fd, uint64_t *mount)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MNT_ID, &status) < 0)
		return -errno;
	if (status.stx_mask & STATX_MNT_ID)
		*mount = status.stx_mnt_id;
	else if (S_ISDIR(status.stx_mode))
		*mount = makedev(status.stx_dev_major, status.stx_dev_minor);
	return 0;
}

static int check_mount(const struct walk *walk, int fd)
{
	uint64_t mount = walk->mount;
	int error = walk->resolve & RESOLVE_NO_XDEV ? mount_of(fd, &mount) : 0;

	return !error && mount != walk->mount ? -EXDEV : error;
}

static int push(struct walk *walk, int fd)
{
	int error = check_mount(walk, fd);

	if (!error && walk->depth == DEEPEST)
		error = -ENAMETOOLONG;
	if (error) {
		close(fd);
		return error;
	}
	walk->fds[walk->depth++] = fd;
	return 0;
}

/* Enters the directory, or follows the link, that walk->name is. */
static int enter(struct walk *walk)
{
	struct stat status;
	int fd = openat(current(walk), walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		error = -errno;
	else if (S_ISDIR(status.st_mode))
		return push(walk, fd);
	else
		error = S_ISLNK(status.st_mode) ? follow(walk, fd) : -ENOTDIR;
	close(fd);
	return error;
}

static int is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Opens the last component; -EAGAIN when it was a link whose text is now walked instead. */
static int open_last(struct walk *walk, int flags, unsigned int mode)
{
	struct stat status;
	int fd = openat(current(walk), walk->name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	int wanted = !(flags & O_NOFOLLOW) && !((flags & O_CREAT) && (flags & O_EXCL));

	if (fd >= 0 && (!(flags & O_PATH) || !wanted || fstat(fd, &status) < 0 || !S_ISLNK(status.st_mode))) {
		int error = check_mount(walk, fd);

		if (error)
			close(fd);
		return error ? error : fd;
	}
	if (fd < 0 && (errno != ELOOP && errno != ENOTDIR))
		return -errno;
	int error = fd < 0 ? -errno : -ELOOP;

	if (fd >= 0)
		close(fd);
	if (!wanted)
		return error;
	fd = openat(current(walk), walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) == 0 && S_ISLNK(status.st_mode))
		error = follow(walk, fd) ? : -EAGAIN;
	close(fd);
	return error;
}

static int walk_path(struct walk *walk, int flags, unsigned int mode)
{
	for (;;) {
		int found = next_name(walk);

		if (found < 0)
			return found;
		int last = !walk->left[strspn(walk->left, "/")];

		if (found && last && !is_dots(walk->name)) {
			/* "name/" is a directory. */
			int fd = open_last(walk, flags | (*walk->left ? O_DIRECTORY : 0), mode);

			if (fd != -EAGAIN)
				return fd;
			continue;
		}
		int error = !found || strcmp(walk->name, ".") == 0 ? 0 : strcmp(walk->name, "..") == 0 ? go_up(walk) : enter(walk);

		if (error)
			return error;
		if (found && !last)
			continue;
		/* What is left empty after "." or a link: the directory itself. */
		if (!walk->left[strspn(walk->left, "/")]) {
			int fd = openat(current(walk), ".", (flags & ~(O_CREAT | O_EXCL)) | O_CLOEXEC);

			return fd < 0 ? -errno : fd;
		}
	}
}

int ck_walk_beneath(int dir_fd, const char *path, int flags, unsigned int mode, unsigned long long resolve)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int result = -ENAMETOOLONG;

	if (!walk)
		return -ENOMEM;
	walk->resolve = resolve;
	if (*path == '/' && forbids_leaving(walk)) {
		result = -EXDEV;
	} else if (strlen(path) < ROOM) {
		strcpy(walk->left, path);
		int fd = openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

		result = fd < 0 ? -errno : mount_of(fd, &walk->mount);
		if (fd >= 0)
			walk->fds[walk->depth++] = fd;
		if (!result)
			result = walk_path(walk, flags, mode);
	}
	back_to(walk, 0);
	free(walk);
	return result;
}
