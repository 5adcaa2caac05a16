/* Reading a layer: every byte as it comes is hashed and copied, every plain byte passed on, once. */
#include "layer_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inflate.h"

enum { READ_SIZE = 256 * 1024, CANCEL_CHECK_MS = 100, LONGEST_MAGIC = 6 };

struct source {
	struct ck_unpack *job;
	struct ck_ring *ring;
	struct ck_fault *fault;
	struct ck_inflate *inflate;
	struct ck_sha256 blob_hash;
	uint64_t read;
	int seekable;
	unsigned char *slot;
	size_t slot_used;
};

static int cancelled(struct source *source)
{
	if (!__atomic_load_n(&source->job->cancelled, __ATOMIC_RELAXED))
		return 0;
	return ck_fail(source->fault, CK_FAULT_CANCELLED, ECANCELED, NULL, "stopped by the caller");
}

/* A pipe or a socket may stay silent for ever: wait for it in steps, so that the caller can give up. */
static int wait_readable(struct source *source)
{
	struct pollfd poller = {.fd = source->job->source_fd, .events = POLLIN};

	for (;;) {
		int error = cancelled(source);

		if (error || __atomic_load_n(&source->ring->abandoned, __ATOMIC_RELAXED))
			return error ? error : -ECANCELED;
		if (source->seekable || poll(&poller, 1, CANCEL_CHECK_MS) != 0)
			return 0;
	}
}

/* Up to `wanted` bytes; 0 at the end of the source. */
static ssize_t read_some(struct source *source, unsigned char *buffer, size_t wanted)
{
	struct ck_unpack *job = source->job;
	ssize_t got;

	if (job->size >= 0 && (uint64_t)job->size - source->read < wanted)
		wanted = (size_t)((uint64_t)job->size - source->read);
	do {
		int error = wait_readable(source);

		if (error)
			return error;
		got = job->offset < 0 ? read(job->source_fd, buffer, wanted)
				      : pread(job->source_fd, buffer, wanted, job->offset + (off_t)source->read);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	if (got < 0)
		return ck_fail_errno(source->fault, NULL, "cannot read the layer");
	if (got == 0 && job->size >= 0 && source->read < (uint64_t)job->size)
		return ck_fail(source->fault, CK_FAULT_CORRUPT, EBADMSG, NULL,
			       "the layer ends after %llu of %lld bytes", (unsigned long long)source->read,
			       (long long)job->size);
	source->read += (uint64_t)got;
	return got;
}

/* As for the layer itself, the disk begins early: the sync at the end is short then. */
static int keep_blob(struct source *source, const unsigned char *data, size_t size)
{
	enum { WRITE_BACK = 4 * 1024 * 1024 };
	const struct ck_unpack *job = source->job;

	ck_sha256_update(&source->blob_hash, data, size);
	if (job->blob_fd < 0)
		return 0;
	int error = ck_write_all(job->blob_fd, data, size);

	if (error)
		return ck_fail(source->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the copy of the layer");
	if (job->sync && (source->read - size) / WRITE_BACK != source->read / WRITE_BACK)
		sync_file_range(job->blob_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int check_budget(struct source *source)
{
	const struct ck_limits *limits = &source->job->limits;
	uint64_t plain = source->job->tar_size;

	if (plain > limits->tar_size)
		return ck_fail(source->fault, CK_FAULT_LIMIT, E2BIG, NULL, "the layer has more than %llu bytes",
			       (unsigned long long)limits->tar_size);
	if (plain > limits->ratio_grace && plain / limits->ratio > source->read)
		return ck_fail(source->fault, CK_FAULT_LIMIT, E2BIG, NULL,
			       "the layer grows to more than %llu times its compressed size",
			       (unsigned long long)limits->ratio);
	return 0;
}

static int need_slot(struct source *source)
{
	if (!source->slot) {
		source->slot = ck_ring_free_slot(source->ring);
		source->slot_used = 0;
	}
	return source->slot ? 0 : -ECANCELED;
}

/* Hands the slot over; the extractor works on it while the next one is filled. */
static int publish(struct source *source)
{
	if (!source->slot || !source->slot_used)
		return 0;
	source->job->tar_size += source->slot_used;
	ck_ring_publish(source->ring, source->slot_used);
	source->slot = NULL;
	return check_budget(source);
}

static int inflate_chunk(struct source *source, const unsigned char *data, size_t size)
{
	struct ck_flow flow = {.in = data, .in_left = size};
	int full = 0;

	/* With the output full there may be more to come from input that is already swallowed. */
	while (flow.in_left || full) {
		int error = need_slot(source);

		if (error)
			return error;
		flow.out = source->slot + source->slot_used;
		flow.out_left = SLOT_SIZE - source->slot_used;
		size_t before = flow.in_left, room = flow.out_left;

		error = ck_inflate_step(source->inflate, &flow);
		if (error)
			return error;
		source->slot_used = SLOT_SIZE - flow.out_left;
		full = flow.out_left == 0 && !ck_inflate_complete(source->inflate);
		if (flow.out_left == 0)
			error = publish(source);
		else if (flow.in_left == before && flow.out_left == room && before)
			error = ck_fail(source->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the compressed data makes no sense");
		if (error)
			return error;
	}
	return 0;
}

static int detect(const unsigned char *data, size_t size)
{
	if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
		return CK_GZIP;
	if (size >= 4 && memcmp(data, "\x28\xb5\x2f\xfd", 4) == 0)
		return CK_ZSTD;
	/* A skippable frame may stand first. */
	if (size >= 4 && (data[0] & 0xf0) == 0x50 && memcmp(data + 1, "\x2a\x4d\x18", 3) == 0)
		return CK_ZSTD;
	return CK_PLAIN;
}

static int refuse_others(struct source *source, const unsigned char *data, size_t size)
{
	const char *name = size >= 6 && memcmp(data, "\xfd" "7zXZ", 6) == 0 ? "xz"
			   : size >= 3 && memcmp(data, "BZh", 3) == 0	    ? "bzip2"
									    : NULL;

	if (!name)
		return 0;
	return ck_fail(source->fault, CK_FAULT_UNSUPPORTED, EOPNOTSUPP, NULL,
		       "%s layers cannot be read: recompress it with gzip or zstd", name);
}

/* Fills the buffer until the magic can be seen or the source ends. */
static ssize_t read_start(struct source *source, unsigned char *buffer)
{
	size_t held = 0;

	while (held < LONGEST_MAGIC) {
		ssize_t got = read_some(source, buffer + held, READ_SIZE - held);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		held += (size_t)got;
	}
	return (ssize_t)held;
}

static int choose(struct source *source, const unsigned char *data, size_t size)
{
	int compression = source->job->compression;

	if (compression == CK_AUTO)
		compression = detect(data, size);
	if (compression == CK_PLAIN) {
		int error = refuse_others(source, data, size);

		return error;
	}
	/* Inflating is the larger half of the work: the other thread hashes what comes out. */
	source->ring->taker_hashes = 1;
	return ck_inflate_open(&source->inflate, compression, source->fault);
}

static int pump_compressed(struct source *source, unsigned char *buffer, ssize_t got)
{
	while (got > 0) {
		int error = keep_blob(source, buffer, (size_t)got);

		if (!error)
			error = inflate_chunk(source, buffer, (size_t)got);
		if (error)
			return error;
		got = read_some(source, buffer, READ_SIZE);
	}
	if (got < 0)
		return (int)got;
	if (!ck_inflate_complete(source->inflate))
		return ck_fail(source->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the compressed data ends too early");
	return publish(source);
}

/* A plain tar is read straight into the ring; one digest serves as both. */
static int pump_plain(struct source *source, const unsigned char *start, ssize_t got)
{
	int error = need_slot(source);

	if (!error)
		memcpy(source->slot, start, (size_t)got);
	while (!error && got > 0) {
		source->slot_used = (size_t)got;
		error = keep_blob(source, source->slot, (size_t)got);
		if (!error)
			error = publish(source);
		if (!error)
			error = need_slot(source);
		if (!error)
			got = read_some(source, source->slot, SLOT_SIZE);
	}
	return error ? error : (int)got;
}

int ck_source_run(struct ck_unpack *job, struct ck_ring *ring, struct ck_fault *fault)
{
	struct source source = {.job = job, .ring = ring, .fault = fault};
	unsigned char *buffer = malloc(READ_SIZE);
	int error;

	if (!buffer)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to read the layer");
	source.seekable = lseek(job->source_fd, 0, SEEK_CUR) >= 0;
	ck_sha256_start(&source.blob_hash);
	ssize_t got = read_start(&source, buffer);

	error = got < 0 ? (int)got : choose(&source, buffer, (size_t)got);
	if (!error)
		error = source.inflate ? pump_compressed(&source, buffer, got) : pump_plain(&source, buffer, got);
	job->blob_size = source.read;
	ck_sha256_digest(&source.blob_hash, job->blob_digest);
	if (!source.inflate)
		memcpy(job->diff_id, job->blob_digest, sizeof(job->diff_id));
	ck_inflate_close(source.inflate);
	free(buffer);
	return error;
}
