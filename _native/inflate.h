/* Streaming compression behind one face: ISA-L, zlib and zstd, whichever this build has. */
#ifndef CK_INFLATE_H
#define CK_INFLATE_H

#include "layer.h"

struct ck_inflate;

/* What a step may read and write; both ends move forward. */
struct ck_flow {
	const unsigned char *in;
	size_t in_left;
	unsigned char *out;
	size_t out_left;
};

/* Beside CK_PLAIN, CK_GZIP and CK_ZSTD: zlib's own format, for recipes of builds without zstd. */
enum { CK_ZLIB_STREAM = 16 };

int ck_inflate_open(struct ck_inflate **inflate, int compression, struct ck_fault *fault);
/* Makes progress or needs input; 0 or -errno with the fault recorded. */
int ck_inflate_step(struct ck_inflate *inflate, struct ck_flow *flow);
/* 1 when the input may end here: between members or frames. */
int ck_inflate_complete(const struct ck_inflate *inflate);
void ck_inflate_close(struct ck_inflate *inflate);

/* Compression to a file: recipes, and gzip layers that we write. */
struct ck_deflate;
enum { CK_DEFLATE_NONE, CK_DEFLATE_ZLIB, CK_DEFLATE_ZSTD, CK_DEFLATE_GZIP };

/* CK_DEFLATE_ZSTD if this build has it, else ZLIB, else NONE. */
int ck_deflate_best_stream(void);
/* hash, when given, takes every byte that is written to fd. */
int ck_deflate_open(struct ck_deflate **deflate, int kind, int level, int fd, struct ck_sha256 *hash);
int ck_deflate_write(struct ck_deflate *deflate, const void *data, size_t size);
int ck_deflate_finish(struct ck_deflate *deflate);
uint64_t ck_deflate_written(const struct ck_deflate *deflate);
void ck_deflate_close(struct ck_deflate *deflate);

#endif
