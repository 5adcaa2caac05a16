/* What the parts of packing share. */
#ifndef CK_LAYER_PACK_H
#define CK_LAYER_PACK_H

#include "tar_write.h"

struct layer_links;
struct layer_pack {
	struct ck_pack *job;
	struct ck_fault *fault;
	struct ck_sink *sink;
	struct layer_links *links;
	dev_t device;
	char *path, *link;
	struct tar_entry entry;
	char *xattr_names, *xattr_values;
	struct tar_xattr *xattrs;
	struct ck_extent *extents;
	size_t extent_capacity;
};

/* layer_pack_file.c: attributes that belong into an image; *mark = 1 for an opaque directory or a whiteout file. */
int layer_read_xattrs(struct layer_pack *pack, int fd, int *mark);
/* Gives the entry its regions when leaving the holes out is worth it. */
int layer_find_holes(struct layer_pack *pack, int fd, const struct stat *status);
void layer_pack_free(struct layer_pack *pack);

/* layer_attributes.c: whether an image may carry this attribute. */
int layer_xattr_allowed(const char *name);

#endif
