/* The recipe of a tar: every byte of it that is not payload of a file, and where the payload belongs.
 *
 * A recipe is "CKRECIP1", one byte for the compression (0 none, 1 zlib, 2 zstd), then a stream of steps:
 *   'L' size bytes               literal bytes of the tar
 *   'F' keep size suffix         the payload of a file: its path is the first `keep` bytes of the path before it and
 *       file_size n (offset size)*n     the suffix; file_size is checked, the n regions follow one another in the tar
 *   'O' path_size path size bytes       the content that path had until here: an entry further on replaces it
 *   'E' tar_size sha256          the end
 * Numbers are LEB128.  With the tree beside it the exact tar comes back, byte for byte. */
#ifndef CK_LAYER_RECIPE_H
#define CK_LAYER_RECIPE_H

#include "layer.h"

#define RECIPE_MAGIC "CKRECIP1"

enum { RECIPE_PLAIN, RECIPE_ZLIB, RECIPE_ZSTD };

struct ck_deflate;
struct ck_recipe {
	int fd;
	struct ck_fault *fault;
	struct ck_deflate *deflate;
	char path[4096]; /* of the last file, for the next one's prefix */
	unsigned char literal[64 * 1024];
	size_t literal_used;
};

/* Writes the magic; close flushes.  All return 0 or -errno with the fault recorded. */
int ck_recipe_open(struct ck_recipe **recipe, int fd, struct ck_fault *fault);
int ck_recipe_literal(struct ck_recipe *recipe, const void *data, size_t size);
int ck_recipe_file(struct ck_recipe *recipe, const char *path, uint64_t file_size, const struct ck_extent *extents,
		   size_t count);
/* The content of fd, a file of `size` bytes that an entry further on replaces. */
int ck_recipe_overwritten(struct ck_recipe *recipe, const char *path, int fd, uint64_t size);
int ck_recipe_finish(struct ck_recipe *recipe, uint64_t tar_size, const unsigned char *diff_id);
void ck_recipe_close(struct ck_recipe *recipe);

#endif
