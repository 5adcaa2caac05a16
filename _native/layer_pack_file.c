/* What packing reads of one file besides its content: attributes, and where its holes are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layer_pack.h"

/* The kernel's own limits (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
enum { NAMES_ROOM = 65536, VALUES_ROOM = 4 * 65536, MOST_XATTRS = 1024 };
enum { LEAST_HOLE = 64 * 1024, MOST_EXTENTS = 32768 };

static int prepare(struct layer_pack *pack)
{
	if (pack->xattr_names)
		return 0;
	pack->xattr_names = malloc(NAMES_ROOM);
	pack->xattr_values = malloc(VALUES_ROOM);
	pack->xattrs = calloc(MOST_XATTRS, sizeof(*pack->xattrs));
	return pack->xattr_names && pack->xattr_values && pack->xattrs ? 0 : -ENOMEM;
}

void layer_pack_free(struct layer_pack *pack)
{
	free(pack->xattr_names);
	free(pack->xattr_values);
	free(pack->xattrs);
	free(pack->extents);
	free(pack->path);
	free(pack->link);
}

/* Overlay's own attributes: 1 for a mark that becomes a marker, 0 for none, -errno for what tar cannot express. */
static int overlay_mark(struct layer_pack *pack, const char *name)
{
	const char *prefix = pack->job->user_xattrs ? "user.overlay." : "trusted.overlay.";
	size_t size = strlen(prefix);

	if (pack->job->form != CK_FORM_OVERLAY || strncmp(name, prefix, size) != 0)
		return 0;
	if (strcmp(name + size, "opaque") == 0 || strcmp(name + size, "whiteout") == 0)
		return 1;
	if (strcmp(name + size, "redirect") == 0 || strcmp(name + size, "metacopy") == 0)
		return ck_fail(pack->fault, CK_FAULT_UNSUPPORTED, EOPNOTSUPP, pack->path,
			       "overlay keeps its content in a lower layer (%s): mount without redirect_dir and metacopy", name);
	return 0;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct tar_xattr *)left)->name, ((const struct tar_xattr *)right)->name);
}

static int take_xattr(struct layer_pack *pack, int fd, const char *name, size_t *used)
{
	struct tar_entry *entry = &pack->entry;
	ssize_t size = fgetxattr(fd, name, pack->xattr_values + *used, VALUES_ROOM - *used);

	if (size < 0 && errno == ENODATA)
		return 0;
	if (size < 0)
		return ck_fail_errno(pack->fault, pack->path, "cannot read its attributes");
	if (entry->xattr_count == MOST_XATTRS)
		return ck_fail(pack->fault, CK_FAULT_LIMIT, E2BIG, pack->path, "it has too many attributes");
	pack->xattrs[entry->xattr_count++] = (struct tar_xattr){name, pack->xattr_values + *used, (size_t)size};
	*used += (size_t)size;
	return 0;
}

int layer_read_xattrs(struct layer_pack *pack, int fd, int *mark)
{
	struct tar_entry *entry = &pack->entry;
	size_t used = 0;
	int error = prepare(pack);

	if (error)
		return ck_fail(pack->fault, CK_FAULT_KERNEL, ENOMEM, pack->path, "no memory for its attributes");
	ssize_t size = flistxattr(fd, pack->xattr_names, NAMES_ROOM);

	if (size < 0 && errno != ENOTSUP)
		return ck_fail_errno(pack->fault, pack->path, "cannot list its attributes");
	entry->xattrs = pack->xattrs;
	for (ssize_t at = 0; at < size && !error; at += (ssize_t)strlen(pack->xattr_names + at) + 1) {
		const char *name = pack->xattr_names + at;
		int found = overlay_mark(pack, name);

		*mark |= found > 0;
		error = found < 0 ? found : 0;
		if (!error && layer_xattr_allowed(name))
			error = take_xattr(pack, fd, name, &used);
	}
	/* The order in which a file system lists them is its own. */
	qsort(entry->xattrs, entry->xattr_count, sizeof(*entry->xattrs), by_name);
	return error;
}

static int add_extent(struct layer_pack *pack, uint64_t offset, uint64_t size)
{
	struct tar_entry *entry = &pack->entry;

	if (entry->extent_count == pack->extent_capacity) {
		size_t capacity = pack->extent_capacity * 2 + 64;
		struct ck_extent *grown = realloc(pack->extents, capacity * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		pack->extents = grown;
		pack->extent_capacity = capacity;
	}
	pack->extents[entry->extent_count++] = (struct ck_extent){offset, size};
	entry->stored += size;
	return 0;
}

int layer_find_holes(struct layer_pack *pack, int fd, const struct stat *status)
{
	struct tar_entry *entry = &pack->entry;
	off_t size = status->st_size, data = 0, hole = 0;

	if (size - status->st_blocks * 512 < LEAST_HOLE)
		return 0;
	entry->stored = 0;
	while (hole < size && entry->extent_count < MOST_EXTENTS) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 || data >= size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		hole = hole < 0 || hole > size ? size : hole;
		if (add_extent(pack, (uint64_t)data, (uint64_t)(hole - data)))
			return ck_fail(pack->fault, CK_FAULT_KERNEL, ENOMEM, pack->path, "no memory for its regions");
	}
	/* A last region of no bytes says where the file ends; too many regions, or no holes after all: whole. */
	int dense = entry->extent_count == MOST_EXTENTS || entry->stored == (uint64_t)size;

	if (!dense && hole < size && add_extent(pack, (uint64_t)size, 0))
		return ck_fail(pack->fault, CK_FAULT_KERNEL, ENOMEM, pack->path, "no memory for its regions");
	entry->extents = pack->extents;
	if (dense) {
		entry->extent_count = 0;
		entry->stored = (uint64_t)size;
	}
	return 0;
}
