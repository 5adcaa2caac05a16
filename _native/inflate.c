/* Decompression of gzip and zstd streams, step by step, checksums verified. */
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
#include <zstd_errors.h>
#endif

/* The window of a zstd frame is memory that its sender chooses: 32 MiB is the most a default build reads. */
enum { ZSTD_WINDOW_LOG = 25 };

struct ck_inflate {
	int (*step)(struct ck_inflate *self, struct ck_flow *flow);
	void (*close)(struct ck_inflate *self);
	struct ck_fault *fault;
	int complete;
	union {
#ifdef CK_HAVE_ISAL
		struct inflate_state isal;
#endif
#ifdef CK_HAVE_ZLIB
		z_stream zlib;
#endif
#ifdef CK_HAVE_ZSTD
		ZSTD_DCtx *zstd;
#endif
		int nothing;
	};
};

int ck_layer_features(void)
{
	int features = 0;

#ifdef CK_HAVE_ISAL
	features |= 1;
#endif
#ifdef CK_HAVE_ZLIB
	features |= 2;
#endif
#ifdef CK_HAVE_ZSTD
	features |= 4;
#endif
	return features;
}

static int damaged(struct ck_inflate *self, const char *format)
{
	return ck_fail(self->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the %s data is damaged", format);
}

static void close_nothing(struct ck_inflate *self)
{
}

/* No compression at all: the bytes as they are. */
static int plain_step(struct ck_inflate *self, struct ck_flow *flow)
{
	size_t size = flow->in_left < flow->out_left ? flow->in_left : flow->out_left;

	memcpy(flow->out, flow->in, size);
	flow->in += size;
	flow->in_left -= size;
	flow->out += size;
	flow->out_left -= size;
	self->complete = 1;
	return 0;
}

static int open_plain(struct ck_inflate *self)
{
	self->step = plain_step;
	self->close = close_nothing;
	return 0;
}

#ifdef CK_HAVE_ZLIB
static int zlib_step(struct ck_inflate *self, struct ck_flow *flow)
{
	z_stream *z = &self->zlib;

	if (self->complete) { /* another member follows */
		inflateReset(z);
		self->complete = 0;
	}
	z->next_in = (unsigned char *)flow->in;
	z->avail_in = (unsigned int)flow->in_left;
	z->next_out = flow->out;
	z->avail_out = (unsigned int)flow->out_left;
	int result = inflate(z, Z_NO_FLUSH);

	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return damaged(self, "deflate");
	flow->in = z->next_in;
	flow->in_left = z->avail_in;
	flow->out = z->next_out;
	flow->out_left = z->avail_out;
	self->complete = result == Z_STREAM_END;
	return 0;
}

static void zlib_close(struct ck_inflate *self)
{
	inflateEnd(&self->zlib);
}

/* window: 15, and 16 more for the gzip wrapping. */
static int open_zlib(struct ck_inflate *self, int window)
{
	self->step = zlib_step;
	self->close = zlib_close;
	return inflateInit2(&self->zlib, window) == Z_OK ? 0 : -ENOMEM;
}
#else
static int open_zlib(struct ck_inflate *self, int window)
{
	return -EOPNOTSUPP;
}
#endif

#ifdef CK_HAVE_ISAL
static int isal_step(struct ck_inflate *self, struct ck_flow *flow)
{
	struct inflate_state *state = &self->isal;

	if (self->complete) { /* another member follows */
		isal_inflate_reset(state);
		state->crc_flag = ISAL_GZIP;
		self->complete = 0;
	}
	state->next_in = (uint8_t *)flow->in;
	state->avail_in = (uint32_t)flow->in_left;
	state->next_out = flow->out;
	state->avail_out = (uint32_t)flow->out_left;
	if (isal_inflate(state) != ISAL_DECOMP_OK)
		return damaged(self, "gzip");
	flow->in = state->next_in;
	flow->in_left = state->avail_in;
	flow->out = state->next_out;
	flow->out_left = state->avail_out;
	self->complete = state->block_state == ISAL_BLOCK_FINISH;
	return 0;
}

static int open_gzip(struct ck_inflate *self)
{
	isal_inflate_init(&self->isal);
	self->isal.crc_flag = ISAL_GZIP;
	self->step = isal_step;
	self->close = close_nothing;
	return 0;
}
#else
static int open_gzip(struct ck_inflate *self)
{
	return open_zlib(self, 15 + 16);
}
#endif

#ifdef CK_HAVE_ZSTD
static int zstd_step(struct ck_inflate *self, struct ck_flow *flow)
{
	ZSTD_inBuffer in = {flow->in, flow->in_left, 0};
	ZSTD_outBuffer out = {flow->out, flow->out_left, 0};
	size_t result = ZSTD_decompressStream(self->zstd, &out, &in);

	if (ZSTD_isError(result) && ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
		return ck_fail(self->fault, CK_FAULT_LIMIT, E2BIG, NULL,
			       "the zstd data asks for a window of more than %d MiB", 1 << (ZSTD_WINDOW_LOG - 20));
	if (ZSTD_isError(result))
		return damaged(self, "zstd");
	flow->in += in.pos;
	flow->in_left -= in.pos;
	flow->out += out.pos;
	flow->out_left -= out.pos;
	self->complete = result == 0;
	return 0;
}

static void zstd_close(struct ck_inflate *self)
{
	ZSTD_freeDCtx(self->zstd);
}

static int open_zstd(struct ck_inflate *self)
{
	self->step = zstd_step;
	self->close = zstd_close;
	self->zstd = ZSTD_createDCtx();
	if (!self->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(self->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return 0;
}
#else
static int open_zstd(struct ck_inflate *self)
{
	return -EOPNOTSUPP;
}
#endif

int ck_inflate_open(struct ck_inflate **out, int compression, struct ck_fault *fault)
{
	struct ck_inflate *self = calloc(1, sizeof(*self));
	int error = -ENOMEM;

	if (self) {
		self->fault = fault;
		error = compression == CK_ZSTD ? open_zstd(self)
			: compression == CK_GZIP ? open_gzip(self)
			: compression == CK_PLAIN ? open_plain(self)
						  : open_zlib(self, 15);
	}
	if (!error) {
		*out = self;
		return 0;
	}
	free(self);
	if (error == -EOPNOTSUPP)
		return ck_fail(fault, CK_FAULT_UNSUPPORTED, EOPNOTSUPP, NULL,
			       compression == CK_ZSTD ? "built without zstd: install libzstd-dev and build again"
						      : "built without gzip: install libisal-dev or zlib1g-dev and build again");
	return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to decompress");
}

int ck_inflate_step(struct ck_inflate *self, struct ck_flow *flow)
{
	return self->step(self, flow);
}

int ck_inflate_complete(const struct ck_inflate *self)
{
	return self->complete;
}

void ck_inflate_close(struct ck_inflate *self)
{
	if (self) {
		self->close(self);
		free(self);
	}
}
