/* The writing end of packing and replaying. */
#include "layer_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inflate.h"

enum { GZIP_LEVEL = 6, ZSTD_LEVEL = 3 };

int ck_sink_open(struct ck_sink **out, int fd, int compression, const int *cancelled, struct ck_fault *fault)
{
	struct ck_sink *sink = malloc(sizeof(*sink));
	int kind = compression == CK_GZIP ? CK_DEFLATE_GZIP : compression == CK_ZSTD ? CK_DEFLATE_ZSTD : CK_DEFLATE_NONE;
	int level = kind == CK_DEFLATE_GZIP ? GZIP_LEVEL : ZSTD_LEVEL;

	*out = sink;
	if (!sink)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to write the layer");
	sink->fault = fault;
	sink->cancelled = cancelled;
	sink->compressed = kind != CK_DEFLATE_NONE;
	sink->used = 0;
	sink->plain_size = 0;
	ck_sha256_start(&sink->plain);
	ck_sha256_start(&sink->packed);
	int error = ck_deflate_open(&sink->deflate, kind, level, fd, sink->compressed ? &sink->packed : NULL);

	if (error == -EOPNOTSUPP)
		return ck_fail(fault, CK_FAULT_UNSUPPORTED, EOPNOTSUPP, NULL,
			       "built without this compression: install libisal-dev, zlib1g-dev or libzstd-dev and build again");
	return error ? ck_fail(fault, CK_FAULT_KERNEL, -error, NULL, "no memory to compress") : 0;
}

static int flush(struct ck_sink *sink)
{
	int error;

	if (__atomic_load_n(sink->cancelled, __ATOMIC_RELAXED))
		return ck_fail(sink->fault, CK_FAULT_CANCELLED, ECANCELED, NULL, "stopped by the caller");
	ck_sha256_update(&sink->plain, sink->buffer, sink->used);
	error = ck_deflate_write(sink->deflate, sink->buffer, sink->used);
	sink->plain_size += sink->used;
	sink->used = 0;
	return error ? ck_fail(sink->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the layer") : 0;
}

int ck_sink_write(struct ck_sink *sink, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		size_t room = SINK_BUFFER - sink->used;
		size_t part = size < room ? size : room;

		memcpy(sink->buffer + sink->used, at, part);
		sink->used += part;
		at += part;
		size -= part;
		int error = sink->used == SINK_BUFFER ? flush(sink) : 0;

		if (error)
			return error;
	}
	return 0;
}

int ck_sink_zeros(struct ck_sink *sink, uint64_t size)
{
	static const char zeros[4096];
	int error = 0;

	while (size && !error) {
		size_t part = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		error = ck_sink_write(sink, zeros, part);
		size -= part;
	}
	return error;
}

int ck_sink_file(struct ck_sink *sink, int fd, uint64_t offset, uint64_t size, int fill, const char *path)
{
	while (size) {
		size_t room = SINK_BUFFER - sink->used;
		ssize_t got = pread(fd, sink->buffer + sink->used, size < room ? (size_t)size : room, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ck_fail_errno(sink->fault, path, "cannot read it");
		if (got == 0)
			return fill ? ck_sink_zeros(sink, size) : -ENODATA;
		sink->used += (size_t)got;
		offset += (uint64_t)got;
		size -= (uint64_t)got;
		int error = sink->used == SINK_BUFFER ? flush(sink) : 0;

		if (error)
			return error;
	}
	return 0;
}

int ck_sink_finish(struct ck_sink *sink, unsigned char *diff_id, unsigned char *blob_digest, uint64_t *blob_size)
{
	int error = flush(sink);

	if (error)
		return error;
	error = ck_deflate_finish(sink->deflate);
	if (error)
		return ck_fail(sink->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the layer");
	ck_sha256_digest(&sink->plain, diff_id);
	ck_sha256_digest(sink->compressed ? &sink->packed : &sink->plain, blob_digest);
	*blob_size = ck_deflate_written(sink->deflate);
	return 0;
}

void ck_sink_close(struct ck_sink *sink)
{
	if (sink)
		ck_deflate_close(sink->deflate);
	free(sink);
}
