/* What has to go before an entry can be made: removed, and its content kept in the recipe.
 *
 * The tar is to come back byte for byte, also the parts of it that a later entry replaced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "layer_extract.h"

/* Keeps the content of a file that is about to go, so that the tar can still be regenerated. */
static int keep_file(struct layer_extract *x, int dir_fd, const char *name, const char *path)
{
	struct stat status;
	int fd = ck_openat2(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, CK_RESOLVE_ENTRY);

	if (fd < 0 || fstat(fd, &status) < 0) {
		int error = fd < 0 ? -fd : errno;

		if (fd >= 0)
			close(fd);
		return ck_fail(x->fault, CK_FAULT_KERNEL, error, path, "cannot read what a later entry replaces");
	}
	int error = ck_recipe_overwritten(x->recipe, path, fd, (uint64_t)status.st_size);

	close(fd);
	return error;
}

static int keep_tree(struct layer_extract *x, int dir_fd, const char *name, const char *path);

/* path holds the directory's own path with room to spare: each child is appended and cut off again. */
static int keep_children(struct layer_extract *x, DIR *stream, char *path)
{
	size_t size = strlen(path);
	struct dirent *entry;
	int error = 0;

	while (!error && (entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (size + strlen(entry->d_name) + 2 > x->job->limits.path_size * 2)
			return ck_fail(x->fault, CK_FAULT_LIMIT, ENAMETOOLONG, path, "what it replaces lies too deep");
		path[size] = '/';
		strcpy(path + size + 1, entry->d_name);
		error = keep_tree(x, dirfd(stream), entry->d_name, path);
	}
	path[size] = 0;
	return error;
}

static int keep_tree(struct layer_extract *x, int dir_fd, const char *name, const char *path)
{
	struct stat status;

	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, path, "cannot look at what a later entry replaces");
	if (S_ISREG(status.st_mode))
		return keep_file(x, dir_fd, name, path);
	if (!S_ISDIR(status.st_mode))
		return 0;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	char *below = malloc(x->job->limits.path_size * 2 + 1);
	int error = -ENOMEM;

	if (!stream || !below) {
		error = ck_fail(x->fault, CK_FAULT_KERNEL, below ? errno : ENOMEM, path, "cannot read what a later entry replaces");
	} else {
		strcpy(below, path);
		error = keep_children(x, stream, below);
	}
	if (stream)
		closedir(stream);
	else if (fd >= 0)
		close(fd);
	free(below);
	return error;
}

/* The path of a name in the current directory. */
static void current_path(struct layer_extract *x, const char *name, char *out)
{
	for (size_t i = 1; i < x->dirs.depth; i++) {
		out = stpcpy(out, x->dirs.names + x->dirs.frames[i].name);
		*out++ = '/';
	}
	strcpy(out, name);
}

int layer_make_way(struct layer_extract *x, const char *name, const struct stat *there)
{
	struct layer_frame *current = layer_dirs_current(x);
	int error = 0;

	current->touched = 1;
	if (x->recipe && !layer_is_whiteout(there)) {
		char *path = malloc((x->dirs.depth + 1) * 256);

		if (!path)
			return ck_fail(x->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for a path");
		current_path(x, name, path);
		error = keep_tree(x, current->fd, name, path);
		free(path);
	}
	if (!error)
		error = ck_remove_tree(current->fd, name);
	return error ? ck_fail(x->fault, CK_FAULT_KERNEL, -error, x->reader.entry.path, "cannot replace what is there") : 0;
}
