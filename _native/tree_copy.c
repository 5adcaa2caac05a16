/* A copy of a tree: contents, owners, modes, attributes, times and hard links, by descriptors on both sides. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/fs.h>

#include "beneath.h"
#include "ckit.h"
#include "layer_links.h"

enum { DEEPEST = 256, PATH_ROOM = 4096, NAMES_ROOM = 65536, VALUE_ROOM = 65536, COPY_SIZE = 1 << 30 };

struct copying {
	int to_root; /* hard links are made from here */
	int keep_owner;
	uid_t first_id, ids; /* owners from first_id on, so many, are counted from there */
	dev_t device;
	struct layer_links *links;
	char *path; /* of the current entry, below the root */
	char *names, *value;
};

static int copy_entries(struct copying *copying, int from_fd, int to_fd, size_t depth);

static uid_t own_id(const struct copying *copying, uid_t id)
{
	return id - copying->first_id < copying->ids ? id - copying->first_id : id;
}

/* Attributes of both sides' file systems: what cannot be held there is left out, as cp -a does. */
static int copy_xattrs(struct copying *copying, int from, int to)
{
	ssize_t size = flistxattr(from, copying->names, NAMES_ROOM);

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(copying->names + at) + 1) {
		const char *name = copying->names + at;
		ssize_t length = fgetxattr(from, name, copying->value, VALUE_ROOM);

		if (length < 0 || strncmp(name, "security.selinux", 16) == 0)
			continue;
		if (fsetxattr(to, name, copying->value, (size_t)length, 0) < 0 && errno != ENOTSUP && errno != EPERM)
			return -errno;
	}
	return 0;
}

/* Owner, then mode, then attributes: each clears part of what follows. */
static int copy_attributes(struct copying *copying, int from, int to, const struct stat *status)
{
	if (copying->keep_owner && fchown(to, own_id(copying, status->st_uid), own_id(copying, status->st_gid)) < 0)
		return -errno;
	if (fchmod(to, status->st_mode & 07777) < 0)
		return -errno;
	int error = copy_xattrs(copying, from, to);

	if (!error && futimens(to, (struct timespec[2]){status->st_atim, status->st_mtim}) < 0)
		error = -errno;
	return error;
}

static int copy_bytes(int from, int to, off_t at, off_t end)
{
	char buffer[16384];
	ssize_t got = 1;

	while (at < end && got > 0) {
		size_t part = end - at < (off_t)sizeof(buffer) ? (size_t)(end - at) : sizeof(buffer);

		got = pread(from, buffer, part, at);
		if (got > 0)
			got = pwrite(to, buffer, (size_t)got, at);
		at += got > 0 ? got : 0;
	}
	return got < 0 ? -errno : 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		loff_t in = at, out = at;
		ssize_t done = copy_file_range(from, &in, to, &out, (size_t)(end - at < COPY_SIZE ? end - at : COPY_SIZE), 0);

		if (done < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
			return copy_bytes(from, to, at, end);
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done == 0)
			return 0; /* it has become shorter meanwhile */
		at += done > 0 ? done : 0;
	}
	return 0;
}

/* Shares the blocks where the file system can; otherwise copies the data and leaves the holes. */
static int copy_content(int from, int to, off_t size)
{
	off_t data, hole = 0;
	int error = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while (hole < size && !error) {
		data = lseek(from, hole, SEEK_DATA);
		if (data < 0)
			break; /* only a hole is left */
		hole = lseek(from, data, SEEK_HOLE);
		error = hole < 0 ? -errno : copy_range(from, to, data, hole);
	}
	if (!error && ftruncate(to, size) < 0)
		error = -errno;
	return error;
}

static int copy_file(struct copying *copying, int from_dir, int to_dir, const char *name)
{
	struct stat status;
	int from = ck_openat2(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, CK_RESOLVE_ENTRY);
	int to, error;

	if (from < 0)
		return from;
	to = ck_openat2(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, CK_RESOLVE_ENTRY);
	if (to < 0) {
		close(from);
		return to;
	}
	error = fstat(from, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EBUSY;
	if (!error)
		error = copy_content(from, to, status.st_size);
	if (!error)
		error = copy_attributes(copying, from, to, &status);
	close(to);
	close(from);
	return error;
}

static int copy_special(struct copying *copying, int from_dir, int to_dir, const char *name, const struct stat *status)
{
	char target[PATH_ROOM];
	int symlink = S_ISLNK(status->st_mode), made;

	if (S_ISSOCK(status->st_mode))
		return 0;
	if (symlink) {
		ssize_t size = readlinkat(from_dir, name, target, sizeof(target) - 1);

		if (size < 0)
			return -errno;
		target[size] = 0;
		made = symlinkat(target, to_dir, name);
	} else {
		made = mknodat(to_dir, name, status->st_mode, status->st_rdev);
	}
	if (made < 0)
		return -errno;
	if (copying->keep_owner && fchownat(to_dir, name, own_id(copying, status->st_uid),
					    own_id(copying, status->st_gid), AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!symlink && fchmodat(to_dir, name, status->st_mode & 07777, 0) < 0)
		return -errno;
	return utimensat(to_dir, name, (struct timespec[2]){status->st_atim, status->st_mtim}, AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

static int copy_directory(struct copying *copying, int from_dir, int to_dir, const char *name, size_t depth)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	struct stat status;
	int from, to, error;

	if (depth == DEEPEST)
		return -ENAMETOOLONG;
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	from = ck_openat2(from_dir, name, flags, 0, CK_RESOLVE_ENTRY & ~RESOLVE_NO_XDEV);
	if (from < 0)
		return from;
	to = ck_openat2(to_dir, name, flags, 0, CK_RESOLVE_ENTRY);
	error = to < 0 ? to : fstat(from, &status) < 0 ? -errno : 0;
	/* What is mounted there is not part of the tree. */
	if (!error && status.st_dev == copying->device)
		error = copy_entries(copying, from, to, depth + 1);
	if (!error)
		error = copy_attributes(copying, from, to, &status);
	if (to >= 0)
		close(to);
	close(from);
	return error;
}

static int copy_entry(struct copying *copying, int from_fd, int to_fd, const char *name, size_t depth)
{
	const char *first = NULL;
	struct stat status;
	int error = 0;

	if (fstatat(from_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return copy_directory(copying, from_fd, to_fd, name, depth);
	if (status.st_nlink > 1)
		error = layer_links_first(copying->links, &status, copying->path, &first);
	if (error)
		return error;
	if (first)
		return linkat(copying->to_root, first, to_fd, name, 0) < 0 ? -errno : 0;
	return S_ISREG(status.st_mode) ? copy_file(copying, from_fd, to_fd, name)
				       : copy_special(copying, from_fd, to_fd, name, &status);
}

static int copy_entries(struct copying *copying, int from_fd, int to_fd, size_t depth)
{
	int copy = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	size_t parent = strlen(copying->path);
	struct dirent *entry;

	if (!stream)
		return -errno;
	for (errno = 0; !error && (entry = readdir(stream)); errno = 0) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (parent + strlen(entry->d_name) + 2 > PATH_ROOM) {
			error = -ENAMETOOLONG;
			break;
		}
		if (parent)
			copying->path[parent] = '/';
		strcpy(copying->path + parent + (parent > 0), entry->d_name);
		error = copy_entry(copying, from_fd, to_fd, entry->d_name, depth);
		if (!error)
			copying->path[parent] = 0;
	}
	closedir(stream);
	return error;
}

static int copy_root(struct copying *copying, int from_fd, int to_fd)
{
	struct stat status;
	int from = ck_openat2(from_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
	int to = ck_openat2(to_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
	int error = from < 0 ? from : to < 0 ? to : fstat(from, &status) < 0 ? -errno : 0;

	copying->device = error ? 0 : status.st_dev;
	copying->to_root = to;
	if (!error)
		error = copy_entries(copying, from, to, 0);
	if (!error)
		error = copy_attributes(copying, from, to, &status);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return error;
}

int ck_copy_tree(int from_fd, int to_fd, int keep_owner, unsigned int first_id, unsigned int ids, char *path,
		 size_t path_size)
{
	struct copying copying = {.keep_owner = keep_owner, .first_id = first_id, .ids = ids};
	int error = -ENOMEM;

	copying.links = calloc(1, sizeof(*copying.links));
	copying.path = calloc(1, PATH_ROOM);
	copying.names = malloc(NAMES_ROOM);
	copying.value = malloc(VALUE_ROOM);
	if (copying.links && copying.path && copying.names && copying.value)
		error = copy_root(&copying, from_fd, to_fd);
	if (copying.path && path_size)
		strncat(path, copying.path, path_size - 1);
	layer_links_close(copying.links);
	free(copying.path);
	free(copying.names);
	free(copying.value);
	return error;
}
