/* One entry of a layer into the tree.
 *
 * What is made is made anew (O_EXCL, mkdir, mknod, link): nothing that the archive put there before is written through,
 * chmodded or followed.  The current directory is open, its name is not looked up again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"
#include "layer_extract.h"

/* The components as one path, in its shortest form. */
static void join(const struct layer_path *path, char *out)
{
	*out = 0;
	for (size_t i = 0; i < path->depth; i++) {
		out = stpcpy(out, path->names[i]);
		if (i + 1 < path->depth)
			*out++ = '/';
	}
}

/* 1 when the name was taken and is free now: the caller tries once more. */
static int free_name(struct layer_extract *x, const char *name)
{
	struct stat there;

	if (errno != EEXIST)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot make it");
	if (fstatat(layer_dirs_current(x)->fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at what is there");
	int error = layer_make_way(x, name, &there);

	return error ? error : 1;
}

/* Starting write-back now lets the disk work while more is unpacked: the sync at the end has little left to do. */
static void start_writeback(struct layer_extract *x, int fd, uint64_t size)
{
	enum { WORTHWHILE = 64 * 1024 };

	if (x->job->sync && size >= WORTHWHILE)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int write_at(struct layer_extract *x, int fd, uint64_t offset, uint64_t size)
{
	while (size) {
		const unsigned char *data;
		size_t got;
		int error = tar_payload(&x->reader, &data, &got);

		if (!error && !got)
			error = tar_corrupt(&x->reader, "its data ends too early");
		if (error)
			return error;
		if (got > size) { /* the next region starts inside what was handed out */
			x->stream.at -= got - size;
			x->stream.left += got - size;
			x->reader.payload_left += got - size;
			got = size;
		}
		for (size_t done = 0; done < got;) {
			ssize_t written = pwrite(fd, data + done, got - done, (off_t)(offset + done));

			if (written < 0 && errno != EINTR)
				return ck_fail_errno(x->fault, x->reader.entry.path, "cannot write it");
			done += written > 0 ? (size_t)written : 0;
		}
		offset += got;
		size -= got;
	}
	return 0;
}

static int write_content(struct layer_extract *x, int fd)
{
	const struct tar_entry *entry = &x->reader.entry;
	struct ck_extent whole = {0, entry->size};
	int sparse = entry->stored != entry->size || entry->extent_count;
	const struct ck_extent *extents = sparse ? entry->extents : &whole;
	size_t count = sparse ? entry->extent_count : 1;
	int error = 0;

	if (x->recipe)
		error = ck_recipe_file(x->recipe, entry->path, entry->size, extents, count);
	for (size_t i = 0; i < count && !error; i++)
		error = write_at(x, fd, extents[i].offset, extents[i].size);
	if (!error && sparse && ftruncate(fd, (off_t)entry->size) < 0)
		error = ck_fail_errno(x->fault, entry->path, "cannot set its size");
	return error;
}

static int make_file(struct layer_extract *x, const char *name)
{
	const struct tar_entry *entry = &x->reader.entry;
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	int dir_fd = layer_dirs_current(x)->fd, error = 0;
	int fd = ck_openat2(dir_fd, name, flags, entry->mode & 0777, CK_RESOLVE_ENTRY);

	if (fd < 0) {
		errno = -fd;
		error = free_name(x, name);
		if (error < 0)
			return error;
		fd = ck_openat2(dir_fd, name, flags, entry->mode & 0777, CK_RESOLVE_ENTRY);
	}
	if (fd < 0)
		return ck_fail(x->fault, CK_FAULT_KERNEL, -fd, entry->path, "cannot make it");
	error = write_content(x, fd);
	if (!error)
		error = layer_set_attributes(x, fd, 1);
	if (!error && futimens(fd, (struct timespec[2]){entry->mtime, entry->mtime}) < 0)
		error = ck_fail_errno(x->fault, entry->path, "cannot set its times");
	if (!error)
		start_writeback(x, fd, entry->stored);
	close(fd);
	x->job->files_size += entry->size;
	return error;
}

/* The directory that is now the current one takes the entry's attributes. */
static int dress_directory(struct layer_extract *x, int fresh)
{
	const struct tar_entry *entry = &x->reader.entry;
	struct layer_frame *made = layer_dirs_current(x);
	int error = 0;

	if (x->job->keep_owner && !fresh && fchown(made->fd, entry->uid, entry->gid) < 0)
		error = ck_fail_errno(x->fault, entry->path, "cannot set its owner");
	if (!error)
		error = layer_set_attributes(x, made->fd, fresh && !made->setgid);
	made->times[0] = made->times[1] = entry->mtime;
	made->touched = 1;
	made->setgid = (entry->mode & S_ISGID) != 0;
	return error;
}

/* An existing directory is kept and gets the attributes of this entry; anything else makes way. */
static int make_directory(struct layer_extract *x, const char *name)
{
	const struct tar_entry *entry = &x->reader.entry;
	int dir_fd = layer_dirs_current(x)->fd, error = 0;
	struct stat there = {0};
	int taken = mkdirat(dir_fd, name, entry->mode & 0777) < 0;

	if (taken && (errno != EEXIST || fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0))
		return ck_fail_errno(x->fault, entry->path, "cannot make it");
	int fresh = !taken || !S_ISDIR(there.st_mode);

	if (taken && fresh) {
		error = layer_make_way(x, name, &there);
		if (!error && mkdirat(dir_fd, name, entry->mode & 0777) < 0)
			error = ck_fail_errno(x->fault, entry->path, "cannot make it");
	}
	if (error)
		return error;
	x->job->inodes += (uint64_t)fresh;
	error = layer_made_add(x, dir_fd, name);
	if (!error)
		error = layer_dirs_push(x, name);
	if (error)
		return ck_fail(x->fault, CK_FAULT_KERNEL, -error, entry->path, "cannot open what was made");
	/* A whiteout that stood here hid a directory of the layers below: it stays hidden. */
	if (taken && fresh && x->job->form == CK_FORM_OVERLAY && layer_is_whiteout(&there))
		error = layer_set_opaque(x, layer_dirs_current(x)->fd);
	return error ? error : dress_directory(x, fresh);
}

/* Devices are made by those only who have the right to: for others an empty file holds the place, and a container has
 * its devices from us anyway.  The recipe keeps what the archive says. */
static int put_node(int dir_fd, const char *name, mode_t mode, dev_t device)
{
	if (mknodat(dir_fd, name, mode, device) == 0)
		return 0;
	if (errno != EPERM || S_ISFIFO(mode))
		return -1;
	return mknodat(dir_fd, name, S_IFREG | (mode & 0777), 0);
}

static int make_node(struct layer_extract *x, const char *name)
{
	const struct tar_entry *entry = &x->reader.entry;
	mode_t type = entry->type == TAR_FIFO ? S_IFIFO : entry->type == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t device = type == S_IFIFO ? 0 : makedev(entry->major, entry->minor);
	int dir_fd = layer_dirs_current(x)->fd, error;

	if (type == S_IFCHR && device == makedev(0, 0))
		return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, entry->path,
			       "it is a character device 0:0, which overlay reads as a whiteout");
	if (put_node(dir_fd, name, type | entry->mode, device) == 0)
		return 0;
	error = free_name(x, name);
	if (error < 0)
		return error;
	return put_node(dir_fd, name, type | entry->mode, device) < 0
		       ? ck_fail_errno(x->fault, entry->path, "cannot make it")
		       : 0;
}

static int make_symlink(struct layer_extract *x, const char *name)
{
	const struct tar_entry *entry = &x->reader.entry;
	int dir_fd = layer_dirs_current(x)->fd, error;

	if (!*entry->link)
		return ck_fail(x->fault, CK_FAULT_CORRUPT, EBADMSG, entry->path, "it is a symbolic link to nothing");
	if (symlinkat(entry->link, dir_fd, name) == 0)
		return 0;
	error = free_name(x, name);
	if (error < 0)
		return error;
	return symlinkat(entry->link, dir_fd, name) < 0 ? ck_fail_errno(x->fault, entry->path, "cannot make it") : 0;
}

/* Symbolic links and nodes cannot be opened without an effect: named, never followed. */
static int dress_special(struct layer_extract *x, const char *name)
{
	const struct tar_entry *entry = &x->reader.entry;
	int dir_fd = layer_dirs_current(x)->fd, symlink = entry->type == TAR_SYMLINK;

	if (layer_wants_chown(x) && fchownat(dir_fd, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, entry->path, "cannot set its owner");
	if (!symlink && (!x->umask_is_zero || (entry->mode & 07000)) && fchmodat(dir_fd, name, entry->mode, 0) < 0)
		return ck_fail_errno(x->fault, entry->path, "cannot set its mode");
	x->job->dropped_xattrs += entry->xattr_count;
	if (utimensat(dir_fd, name, (struct timespec[2]){entry->mtime, entry->mtime}, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, entry->path, "cannot set its times");
	return 0;
}

/* The directory of a link's target, opened from the root without following anything. */
static int open_target_directory(struct layer_extract *x, const char **name)
{
	char joined[4096 + 2];
	struct layer_path parent = x->target;

	if (!x->target.depth)
		return -EISDIR;
	*name = x->target.names[--parent.depth];
	/* In plain form the target may lie in a lower layer, and be as long as the limit allows. */
	if (x->job->limits.path_size > sizeof(joined) - 2)
		return -ENAMETOOLONG;
	join(&parent, joined);
	return ck_openat2(x->dirs.frames[0].fd, parent.depth ? joined : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			  CK_RESOLVE_ENTRY);
}

static int link_to(struct layer_extract *x, int target_dir, const char *target, const char *name)
{
	int dir_fd = layer_dirs_current(x)->fd, error;
	struct stat from, there;

	if (fstatat(target_dir, target, &from, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail(x->fault, CK_FAULT_REFUSED, errno, x->reader.entry.path,
			       "the target of this hard link is not in the layer");
	if (S_ISDIR(from.st_mode) || layer_is_whiteout(&from))
		return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, x->reader.entry.path, "the target of this hard link is no file");
	if (linkat(target_dir, target, dir_fd, name, 0) == 0)
		return 0;
	error = errno;
	if (error == EEXIST && fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == from.st_ino)
		return 0; /* a link to itself, or written twice */
	errno = error;
	error = free_name(x, name);
	if (error < 0)
		return error;
	if (linkat(target_dir, target, dir_fd, name, 0) == 0)
		return 0;
	/* What made way took the target with it. */
	if (errno == ENOENT)
		return ck_fail(x->fault, CK_FAULT_REFUSED, ENOENT, x->reader.entry.path, "it would replace its own target");
	return ck_fail_errno(x->fault, x->reader.entry.path, "cannot link it");
}

static int make_hardlink(struct layer_extract *x, const char *name)
{
	const char *target = NULL;
	int error = layer_path_cut(x, &x->target, x->target_text, x->reader.entry.link, x->reader.entry.path);

	if (error)
		return error;
	int target_dir = open_target_directory(x, &target);

	if (target_dir < 0)
		return ck_fail(x->fault, CK_FAULT_REFUSED, -target_dir, x->reader.entry.path,
			       "the target of this hard link is not in the layer, or behind a symbolic link");
	error = link_to(x, target_dir, target, name);
	close(target_dir);
	return error;
}

static int make_other(struct layer_extract *x, const char *name)
{
	int error;

	switch (x->reader.entry.type) {
	case TAR_FILE:
		error = make_file(x, name);
		break;
	case TAR_HARDLINK:
		return make_hardlink(x, name);
	case TAR_SYMLINK:
		error = make_symlink(x, name);
		break;
	default:
		error = make_node(x, name);
	}
	if (!error && x->reader.entry.type != TAR_FILE)
		error = dress_special(x, name);
	x->job->inodes++;
	return error;
}

static int check_size(struct layer_extract *x)
{
	const struct tar_entry *entry = &x->reader.entry;
	const struct ck_limits *limits = &x->job->limits;

	if (++x->job->entries > limits->entries)
		return ck_fail(x->fault, CK_FAULT_LIMIT, E2BIG, entry->path, "the layer has more than %llu entries",
			       (unsigned long long)limits->entries);
	uint64_t room = limits->tree_size - x->job->files_size;

	if (entry->type == TAR_FILE && entry->size > room)
		return ck_fail(x->fault, CK_FAULT_LIMIT, E2BIG, entry->path, "the files of the layer are larger than %llu bytes",
			       (unsigned long long)limits->tree_size);
	return 0;
}

static int apply_to_root(struct layer_extract *x)
{
	if (x->reader.entry.type != TAR_DIRECTORY)
		return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, "/", "it would replace the root of the layer");
	int error = layer_dirs_enter(x, &x->path, 0);

	return error ? error : dress_directory(x, 0);
}

int layer_begin(struct layer_extract *x)
{
	struct tar_entry *entry = &x->reader.entry;
	int error = check_size(x);

	if (!error)
		error = layer_path_cut(x, &x->path, x->path_text, entry->path, entry->path);
	if (!error)
		join(&x->path, entry->path);
	return error;
}

int layer_apply(struct layer_extract *x)
{
	struct tar_entry *entry = &x->reader.entry;
	int error = layer_begin(x), done;

	if (error)
		return error;
	if (!x->path.depth)
		return apply_to_root(x);
	done = layer_whiteout(x);
	if (done)
		return done < 0 ? done : 0;
	const char *name = x->path.names[x->path.depth - 1];

	error = layer_dirs_enter(x, &x->path, x->path.depth - 1);
	if (error)
		return error;
	layer_dirs_current(x)->touched = 1;
	if (entry->type == TAR_DIRECTORY)
		return make_directory(x, name);
	error = make_other(x, name);
	return error ? error : layer_made_add(x, layer_dirs_current(x)->fd, name);
}
