/* Nodes, names and their look-up, within a budget of memory. */
#include "erofs_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	/* Together with the buffers of unpacking below 64 MB; larger layers are kept in another form. */
	BUDGET = 40 << 20,
	FIRST_NODES = 1024,
	FIRST_TEXTS = 16 * 1024,
	FIRST_SLOTS = 4096,
};

static uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= 0xd6e8feb86659fd93ULL;
	return value ^ value >> 29;
}

/* With a secret start, so that no archive can be built whose names all fall into one place. */
static uint64_t hash_of(const struct erofs_tree *tree, uint32_t parent, const char *name, size_t size)
{
	uint64_t hash = mix(tree->seed ^ parent);

	while (size) {
		size_t part = size < 8 ? size : 8;
		uint64_t word = part;

		memcpy(&word, name, part);
		hash = mix(hash ^ word) + part;
		name += part;
		size -= part;
	}
	return mix(hash);
}

static int same_name(const struct erofs_tree *tree, uint32_t node, uint32_t parent, const char *name, size_t size)
{
	const unsigned char *text = tree->texts + tree->nodes[node].name;

	return tree->nodes[node].parent == parent && text[0] == size && memcmp(text + 1, name, size) == 0;
}

/* The slot of a name, or a free one. */
static uint32_t *slot_of(const struct erofs_tree *tree, uint32_t parent, const char *name, size_t size)
{
	uint64_t at = hash_of(tree, parent, name, size);

	for (;; at++) {
		uint32_t *slot = &tree->slots[at & (tree->slot_count - 1)];

		if (!*slot || (*slot != UINT32_MAX && same_name(tree, *slot, parent, name, size)))
			return slot;
	}
}

static int over_budget(const struct erofs_tree *tree)
{
	uint64_t used = (uint64_t)tree->node_count * sizeof(struct erofs_node) + tree->text_size;

	return used + (uint64_t)tree->slot_count * sizeof(uint32_t) > BUDGET;
}

static int grow_slots(struct erofs_tree *tree)
{
	uint32_t *old = tree->slots;
	uint32_t old_count = tree->slot_count;

	tree->slots = calloc(old_count * 2, sizeof(uint32_t));
	if (!tree->slots) {
		tree->slots = old;
		return -ENOMEM;
	}
	tree->slot_count = old_count * 2;
	tree->slots_used = 0;
	for (uint32_t i = 0; i < old_count; i++) {
		if (!old[i] || old[i] == UINT32_MAX)
			continue;
		const struct erofs_node *node = &tree->nodes[old[i]];
		const unsigned char *text = tree->texts + node->name;

		*slot_of(tree, node->parent, (const char *)text + 1, text[0]) = old[i];
		tree->slots_used++;
	}
	free(old);
	return 0;
}

static int grow_nodes(struct erofs_tree *tree)
{
	struct erofs_node *grown = realloc(tree->nodes, (size_t)tree->node_room * 2 * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	tree->nodes = grown;
	tree->node_room *= 2;
	return 0;
}

int erofs_keep_text(struct erofs_tree *tree, const void *data, size_t size, uint32_t *at)
{
	if (size > BUDGET || over_budget(tree))
		return EROFS_UNFIT;
	while (tree->text_room - tree->text_size < size) {
		unsigned char *grown = realloc(tree->texts, (size_t)tree->text_room * 2);

		if (!grown)
			return -ENOMEM;
		tree->texts = grown;
		tree->text_room *= 2;
	}
	*at = tree->text_size;
	memcpy(tree->texts + tree->text_size, data, size);
	tree->text_size += (uint32_t)size;
	return 0;
}

int erofs_tree_open(struct erofs_tree **out, struct ck_fault *fault)
{
	struct erofs_tree *tree = calloc(1, sizeof(*tree));

	*out = tree;
	if (!tree)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the layer");
	tree->scratch_fd = -1;
	tree->nodes = malloc(FIRST_NODES * sizeof(*tree->nodes));
	tree->texts = malloc(FIRST_TEXTS);
	tree->slots = calloc(FIRST_SLOTS, sizeof(uint32_t));
	if (!tree->nodes || !tree->texts || !tree->slots)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the layer");
	tree->node_room = FIRST_NODES;
	tree->text_room = FIRST_TEXTS;
	tree->slot_count = FIRST_SLOTS;
	if (getrandom(&tree->seed, sizeof(tree->seed), 0) != sizeof(tree->seed))
		return ck_fail_errno(fault, NULL, "cannot draw a random number");
	tree->texts[tree->text_size++] = 0; /* the name of the root, and what offset 0 means elsewhere: nothing */
	tree->nodes[0] = (struct erofs_node){.mode = S_IFDIR | 0755};
	tree->node_count = 1;
	return 0;
}

void erofs_tree_close(struct erofs_tree *tree)
{
	if (!tree)
		return;
	if (tree->scratch_fd >= 0)
		close(tree->scratch_fd);
	free(tree->gathering);
	free(tree->nodes);
	free(tree->texts);
	free(tree->slots);
	free(tree);
}

uint32_t erofs_find(const struct erofs_tree *tree, uint32_t parent, const char *name)
{
	return *slot_of(tree, parent, name, strlen(name));
}

int erofs_add(struct erofs_tree *tree, uint32_t parent, const char *name, uint32_t *node)
{
	unsigned char text[256];
	size_t size = strlen(name);
	uint32_t at;
	int error = 0;

	text[0] = (unsigned char)size;
	memcpy(text + 1, name, size);
	if (tree->slots_used + 1 > tree->slot_count / 4 * 3)
		error = grow_slots(tree);
	if (!error && tree->node_count == tree->node_room)
		error = grow_nodes(tree);
	if (!error)
		error = erofs_keep_text(tree, text, size + 1, &at);
	if (error)
		return error;
	*node = tree->node_count++;
	tree->nodes[*node] = (struct erofs_node){.parent = parent, .name = at};
	*slot_of(tree, parent, name, size) = *node;
	tree->slots_used++;
	return 0;
}

/* What lies below is no longer reached, whatever its slots say. */
void erofs_remove(struct erofs_tree *tree, uint32_t node)
{
	const unsigned char *text = tree->texts + tree->nodes[node].name;

	*slot_of(tree, tree->nodes[node].parent, (const char *)text + 1, text[0]) = UINT32_MAX;
	tree->nodes[node].flags |= EROFS_REMOVED;
}

struct erofs_node *erofs_inode(const struct erofs_tree *tree, uint32_t node)
{
	return &tree->nodes[tree->nodes[node].flags & EROFS_LINK ? tree->nodes[node].first : node];
}
