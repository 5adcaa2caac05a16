/* Compression to a descriptor: recipes (zstd or zlib) and gzip layers. */
#include "inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef CK_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif
#ifdef CK_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef CK_HAVE_ZSTD
#include <zstd.h>
#endif

enum { OUT_SIZE = 128 * 1024 };

struct ck_deflate {
	/* Compresses what *in holds; end = 1 finishes the stream.  0 or -errno. */
	int (*run)(struct ck_deflate *self, const void *in, size_t size, int end);
	void (*close)(struct ck_deflate *self);
	int fd;
	struct ck_sha256 *hash;
	uint64_t written;
	void *state;
	unsigned char out[OUT_SIZE];
};

static int emit(struct ck_deflate *self, const void *data, size_t size)
{
	if (!size)
		return 0;
	if (self->hash)
		ck_sha256_update(self->hash, data, size);
	self->written += size;
	return self->fd < 0 ? 0 : ck_write_all(self->fd, data, size);
}

static int run_plain(struct ck_deflate *self, const void *in, size_t size, int end)
{
	return emit(self, in, size);
}

static void close_plain(struct ck_deflate *self)
{
}

#ifdef CK_HAVE_ZLIB
static int run_zlib(struct ck_deflate *self, const void *in, size_t size, int end)
{
	z_stream *z = self->state;
	int error = 0;

	z->next_in = (unsigned char *)in;
	z->avail_in = (unsigned int)size;
	do {
		z->next_out = self->out;
		z->avail_out = OUT_SIZE;
		if (deflate(z, end ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
			return -EIO;
		error = emit(self, self->out, OUT_SIZE - z->avail_out);
	} while (!error && z->avail_out == 0);
	return error;
}

static void close_zlib(struct ck_deflate *self)
{
	if (self->state)
		deflateEnd(self->state);
	free(self->state);
}

static int open_zlib(struct ck_deflate *self, int kind, int level)
{
	z_stream *z = calloc(1, sizeof(*z));
	int window = kind == CK_DEFLATE_GZIP ? 15 + 16 : 15;

	self->run = run_zlib;
	self->close = close_zlib;
	if (!z || deflateInit2(z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return -ENOMEM;
	}
	self->state = z;
	return 0;
}
#else
static int open_zlib(struct ck_deflate *self, int kind, int level)
{
	return -EOPNOTSUPP;
}
#endif

#ifdef CK_HAVE_ZSTD
static int run_zstd(struct ck_deflate *self, const void *in, size_t size, int end)
{
	ZSTD_inBuffer input = {in, size, 0};
	size_t left;
	int error;

	do {
		ZSTD_outBuffer output = {self->out, OUT_SIZE, 0};

		left = ZSTD_compressStream2(self->state, &output, &input, end ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return -EIO;
		error = emit(self, self->out, output.pos);
	} while (!error && (input.pos < input.size || (end && left)));
	return error;
}

static void close_zstd(struct ck_deflate *self)
{
	ZSTD_freeCCtx(self->state);
}

static int open_zstd(struct ck_deflate *self, int level)
{
	self->run = run_zstd;
	self->close = close_zstd;
	self->state = ZSTD_createCCtx();
	if (!self->state)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(self->state, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(self->state, ZSTD_c_checksumFlag, 1);
	return 0;
}
#else
static int open_zstd(struct ck_deflate *self, int level)
{
	return -EOPNOTSUPP;
}
#endif

#ifdef CK_HAVE_ISAL
struct isal_writer {
	struct isal_zstream stream;
	unsigned char level[ISAL_DEF_LVL2_DEFAULT];
};

static int run_isal(struct ck_deflate *self, const void *in, size_t size, int end)
{
	struct isal_zstream *z = &((struct isal_writer *)self->state)->stream;
	int error = 0;

	z->next_in = (uint8_t *)in;
	z->avail_in = (uint32_t)size;
	z->end_of_stream = (uint16_t)end;
	do {
		z->next_out = self->out;
		z->avail_out = OUT_SIZE;
		if (isal_deflate(z) != COMP_OK)
			return -EIO;
		error = emit(self, self->out, OUT_SIZE - z->avail_out);
	} while (!error && z->avail_out == 0);
	return error;
}

static void close_isal(struct ck_deflate *self)
{
	free(self->state);
}

/* Level 2: a tenth more than zlib's 6 writes, at ten times its rate.  Level 3 finds other matches with AVX-512 than
 * with AVX2, and others again without; up to level 2 every processor with SSE 4.2 writes the same bytes. */
static int open_gzip(struct ck_deflate *self, int level)
{
	struct isal_writer *writer = calloc(1, sizeof(*writer));

	self->run = run_isal;
	self->close = close_isal;
	self->state = writer;
	if (!writer)
		return -ENOMEM;
	isal_deflate_init(&writer->stream);
	writer->stream.level = 2;
	writer->stream.level_buf = writer->level;
	writer->stream.level_buf_size = sizeof(writer->level);
	writer->stream.gzip_flag = IGZIP_GZIP;
	return 0;
}
#else
static int open_gzip(struct ck_deflate *self, int level)
{
	return open_zlib(self, CK_DEFLATE_GZIP, level);
}
#endif

int ck_deflate_best_stream(void)
{
	int features = ck_layer_features();

	return features & 4 ? CK_DEFLATE_ZSTD : features & 2 ? CK_DEFLATE_ZLIB : CK_DEFLATE_NONE;
}

int ck_deflate_open(struct ck_deflate **out, int kind, int level, int fd, struct ck_sha256 *hash)
{
	struct ck_deflate *self = calloc(1, sizeof(*self));
	int error = 0;

	*out = self;
	if (!self)
		return -ENOMEM;
	self->fd = fd;
	self->hash = hash;
	self->run = run_plain;
	self->close = close_plain;
	if (kind == CK_DEFLATE_GZIP)
		error = open_gzip(self, level);
	else if (kind == CK_DEFLATE_ZLIB)
		error = open_zlib(self, kind, level);
	else if (kind == CK_DEFLATE_ZSTD)
		error = open_zstd(self, level);
	return error;
}

int ck_deflate_write(struct ck_deflate *self, const void *data, size_t size)
{
	return size ? self->run(self, data, size, 0) : 0;
}

int ck_deflate_finish(struct ck_deflate *self)
{
	return self->run(self, "", 0, 1);
}

uint64_t ck_deflate_written(const struct ck_deflate *self)
{
	return self->written;
}

void ck_deflate_close(struct ck_deflate *self)
{
	if (self)
		self->close(self);
	free(self);
}
