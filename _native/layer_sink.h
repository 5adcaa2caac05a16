/* Where a tar is written: hashed plain, compressed, hashed again, and sent to a descriptor. */
#ifndef CK_LAYER_SINK_H
#define CK_LAYER_SINK_H

#include "layer.h"

enum { SINK_BUFFER = 256 * 1024 };

struct ck_deflate;
struct ck_sink {
	struct ck_fault *fault;
	struct ck_deflate *deflate;
	struct ck_sha256 plain, packed;
	uint64_t plain_size;
	const int *cancelled;
	int compressed;
	size_t used;
	unsigned char buffer[SINK_BUFFER];
};

/* compression: CK_PLAIN, CK_GZIP or CK_ZSTD. */
int ck_sink_open(struct ck_sink **sink, int fd, int compression, const int *cancelled, struct ck_fault *fault);
int ck_sink_write(struct ck_sink *sink, const void *data, size_t size);
int ck_sink_zeros(struct ck_sink *sink, uint64_t size);
/* size bytes of fd from offset; a file that has become shorter is filled with zeros when `fill`, else -ENODATA. */
int ck_sink_file(struct ck_sink *sink, int fd, uint64_t offset, uint64_t size, int fill, const char *path);
int ck_sink_finish(struct ck_sink *sink, unsigned char *diff_id, unsigned char *blob_digest, uint64_t *blob_size);
void ck_sink_close(struct ck_sink *sink);

#endif
