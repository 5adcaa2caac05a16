/* A layer as a tree in memory, on its way to a mountable image: names and attributes only.
 *
 * The content of files stays in the plain tar, which the image names as its second device: EROFS with blocks of 512
 * bytes, as tar has them, so that every file begins at a block. */
#ifndef CK_EROFS_TREE_H
#define CK_EROFS_TREE_H

#include "layer_extract.h"

enum {
	EROFS_ROOT = 0, /* the first node; as a parent or a child elsewhere 0 says "none" */
	EROFS_LINK = 1,	    /* one more name of the inode `first` */
	EROFS_REMOVED = 2,  /* this name was replaced; the inode may have others */
	EROFS_OPAQUE = 4,   /* a directory that hides what lower layers have in it */
	EROFS_LIVE = 8,	    /* the name is in the tree (set when the layer is complete) */
	/* What a function of these files returns when the layer cannot be put into such an image. */
	EROFS_UNFIT = 1,
};

struct erofs_node {
	uint32_t parent;
	uint32_t name;	     /* in texts: a length byte, then the name */
	uint32_t first;	     /* first child; first block in the tar; target in texts; device number; inode */
	uint32_t next;	     /* the parent's next child, once the layer is complete */
	uint32_t attributes; /* in texts: the inode's attribute area, or 0 */
	uint32_t links;
	uint32_t nid;
	uint32_t uid, gid;
	uint32_t nanoseconds;
	int64_t seconds;
	uint64_t size;
	uint16_t mode;
	uint8_t flags;
};

struct erofs_tree {
	struct erofs_node *nodes;
	uint32_t node_count, node_room;
	unsigned char *texts;
	uint32_t text_size, text_room;
	uint32_t *slots; /* by parent and name; 0 is free, UINT32_MAX was used */
	uint32_t slot_count, slots_used;
	uint64_t seed;
	int scratch_fd; /* a nameless file on which the kernel checks attributes, */
	struct gathering *gathering; /* and room to read them back */
};

/* erofs_tree.c: 0, EROFS_UNFIT when the budget is spent, or -errno with the fault recorded. */
int erofs_tree_open(struct erofs_tree **tree, struct ck_fault *fault);
void erofs_tree_close(struct erofs_tree *tree);
/* The node of a name, or 0. */
uint32_t erofs_find(const struct erofs_tree *tree, uint32_t parent, const char *name);
int erofs_add(struct erofs_tree *tree, uint32_t parent, const char *name, uint32_t *node);
void erofs_remove(struct erofs_tree *tree, uint32_t node);
int erofs_keep_text(struct erofs_tree *tree, const void *data, size_t size, uint32_t *at);
/* The node that holds the inode of a name. */
struct erofs_node *erofs_inode(const struct erofs_tree *tree, uint32_t node);

/* erofs_entries.c: one entry into the tree; the same verdicts as layer_apply. */
int erofs_apply(struct layer_extract *x);

/* erofs_attributes.c: the entry's extended attributes, and the mode as an access list changes it. */
int erofs_take_attributes(struct layer_extract *x, uint32_t node);

/* erofs_layout.c: sorts every directory and gives every inode its place. */
struct erofs_layout {
	uint64_t inode_end;	 /* bytes from the start of the image */
	uint64_t directory_blocks;
	uint64_t symlink_blocks; /* of targets too long to stand beside their inode */
	uint64_t inodes;
};
int erofs_lay_out(struct erofs_tree *tree, struct erofs_layout *layout);
/* Bytes of an inode with its attributes and a target beside it. */
uint64_t erofs_inode_size(const struct erofs_tree *tree, const struct erofs_node *inode);
uint32_t erofs_attribute_size(const struct erofs_tree *tree, const struct erofs_node *inode);
int erofs_is_inline(const struct erofs_tree *tree, const struct erofs_node *inode);

/* One name after the other as the directory lists them, with "." and ".." in their places. */
struct erofs_cursor {
	const struct erofs_tree *tree;
	uint32_t directory, child;
	int dots;
};
struct erofs_name {
	const unsigned char *text;
	size_t size;
	const struct erofs_node *inode;
};
void erofs_list(struct erofs_cursor *cursor, const struct erofs_tree *tree, uint32_t directory);
/* 0 at the end. */
int erofs_next_name(struct erofs_cursor *cursor, struct erofs_name *name);

/* erofs_image.c: writes the image; tar_size is the length of the device beside it. */
int erofs_write_image(const struct erofs_tree *tree, const struct erofs_layout *layout, int fd, uint64_t tar_size,
		      struct ck_fault *fault);

#endif
