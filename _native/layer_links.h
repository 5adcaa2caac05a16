/* Hard links: the first path under which each file with several names was met. */
#ifndef CK_LAYER_LINKS_H
#define CK_LAYER_LINKS_H

#include <stddef.h>
#include <sys/stat.h>

struct layer_links {
	struct layer_link *slots;
	size_t capacity, used;
};

/* *first is set when this file was met before; otherwise the path is remembered.  0 or -ENOMEM. */
int layer_links_first(struct layer_links *links, const struct stat *status, const char *path, const char **first);
void layer_links_close(struct layer_links *links);

#endif
