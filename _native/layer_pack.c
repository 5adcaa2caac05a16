/* A tree into a tar: names in byte order, so that equal trees give equal archives.
 *
 * Files are opened beneath their directory and looked at again through the descriptor, since the tree may belong to
 * a running container. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"
#include "layer_links.h"
#include "layer_pack.h"

enum { DEEPEST = 256, PATH_ROOM = 4096 };

struct listing {
	char *text;
	size_t used, capacity;
	char **names;
	size_t count;
};

static int pack_directory(struct layer_pack *pack, int fd, size_t depth);

static int fail(struct layer_pack *pack, const char *doing)
{
	return ck_fail_errno(pack->fault, pack->path, doing);
}

/* What holds for every entry, from the file's status. */
static void describe(struct layer_pack *pack, const struct stat *status, enum tar_type type)
{
	const struct ck_pack *job = pack->job;
	struct tar_entry *entry = &pack->entry;

	memset(entry, 0, sizeof(*entry));
	entry->type = type;
	entry->path = pack->path;
	entry->link = pack->link;
	*entry->link = 0;
	entry->mode = status->st_mode & 07777;
	entry->uid = job->fixed_owner ? job->uid : status->st_uid;
	entry->gid = job->fixed_owner ? job->gid : status->st_gid;
	entry->mtime = status->st_mtim;
	if (job->fixed_time == 1 || (job->fixed_time && status->st_mtim.tv_sec > job->mtime))
		entry->mtime = (struct timespec){.tv_sec = job->mtime};
	if (!job->nanoseconds)
		entry->mtime.tv_nsec = 0;
}

static int put_header(struct layer_pack *pack)
{
	pack->job->entries++;
	return tar_write_header(pack->sink, &pack->entry);
}

/* An empty file whose name says that something is gone. */
static int put_marker(struct layer_pack *pack, const struct stat *status, const char *name)
{
	size_t before = strlen(pack->path);
	int error;

	if (snprintf(pack->path + before, PATH_ROOM - before, "%s", name) >= (int)(PATH_ROOM - before))
		return ck_fail(pack->fault, CK_FAULT_LIMIT, ENAMETOOLONG, pack->path, "its path is too long");
	describe(pack, status, TAR_FILE);
	pack->entry.mode = 0600;
	error = put_header(pack);
	pack->path[before] = 0;
	return error;
}

static int put_whiteout(struct layer_pack *pack, const struct stat *status, size_t parent)
{
	char name[256 + 8];
	int error;

	snprintf(name, sizeof(name), ".wh.%s", pack->path + parent);
	pack->path[parent] = 0;
	error = put_marker(pack, status, name);
	return error;
}

static int put_content(struct layer_pack *pack, int fd)
{
	const struct tar_entry *entry = &pack->entry;
	struct ck_extent whole = {0, entry->size};
	const struct ck_extent *extents = entry->extent_count ? entry->extents : &whole;
	size_t count = entry->extent_count ? entry->extent_count : 1;
	int error = put_header(pack);

	for (size_t i = 0; i < count && !error; i++)
		error = ck_sink_file(pack->sink, fd, extents[i].offset, extents[i].size, 1, pack->path);
	return error ? error : tar_write_padding(pack->sink, entry->stored);
}

/* What is mounted on a file is not part of the tree; what is below it cannot be seen, but that it is there. */
static int put_mount_point(struct layer_pack *pack, int dir_fd, const char *name)
{
	struct stat status;

	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(pack, "cannot look at it");
	describe(pack, &status, TAR_FILE);
	return put_header(pack);
}

static int put_file(struct layer_pack *pack, int dir_fd, const char *name, size_t parent)
{
	struct stat status;
	int fd = ck_openat2(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, CK_RESOLVE_ENTRY);
	int error = 0, whiteout = 0;

	if (fd == -ENOENT)
		return 0;
	if (fd == -EXDEV)
		return put_mount_point(pack, dir_fd, name);
	if (fd < 0)
		return ck_fail(pack->fault, CK_FAULT_KERNEL, -fd, pack->path, "cannot open it");
	if (fstat(fd, &status) < 0)
		error = fail(pack, "cannot look at it");
	else if (!S_ISREG(status.st_mode))
		error = ck_fail(pack->fault, CK_FAULT_KERNEL, EBUSY, pack->path, "it changed its type while it was read");
	if (!error) {
		describe(pack, &status, TAR_FILE);
		pack->entry.size = pack->entry.stored = (uint64_t)status.st_size;
		error = layer_read_xattrs(pack, fd, &whiteout);
	}
	if (!error && whiteout) {
		error = put_whiteout(pack, &status, parent);
	} else if (!error) {
		error = layer_find_holes(pack, fd, &status);
		if (!error)
			error = put_content(pack, fd);
	}
	close(fd);
	return error;
}

static int put_symlink(struct layer_pack *pack, int dir_fd, const char *name, const struct stat *status)
{
	describe(pack, status, TAR_SYMLINK);
	ssize_t size = readlinkat(dir_fd, name, pack->link, PATH_ROOM - 1);

	if (size < 0)
		return errno == ENOENT ? 0 : fail(pack, "cannot read the link");
	pack->link[size] = 0;
	pack->entry.mode = 0777;
	return put_header(pack);
}

static int put_special(struct layer_pack *pack, const struct stat *status)
{
	if (S_ISSOCK(status->st_mode))
		return 0; /* tar has no such type, and a socket without its process is nothing */
	int fifo = S_ISFIFO(status->st_mode);

	describe(pack, status, fifo ? TAR_FIFO : S_ISCHR(status->st_mode) ? TAR_CHAR : TAR_BLOCK_DEVICE);
	pack->entry.major = fifo ? 0 : major(status->st_rdev);
	pack->entry.minor = fifo ? 0 : minor(status->st_rdev);
	return put_header(pack);
}

static int put_directory(struct layer_pack *pack, int dir_fd, const char *name, size_t depth)
{
	struct stat status;
	int fd = ck_openat2(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, CK_RESOLVE_ENTRY & ~RESOLVE_NO_XDEV);
	int error = 0, opaque = 0;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return ck_fail(pack->fault, CK_FAULT_KERNEL, -fd, pack->path, "cannot open it");
	strcat(pack->path, "/");
	if (fstat(fd, &status) < 0)
		error = fail(pack, "cannot look at it");
	if (!error) {
		describe(pack, &status, TAR_DIRECTORY);
		error = layer_read_xattrs(pack, fd, &opaque);
	}
	if (!error)
		error = put_header(pack);
	if (!error && opaque)
		error = put_marker(pack, &status, ".wh..wh..opq");
	/* What is mounted there is not part of the tree. */
	if (!error && status.st_dev == pack->device)
		error = pack_directory(pack, fd, depth + 1);
	close(fd);
	return error;
}

static int put_hardlink(struct layer_pack *pack, const struct stat *status, const char *first)
{
	describe(pack, status, TAR_HARDLINK);
	strcpy(pack->link, first);
	return put_header(pack);
}

static int excluded(const struct layer_pack *pack)
{
	for (const char *path = pack->job->exclude; path && *path; path += strlen(path) + 1)
		if (strcmp(path, pack->path) == 0)
			return 1;
	return 0;
}

static int put_entry(struct layer_pack *pack, int dir_fd, const char *name, size_t parent, size_t depth)
{
	const char *first = NULL;
	struct stat status;
	int error = 0;

	if (excluded(pack))
		return 0;
	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(pack, "cannot look at it");
	if (strncmp(name, ".wh.", 4) == 0 && pack->job->form != CK_FORM_ARCHIVE)
		return ck_fail(pack->fault, CK_FAULT_REFUSED, EINVAL, pack->path,
			       "its name is that of a whiteout, which a layer cannot express: rename or exclude it");
	if (S_ISDIR(status.st_mode))
		return put_directory(pack, dir_fd, name, depth);
	if (pack->job->form == CK_FORM_OVERLAY && S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0))
		return put_whiteout(pack, &status, parent);
	if (status.st_nlink > 1)
		error = layer_links_first(pack->links, &status, pack->path, &first);
	if (error)
		return ck_fail(pack->fault, CK_FAULT_KERNEL, ENOMEM, pack->path, "no memory for hard links");
	if (first)
		return put_hardlink(pack, &status, first);
	if (S_ISREG(status.st_mode))
		return put_file(pack, dir_fd, name, parent);
	return S_ISLNK(status.st_mode) ? put_symlink(pack, dir_fd, name, &status) : put_special(pack, &status);
}

static int by_bytes(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static int keep_name(struct listing *listing, const char *name)
{
	size_t size = strlen(name) + 1;

	if (listing->used + size > listing->capacity) {
		size_t capacity = listing->capacity * 2 + size + 4096;
		char *grown = realloc(listing->text, capacity);

		if (!grown)
			return -ENOMEM;
		listing->text = grown;
		listing->capacity = capacity;
	}
	memcpy(listing->text + listing->used, name, size);
	listing->used += size;
	listing->count++;
	return 0;
}

/* Takes the descriptor's listing; the pointers are made last, when the text no longer moves. */
static int list_names(int fd, struct listing *listing)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!stream)
		return -errno;
	for (errno = 0; !error && (entry = readdir(stream)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = keep_name(listing, entry->d_name);
	error = error ? error : -errno;
	closedir(stream);
	listing->names = calloc(listing->count + 1, sizeof(char *));
	if (!listing->names)
		return -ENOMEM;
	char *at = listing->text;

	for (size_t i = 0; i < listing->count; i++, at += strlen(at) + 1)
		listing->names[i] = at;
	qsort(listing->names, listing->count, sizeof(char *), by_bytes);
	return error;
}

static int pack_directory(struct layer_pack *pack, int fd, size_t depth)
{
	struct listing listing = {0};
	size_t parent = strlen(pack->path);
	int error = list_names(fd, &listing);

	if (error)
		error = ck_fail(pack->fault, CK_FAULT_KERNEL, -error, pack->path, "cannot list this directory");
	for (size_t i = 0; i < listing.count && !error; i++) {
		/* Room for the name, a slash and a marker's prefix. */
		if (depth >= DEEPEST || parent + strlen(listing.names[i]) + 16 > PATH_ROOM) {
			error = ck_fail(pack->fault, CK_FAULT_LIMIT, ENAMETOOLONG, pack->path,
					"what it contains lies too deep for a layer (%d directories, %d bytes)", DEEPEST, PATH_ROOM);
			break;
		}
		strcpy(pack->path + parent, listing.names[i]);
		error = put_entry(pack, fd, listing.names[i], parent, depth);
		if (!error)
			pack->path[parent] = 0;
	}
	free(listing.names);
	free(listing.text);
	return error;
}

static int put_root(struct layer_pack *pack, int fd, const struct stat *status)
{
	int opaque = 0, error;

	strcpy(pack->path, "./");
	describe(pack, status, TAR_DIRECTORY);
	error = layer_read_xattrs(pack, fd, &opaque);
	if (!error)
		error = put_header(pack);
	*pack->path = 0;
	return error;
}

static int pack_tree(struct layer_pack *pack)
{
	struct ck_pack *job = pack->job;
	struct stat status;
	int fd = ck_openat2(job->tree_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
	int error;

	if (fd < 0)
		return ck_fail(pack->fault, CK_FAULT_KERNEL, -fd, NULL, "cannot open the directory to pack");
	error = fstat(fd, &status) < 0 ? fail(pack, "cannot look at the directory to pack") : 0;
	pack->device = status.st_dev;
	if (!error && job->with_root)
		error = put_root(pack, fd, &status);
	if (!error)
		error = pack_directory(pack, fd, 0);
	close(fd);
	if (!error)
		error = tar_write_end(pack->sink);
	if (!error)
		error = ck_sink_finish(pack->sink, job->diff_id, job->blob_digest, &job->blob_size);
	job->tar_size = pack->sink->plain_size;
	return error;
}

int ck_pack(struct ck_pack *job)
{
	struct layer_pack pack = {.job = job, .fault = &job->fault};
	int error;

	memset(&job->fault, 0, sizeof(job->fault));
	pack.path = calloc(1, PATH_ROOM);
	pack.link = calloc(1, PATH_ROOM);
	pack.links = calloc(1, sizeof(*pack.links));
	if (!pack.path || !pack.link || !pack.links)
		error = ck_fail(pack.fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to pack");
	else
		error = ck_sink_open(&pack.sink, job->out_fd, job->compression, &job->cancelled, pack.fault);
	if (!error)
		error = pack_tree(&pack);
	ck_sink_close(pack.sink);
	layer_links_close(pack.links);
	layer_pack_free(&pack);
	return error;
}
