/* Paths below the container's root: resolved once, in the kernel, to descriptors.
 *
 * RESOLVE_IN_ROOT makes absolute links and ".." stay below the root; magic links are refused, so no name in
 * an image leads to a descriptor of ours. */
#include "init.h"

/* A hostile process that renames without end makes a start fail, and does not hold it up for ever. */
#define RACE_TRIES 4096

static long open_in_root(const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | resolve };
	long fd = -EAGAIN;

	/* EAGAIN: something was renamed meanwhile and the kernel could not tell whether we escaped. */
	for (int tries = 0; tries < RACE_TRIES && (fd == -EAGAIN || fd == -EINTR); tries++)
		fd = sys(openat2, init.root_fd, path, &how, sizeof how);
	return fd;
}

long root_open(const char *path, uint64_t flags)
{
	return open_in_root(path, flags, RESOLVE_NO_MAGICLINKS);
}

/* A link anywhere on the way is an error: -ELOOP. */
long root_open_no_links(const char *path, uint64_t flags)
{
	return open_in_root(path, flags, RESOLVE_NO_SYMLINKS);
}

/* Open the directory that holds the last component of a path, which *name then points at. */
long root_parent(const char *path, const char **name)
{
	char parent[PATH_LIMIT];
	size_t length = ck_strlen(path);

	while (length && path[length - 1] == '/')
		length--;
	while (length && path[length - 1] != '/')
		length--;
	if (length >= sizeof parent)
		return -ENAMETOOLONG;
	memcpy(parent, path, length);
	parent[length] = 0;
	*name = path + length;
	return root_open(length ? parent : "/", O_PATH | O_DIRECTORY);
}

/* Make one directory, in which path[..length] is to be resolved; existing ones are fine. */
static long make_one(const char *path, size_t length, uint32_t mode)
{
	char prefix[PATH_LIMIT];
	const char *name;
	long parent, result;

	memcpy(prefix, path, length);
	prefix[length] = 0;
	parent = root_parent(prefix, &name);
	if (parent < 0)
		return parent;
	result = sys(mkdirat, parent, name, mode);
	sys(close, parent);
	return result == -EEXIST ? 0 : result;
}

long root_make_directory(const char *path, uint32_t mode)
{
	size_t length = ck_strlen(path), i = 0;
	long result;

	if (length >= PATH_LIMIT)
		return -ENAMETOOLONG;
	while (length && path[length - 1] == '/')
		length--;
	/* Mostly the parent is there. */
	result = make_one(path, length, mode);
	if (result != -ENOENT)
		return result;
	result = 0;
	while (i < length && result == 0) {
		while (path[i] == '/')
			i++;
		while (i < length && path[i] != '/')
			i++;
		if (i && path[i - 1] != '/')
			result = make_one(path, i, mode);
	}
	return result;
}

/* Put where a dangling link points into place of the path; relative to the link's own directory. */
static long follow_dangling(long parent, const char *name, char *path)
{
	char target[PATH_LIMIT];
	long n = sys(readlinkat, parent, name, target, sizeof target - 1), start = name - path;

	if (n < 0)
		return n;
	target[n] = 0;
	if (target[0] == '/')
		start = 0;
	if (start + n >= PATH_LIMIT)
		return -ENAMETOOLONG;
	memcpy(path + start, target, n + 1);
	return 0;
}

static long make_parents(const char *path, const char *name)
{
	char parent[PATH_LIMIT];

	memcpy(parent, path, name - path);
	parent[name - path] = 0;
	return root_make_directory(parent, 0755);
}

/* One attempt: 0 when made, 1 when path now says where a dangling link led. */
static long make_file_once(char *path)
{
	const char *name;
	long parent = root_parent(path, &name), fd;

	if (parent == -ENOENT) {
		fd = make_parents(path, name);
		if (fd < 0)
			return fd;
		parent = root_parent(path, &name);
	}
	if (parent < 0)
		return parent;
	fd = sys(openat, parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
	if (fd >= 0)
		sys(close, fd);
	else if (fd == -EEXIST)
		fd = follow_dangling(parent, name, path) == 0 ? 1 : -EEXIST;
	sys(close, parent);
	return fd == 1 ? 1 : fd < 0 ? fd : 0;
}

/* Make an empty file with its parents; an existing one is fine.  Images have links such as /etc/resolv.conf that
 * lead to what is made only at run time: the file is made where they lead, still below the root. */
long root_make_file(const char *wanted)
{
	char path[PATH_LIMIT];
	long result = 1;

	if (ck_strlen(wanted) >= sizeof path)
		return -ENAMETOOLONG;
	ck_append(path, path + sizeof path, wanted);
	for (int links = 0; result == 1 && links < 16; links++) {
		result = root_open(path, O_PATH);
		if (result >= 0) {
			sys(close, result);
			return 0;
		}
		result = make_file_once(path);
	}
	return result == 1 ? -ELOOP : result;
}

long is_directory(int fd)
{
	struct statx found;
	long result = sys(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found);

	if (result < 0)
		return result;
	return (found.stx_mode & S_IFMT) == S_IFDIR;
}

long write_file(int dir_fd, const char *path, const char *text)
{
	long fd = sys(openat, dir_fd, path, O_WRONLY | O_CLOEXEC);
	long result;

	if (fd < 0)
		return fd;
	result = sys(write, fd, text, ck_strlen(text));
	sys(close, fd);
	return result < 0 ? result : 0;
}

/* In a user namespace that shares the host's processes nobody may mount a procfs: then the host's, while the host is
 * in view, and certainly that. */
static long proc_of_host(void)
{
	struct { unsigned long type, rest[15]; } fs = { 0 };
	long fd = sys(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && (sys(fstatfs, fd, &fs) < 0 || fs.type != 0x9fa0 /* PROC_SUPER_MAGIC */)) {
		sys(close, fd);
		return -EPERM;
	}
	return fd;
}

/* A procfs of our own: never the one that the image or another container may have mounted over. */
static long proc_ensure(void)
{
	long context, result;

	if (init.proc_fd >= 0)
		return 0;
	context = sys(fsopen, "proc", FSOPEN_CLOEXEC);
	if (context < 0)
		return context;
	result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	sys(close, context);
	if (result == -EPERM)
		result = proc_of_host();
	if (result >= 0)
		init.proc_fd = result;
	return result < 0 ? result : 0;
}

/* Open a file of the private procfs; no link and no mount upon it is passed. */
long proc_open(const char *path, int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
	long result = proc_ensure();

	return result < 0 ? result : sys(openat2, init.proc_fd, path, &how, sizeof how);
}
