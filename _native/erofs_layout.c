/* Where everything stands in the image: inodes in the order in which the layer brought them, then directories. */
#include "erofs_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = TAR_BLOCK, INODE = 64, NID_UNIT = 32, FIRST_INODE = 3 * BLOCK, META_START = 2 * BLOCK, DIRENT = 12 };

/* A name is in the tree unless it, or a directory that it lies in, was replaced. */
static void find_live(struct erofs_tree *tree)
{
	struct erofs_node *nodes = tree->nodes;

	nodes[EROFS_ROOT].flags |= EROFS_LIVE;
	nodes[EROFS_ROOT].links = 2;
	for (uint32_t i = 1; i < tree->node_count; i++) {
		struct erofs_node *node = &nodes[i], *parent = &nodes[node->parent];

		if (node->flags & EROFS_REMOVED || !(parent->flags & EROFS_LIVE))
			continue;
		node->flags |= EROFS_LIVE;
		struct erofs_node *inode = erofs_inode(tree, i);

		inode->links += S_ISDIR(inode->mode) ? 2 : 1;
		parent->links += S_ISDIR(inode->mode);
		node->next = parent->first;
		parent->first = i;
	}
}

static int compare(const unsigned char *a, size_t a_size, const unsigned char *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_nodes(const void *left, const void *right, void *argument)
{
	const struct erofs_tree *tree = argument;
	const unsigned char *a = tree->texts + tree->nodes[*(const uint32_t *)left].name;
	const unsigned char *b = tree->texts + tree->nodes[*(const uint32_t *)right].name;

	return compare(a + 1, a[0], b + 1, b[0]);
}

static int sort_directory(struct erofs_tree *tree, struct erofs_node *directory, uint32_t **room, size_t *capacity)
{
	size_t count = 0;
	uint32_t *link = &directory->first;

	for (uint32_t child = directory->first; child; child = tree->nodes[child].next) {
		if (count == *capacity) {
			uint32_t *grown = realloc(*room, (*capacity * 2 + 64) * sizeof(**room));

			if (!grown)
				return -ENOMEM;
			*room = grown;
			*capacity = *capacity * 2 + 64;
		}
		(*room)[count++] = child;
	}
	if (count)
		qsort_r(*room, count, sizeof(**room), compare_nodes, tree);
	for (size_t i = 0; i < count; i++) {
		*link = (*room)[i];
		link = &tree->nodes[*link].next;
	}
	*link = 0;
	return 0;
}

void erofs_list(struct erofs_cursor *cursor, const struct erofs_tree *tree, uint32_t directory)
{
	*cursor = (struct erofs_cursor){.tree = tree, .directory = directory, .child = tree->nodes[directory].first};
}

int erofs_next_name(struct erofs_cursor *cursor, struct erofs_name *name)
{
	static const unsigned char dots[] = "..";
	const struct erofs_tree *tree = cursor->tree;
	const struct erofs_node *directory = &tree->nodes[cursor->directory];
	const unsigned char *text = tree->texts + tree->nodes[cursor->child].name;

	if (cursor->dots < 2 && (!cursor->child || compare(dots, (size_t)cursor->dots + 1, text + 1, text[0]) < 0)) {
		*name = (struct erofs_name){dots, (size_t)++cursor->dots, directory};
		if (cursor->dots == 2)
			name->inode = &tree->nodes[directory->parent];
		return 1;
	}
	if (!cursor->child)
		return 0;
	*name = (struct erofs_name){text + 1, text[0], erofs_inode(tree, cursor->child)};
	cursor->child = tree->nodes[cursor->child].next;
	return 1;
}

/* How many blocks the names of a directory fill; no name may be cut by the end of a block. */
static uint64_t directory_blocks(const struct erofs_tree *tree, uint32_t directory)
{
	struct erofs_cursor cursor;
	struct erofs_name name;
	uint64_t blocks = 1, used = 0;

	erofs_list(&cursor, tree, directory);
	while (erofs_next_name(&cursor, &name)) {
		if (used + DIRENT + name.size > BLOCK) {
			blocks++;
			used = 0;
		}
		used += DIRENT + name.size;
	}
	return blocks;
}

uint32_t erofs_attribute_size(const struct erofs_tree *tree, const struct erofs_node *inode)
{
	uint32_t size = 0;

	if (inode->attributes)
		memcpy(&size, tree->texts + inode->attributes, sizeof(size));
	/* 12 bytes of header when it is the only one, 4 and 14 and 1 for "overlay.opaque" and its value, rounded up. */
	if (inode->flags & EROFS_OPAQUE)
		size = (size ? size : 12) + 20;
	return size;
}

int erofs_is_inline(const struct erofs_tree *tree, const struct erofs_node *inode)
{
	(void)tree; /* links have no attributes */
	return S_ISLNK(inode->mode) && inode->size <= BLOCK - INODE;
}

uint64_t erofs_inode_size(const struct erofs_tree *tree, const struct erofs_node *inode)
{
	return INODE + erofs_attribute_size(tree, inode) + (erofs_is_inline(tree, inode) ? inode->size : 0);
}

/* An inode does not cross the end of a block, and neither does what stands beside it. */
static void place(const struct erofs_tree *tree, struct erofs_node *inode, struct erofs_layout *layout)
{
	uint64_t size = erofs_inode_size(tree, inode), at = (layout->inode_end + INODE - 1) & ~(uint64_t)(INODE - 1);

	if (erofs_is_inline(tree, inode) && at % BLOCK + size > BLOCK)
		at = (at + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
	inode->nid = (uint32_t)((at - META_START) / NID_UNIT);
	layout->inode_end = at + size;
	layout->inodes++;
}

int erofs_lay_out(struct erofs_tree *tree, struct erofs_layout *layout)
{
	uint32_t *room = NULL;
	size_t capacity = 0;
	int error = 0;

	*layout = (struct erofs_layout){.inode_end = FIRST_INODE};
	find_live(tree);
	for (uint32_t i = 0; i < tree->node_count && !error; i++) {
		struct erofs_node *inode = &tree->nodes[i];

		if (inode->flags & EROFS_LINK || !inode->links)
			continue;
		if (S_ISDIR(inode->mode)) {
			error = sort_directory(tree, inode, &room, &capacity);
			inode->size = directory_blocks(tree, i) * BLOCK;
			layout->directory_blocks += inode->size / BLOCK;
		} else if (S_ISLNK(inode->mode) && !erofs_is_inline(tree, inode)) {
			layout->symlink_blocks += (inode->size + BLOCK - 1) / BLOCK;
		}
		place(tree, inode, layout);
	}
	free(room);
	return error;
}
