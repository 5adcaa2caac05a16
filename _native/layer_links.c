/* A hash table from inodes to paths. */
#include "layer_links.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct layer_link {
	dev_t device;
	ino_t inode;
	char *path;
};

static struct layer_link *place(struct layer_link *slots, size_t capacity, dev_t device, ino_t inode)
{
	size_t at = (size_t)((inode ^ device << 20) * 0x9e3779b97f4a7c15u) & (capacity - 1);

	while (slots[at].path && (slots[at].inode != inode || slots[at].device != device))
		at = (at + 1) & (capacity - 1);
	return &slots[at];
}

static int grow(struct layer_links *links)
{
	size_t capacity = links->capacity ? links->capacity * 2 : 256;
	struct layer_link *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < links->capacity; i++)
		if (links->slots[i].path)
			*place(slots, capacity, links->slots[i].device, links->slots[i].inode) = links->slots[i];
	free(links->slots);
	links->slots = slots;
	links->capacity = capacity;
	return 0;
}

int layer_links_first(struct layer_links *links, const struct stat *status, const char *path, const char **first)
{
	if (links->used * 2 >= links->capacity && grow(links))
		return -ENOMEM;
	struct layer_link *link = place(links->slots, links->capacity, status->st_dev, status->st_ino);

	*first = link->path;
	if (link->path)
		return 0;
	*link = (struct layer_link){status->st_dev, status->st_ino, strdup(path)};
	links->used++;
	return link->path ? 0 : -ENOMEM;
}

void layer_links_close(struct layer_links *links)
{
	if (!links)
		return;
	for (size_t i = 0; i < links->capacity; i++)
		free(links->slots[i].path);
	free(links->slots);
	free(links);
}
