/* Names as an archive writes them, cut into components: the first wall, before the kernel's own. */
#include <errno.h>
#include <string.h>

#include "layer_extract.h"

enum { NAME_MAX_BYTES = 255 };

/* "/a", "./a", "a//b/" and "a/./b" all mean a path below the root; ".." never does. */
int layer_path_cut(struct layer_extract *x, struct layer_path *path, char *text, const char *written,
		   const char *entry)
{
	const struct ck_limits *limits = &x->job->limits;

	strcpy(text, written);
	path->depth = 0;
	while (*text) {
		size_t size = strcspn(text, "/");
		char *next = text + size + (text[size] == '/');

		text[size] = 0;
		if (strcmp(text, "..") == 0)
			return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, entry, "it leads out of the layer through \"..\"");
		if (size > NAME_MAX_BYTES)
			return ck_fail(x->fault, CK_FAULT_LIMIT, ENAMETOOLONG, entry, "a name in it is longer than 255 bytes");
		if (size && strcmp(text, ".") != 0) {
			if (path->depth == limits->path_depth)
				return ck_fail(x->fault, CK_FAULT_LIMIT, ENAMETOOLONG, entry,
					       "it lies deeper than %llu directories", (unsigned long long)limits->path_depth);
			path->names[path->depth++] = text;
		}
		text = next;
	}
	return 0;
}
