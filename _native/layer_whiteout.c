/* Whiteouts: names that say what of the lower layers is gone.
 *
 * Source: image-spec, layer.md, "Whiteouts" and "Opaque Whiteout"; Linux, overlayfs.rst, "whiteouts and opaque
 * directories".  They never apply to what the same layer brings, whatever the order of the entries. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ckit.h"
#include "layer_extract.h"

#define PREFIX ".wh."
#define META ".wh..wh."
#define OPAQUE ".wh..wh..opq"

int layer_is_whiteout(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

static int refuse(struct layer_extract *x, const char *what)
{
	return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, x->reader.entry.path, "%s", what);
}

/* In overlay form: a character device 0:0 hides the name, an attribute hides the lower content of a directory. */
static int mark_gone(struct layer_extract *x, const char *name)
{
	struct layer_frame *current = layer_dirs_current(x);
	struct stat status;

	if (fstatat(current->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISDIR(status.st_mode))
			return 0; /* this layer's own file hides the lower one already */
		int error = layer_dirs_push(x, name);

		return error ? ck_fail(x->fault, CK_FAULT_KERNEL, -error, x->reader.entry.path, "cannot open what it hides")
			     : layer_set_opaque(x, layer_dirs_current(x)->fd);
	}
	current->touched = 1;
	if (mknodat(current->fd, name, S_IFCHR, makedev(0, 0)) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot make a whiteout");
	x->job->inodes++;
	return 0;
}

static int clear_directory(struct layer_extract *x, int fd);

/* In plain form: removes a name that came from the layers below, and spares what this layer made. */
static int remove_lower(struct layer_extract *x, int dir_fd, const char *name)
{
	struct stat status;
	int error;

	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at what it removes");
	int made = layer_made_has(x, &status);

	if (S_ISDIR(status.st_mode) && x->made.used) {
		int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		error = fd < 0 ? ck_fail_errno(x->fault, x->reader.entry.path, "cannot open what it hides")
			       : clear_directory(x, fd);
		/* Not empty: something of this layer is in it. */
		if (!error && !made && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST)
			error = ck_fail_errno(x->fault, x->reader.entry.path, "cannot remove what it hides");
		return error;
	}
	error = made ? 0 : ck_remove_tree(dir_fd, name);
	return error ? ck_fail(x->fault, CK_FAULT_KERNEL, -error, x->reader.entry.path, "cannot remove what it hides") : 0;
}

/* Removes from a directory, whose descriptor it takes, all that is not this layer's. */
static int clear_directory(struct layer_extract *x, int fd)
{
	DIR *stream = fdopendir(fd);
	struct dirent *entry;
	int error = 0;

	if (!stream) {
		close(fd);
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot list what it hides");
	}
	while (!error && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = remove_lower(x, dirfd(stream), entry->d_name);
	closedir(stream);
	return error;
}

static int hide_all(struct layer_extract *x)
{
	struct layer_frame *current = layer_dirs_current(x);

	current->touched = 1;
	if (x->job->form == CK_FORM_OVERLAY)
		return layer_set_opaque(x, current->fd);
	int fd = openat(current->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? ck_fail_errno(x->fault, x->reader.entry.path, "cannot list what it hides") : clear_directory(x, fd);
}

static int hide_one(struct layer_extract *x, const char *name)
{
	if (x->job->form == CK_FORM_OVERLAY)
		return mark_gone(x, name);
	layer_dirs_current(x)->touched = 1;
	return remove_lower(x, layer_dirs_current(x)->fd, name);
}

int layer_marker(struct layer_extract *x, const char **name)
{
	const struct layer_path *path = &x->path;

	*name = path->names[path->depth - 1];
	if (x->job->form == CK_FORM_ARCHIVE)
		return LAYER_MARKER_NONE;
	for (size_t i = 0; i < path->depth; i++)
		if (strncmp(path->names[i], META, strlen(META)) == 0 && strcmp(path->names[i], OPAQUE) != 0)
			return LAYER_MARKER_IGNORED; /* what AUFS kept for itself: no part of the image */
	for (size_t i = 0; i + 1 < path->depth; i++)
		if (strncmp(path->names[i], PREFIX, strlen(PREFIX)) == 0)
			return refuse(x, "it lies beneath a whiteout");
	if (strncmp(*name, PREFIX, strlen(PREFIX)) != 0)
		return LAYER_MARKER_NONE;
	if (strcmp(*name, OPAQUE) == 0)
		return LAYER_MARKER_OPAQUE;
	*name += strlen(PREFIX);
	if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return refuse(x, "it is a whiteout of no name, or of a directory outside the layer");
	return LAYER_MARKER_GONE;
}

int layer_whiteout(struct layer_extract *x)
{
	const char *name;
	int marker = layer_marker(x, &name), error;

	if (marker < 0 || marker == LAYER_MARKER_NONE)
		return marker;
	if (marker == LAYER_MARKER_IGNORED)
		return 1;
	error = layer_dirs_enter(x, &x->path, x->path.depth - 1);
	/* umoci lists what a directory held although the layer puts a file in its place: the file hides it all. */
	if (error && x->fault->kind == CK_FAULT_REFUSED && x->fault->error == ENOTDIR) {
		memset(x->fault, 0, sizeof(*x->fault));
		return 1;
	}
	if (!error)
		error = marker == LAYER_MARKER_OPAQUE ? hide_all(x) : hide_one(x, name);
	return error ? error : 1;
}
