/* The directories on the way to the current entry, held open.
 *
 * Entries come grouped by directory, so most need no lookup at all.  A directory that is left gets the times back that
 * it had when it was entered: they are right whatever was made in it, and nothing has to be remembered to the end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "layer_extract.h"

struct layer_frame *layer_dirs_current(struct layer_extract *x)
{
	return &x->dirs.frames[x->dirs.depth - 1];
}

/* Takes an open directory as the new current one. */
static int push_fd(struct layer_extract *x, int fd, const char *name)
{
	struct layer_dirs *dirs = &x->dirs;
	struct layer_frame *frame = &dirs->frames[dirs->depth];
	struct stat status;
	size_t size = strlen(name) + 1;

	if (fstat(fd, &status) < 0) {
		close(fd);
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at a directory on its way");
	}
	*frame = (struct layer_frame){.fd = fd, .name = dirs->names_used, .times = {status.st_mtim, status.st_mtim}};
	frame->setgid = (status.st_mode & S_ISGID) != 0;
	memcpy(dirs->names + dirs->names_used, name, size);
	dirs->names_used += size;
	dirs->depth++;
	return 0;
}

static int pop(struct layer_extract *x)
{
	struct layer_frame *frame = layer_dirs_current(x);
	int error = 0;

	if (frame->touched && futimens(frame->fd, frame->times) < 0)
		error = ck_fail_errno(x->fault, x->dirs.names + frame->name, "cannot set the times of this directory");
	close(frame->fd);
	x->dirs.names_used = frame->name;
	x->dirs.depth--;
	return error;
}

int layer_dirs_open(struct layer_extract *x)
{
	size_t depth = x->job->limits.path_depth + 2;
	int fd;

	x->dirs.frames = calloc(depth, sizeof(*x->dirs.frames));
	x->dirs.names = malloc(depth * 256);
	x->path.names = calloc(depth, sizeof(char *));
	x->target.names = calloc(depth, sizeof(char *));
	x->path_text = malloc(x->job->limits.path_size + 1);
	x->target_text = malloc(x->job->limits.path_size + 1);
	if (!x->dirs.frames || !x->dirs.names || !x->path.names || !x->target.names || !x->path_text || !x->target_text)
		return ck_fail(x->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for paths");
	fd = ck_openat2(x->job->tree_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
	if (fd < 0)
		return ck_fail(x->fault, CK_FAULT_KERNEL, -fd, NULL, "cannot open the directory to unpack into");
	return push_fd(x, fd, "");
}

void layer_dirs_close(struct layer_extract *x)
{
	while (x->dirs.depth)
		close(x->dirs.frames[--x->dirs.depth].fd);
	free(x->dirs.frames);
	free(x->dirs.names);
	free(x->path.names);
	free(x->target.names);
	free(x->path_text);
	free(x->target_text);
}

int layer_dirs_finish(struct layer_extract *x)
{
	int error = 0;

	while (x->dirs.depth && !error)
		error = pop(x);
	return error;
}

int layer_dirs_push(struct layer_extract *x, const char *name)
{
	int fd = ck_openat2(layer_dirs_current(x)->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, CK_RESOLVE_ENTRY);

	return fd < 0 ? fd : push_fd(x, fd, name);
}

/* A directory that the archive uses and does not mention: root's, empty of meaning, the same on every machine. */
static int make_parent(struct layer_extract *x, const char *name)
{
	struct layer_frame *parent = layer_dirs_current(x);

	parent->touched = 1;
	if (mkdirat(parent->fd, name, 0755) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot make a directory on its way");
	x->job->inodes++;
	int error = layer_made_add(x, parent->fd, name);

	if (!error)
		error = layer_dirs_push(x, name);
	if (error)
		return error;
	struct layer_frame *made = layer_dirs_current(x);

	if (x->job->keep_owner && (x->uid || x->gid || made->setgid) && fchown(made->fd, 0, 0) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot set the owner of a directory on its way");
	if ((!x->umask_is_zero || made->setgid) && fchmod(made->fd, 0755) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot set the mode of a directory on its way");
	made->times[0] = made->times[1] = (struct timespec){0};
	made->touched = 1;
	made->setgid = 0;
	return 0;
}

/* Something that is no directory stands where one is needed. */
static int replace_parent(struct layer_extract *x, const char *name)
{
	struct stat status;
	int fd = layer_dirs_current(x)->fd;
	int opaque;

	if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at what is on its way");
	/* Overlay shows a directory of this layer in the place of what a lower layer has, so does a merged tree;
	 * within one layer it would mean following a link, which is where archives break out. */
	opaque = layer_is_whiteout(&status) && x->job->form == CK_FORM_OVERLAY;
	if (!opaque && (x->job->form == CK_FORM_OVERLAY || layer_made_has(x, &status)))
		return ck_fail(x->fault, CK_FAULT_REFUSED, S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR, x->reader.entry.path,
			       "it lies beneath \"%s\", which is a %s in this layer", name,
			       S_ISLNK(status.st_mode) ? "symbolic link" : "file");
	int error = layer_make_way(x, name, &status);

	if (!error)
		error = make_parent(x, name);
	return error || !opaque ? error : layer_set_opaque(x, layer_dirs_current(x)->fd);
}

static int enter_one(struct layer_extract *x, const char *name)
{
	int error = layer_dirs_push(x, name);

	if (error == -ENOENT)
		return make_parent(x, name);
	if (error == -ENOTDIR || error == -ELOOP)
		return replace_parent(x, name);
	if (error && x->fault->kind == CK_FAULT_NONE)
		return ck_fail(x->fault, CK_FAULT_KERNEL, -error, x->reader.entry.path, "cannot open \"%s\" on its way", name);
	return error;
}

int layer_dirs_enter(struct layer_extract *x, const struct layer_path *path, size_t depth)
{
	struct layer_dirs *dirs = &x->dirs;
	size_t same = 0;
	int error = 0;

	while (same < depth && same + 1 < dirs->depth &&
	       strcmp(dirs->names + dirs->frames[same + 1].name, path->names[same]) == 0)
		same++;
	while (dirs->depth > same + 1 && !error)
		error = pop(x);
	for (; same < depth && !error; same++)
		error = enter_one(x, path->names[same]);
	return error;
}
