/* Paths below a root directory, resolved once by the kernel and then held as descriptors.
 *
 * Source: openat2(2).  A path of a container is never resolved by its string a second time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "beneath.h"
#include "ckit.h"

/* A hostile process can make each try fail by renaming; give up rather than spin for ever. */
enum { RACE_TRIES = 256 };

static int force_walk;

void ck_beneath_force_walk(int walk)
{
	force_walk = walk;
}

/* Whether the call works at all: it opens the root directory, which any process may. */
static int have_openat2(void)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC};
	long fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd >= 0)
		close((int)fd);
	return fd >= 0;
}

int ck_openat2(int dir_fd, const char *path, int flags, unsigned int mode, unsigned long long resolve)
{
	struct open_how how = {
		.flags = (unsigned int)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = resolve,
	};
	long fd = -1;

	if (force_walk)
		return ck_walk_beneath(dir_fd, path, flags, mode, resolve);
	for (int tries = 0; tries < RACE_TRIES; tries++) {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	/* ENOSYS and EPERM are how an older sandbox refuses a call that it does not know. */
	if (fd < 0 && (errno == ENOSYS || (errno == EPERM && !have_openat2())))
		return ck_walk_beneath(dir_fd, path, flags, mode, resolve);
	return fd < 0 ? -errno : (int)fd;
}

int ck_open_beneath(int root_fd, const char *path, int flags, unsigned int mode, int in_root, int no_symlinks)
{
	unsigned long long resolve = RESOLVE_NO_MAGICLINKS | (in_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);

	if (no_symlinks)
		resolve |= RESOLVE_NO_SYMLINKS;
	return ck_openat2(root_fd, *path ? path : ".", flags, mode, resolve);
}

/* Opens dir/name below root, made first if it is missing.  `made` is the path so far, ending in name. */
static int enter(int root_fd, int dir_fd, const char *made, const char *name, unsigned int mode)
{
	int flags = O_PATH | O_DIRECTORY;
	int fd = ck_open_beneath(root_fd, made, flags, 0, 1, 0);

	if (fd != -ENOENT)
		return fd;
	/* A dangling link is EEXIST here, and then ENOENT again below: it is not written through. */
	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	return ck_open_beneath(root_fd, made, flags, 0, 1, 0);
}

long long ck_file_system(int fd)
{
	struct statfs found;

	return fstatfs(fd, &found) < 0 ? -errno : (long long)(unsigned long)found.f_type;
}

int ck_mkdirs_beneath(int root_fd, const char *path, unsigned int mode)
{
	char *made = strdup(path);
	int dir_fd = ck_open_beneath(root_fd, ".", O_PATH | O_DIRECTORY, 0, 1, 0);

	if (!made && dir_fd >= 0)
		close(dir_fd);
	if (!made)
		return -ENOMEM;
	for (char *name = made + strspn(made, "/"); *name && dir_fd >= 0;) {
		char *end = name + strcspn(name, "/");
		char *next = end + strspn(end, "/");
		char kept = *end;

		*end = 0;
		int fd = enter(root_fd, dir_fd, made, name, mode);

		*end = kept;
		close(dir_fd);
		dir_fd = fd;
		name = next;
	}
	free(made);
	return dir_fd;
}
