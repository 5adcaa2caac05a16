/* The exact tar again, from a recipe and the tree beside it; every payload byte is read and hashed on the way.
 *
 * The recipe is a file of our own store, but a store can be damaged: each number is checked before it is used. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "beneath.h"
#include "inflate.h"
#include "layer_recipe.h"
#include "layer_sink.h"

enum { IN_SIZE = 64 * 1024, OUT_SIZE = 64 * 1024, LONGEST_PATH = 8192 };

/* The plain steps of a recipe, as a stream. */
struct steps {
	struct ck_stream stream; /* first: the stream is its own source */
	int fd;
	off_t at;
	struct ck_inflate *inflate;
	int ended;
	struct ck_flow flow;
	unsigned char in[IN_SIZE], out[OUT_SIZE];
};

/* Content that a later entry of the tar replaced: it stands in the recipe itself. */
struct overwritten {
	char *path;
	uint64_t step;   /* the number of the step that brought it: it serves the last file of that path before */
	uint64_t offset; /* in the spool */
	uint64_t size;
};

struct replay {
	struct ck_replay *job;
	struct ck_fault *fault;
	struct steps *steps;
	struct ck_sink *sink;
	char path[LONGEST_PATH];
	uint64_t step;
	int spool_fd;
	uint64_t spooled;
	struct overwritten *kept;
	size_t kept_count, kept_capacity;
};

static int damaged(struct replay *replay)
{
	return ck_fail(replay->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "its recipe is damaged");
}

/* Reads the file and, where it is compressed, inflates it. */
static int more_steps(struct ck_stream *stream)
{
	struct steps *steps = (struct steps *)stream;

	steps->stream.at = steps->out;
	steps->stream.left = 0;
	while (!steps->stream.left) {
		if (!steps->flow.in_left && !steps->ended) {
			ssize_t got = pread(steps->fd, steps->in, IN_SIZE, steps->at);

			if (got < 0)
				return ck_fail_errno(stream->fault, NULL, "cannot read the recipe");
			steps->ended = got == 0;
			steps->at += got;
			steps->flow.in = steps->in;
			steps->flow.in_left = (size_t)got;
		}
		/* A step after the end would start another frame. */
		if (steps->ended && !steps->flow.in_left && ck_inflate_complete(steps->inflate))
			break;
		steps->flow.out = steps->out;
		steps->flow.out_left = OUT_SIZE;
		int error = ck_inflate_step(steps->inflate, &steps->flow);

		if (error)
			return error;
		steps->stream.left = OUT_SIZE - steps->flow.out_left;
		if (steps->ended && !steps->stream.left)
			break;
	}
	return 0;
}

static int open_steps(struct replay *replay)
{
	static const int kinds[] = {[RECIPE_PLAIN] = CK_PLAIN, [RECIPE_ZLIB] = CK_ZLIB_STREAM, [RECIPE_ZSTD] = CK_ZSTD};
	struct steps *steps = calloc(1, sizeof(*steps));
	char magic[9];

	replay->steps = steps;
	if (!steps)
		return ck_fail(replay->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the recipe");
	steps->stream = (struct ck_stream){.more = more_steps, .fault = replay->fault};
	steps->fd = replay->job->recipe_fd;
	steps->at = sizeof(magic);
	if (pread(steps->fd, magic, sizeof(magic), 0) != sizeof(magic) || memcmp(magic, RECIPE_MAGIC, 8) != 0 ||
	    magic[8] < 0 || magic[8] > RECIPE_ZSTD)
		return ck_fail(replay->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "it has no recipe, or a damaged one");
	return ck_inflate_open(&steps->inflate, kinds[(int)magic[8]], replay->fault);
}

static void close_steps(struct replay *replay)
{
	if (replay->steps)
		ck_inflate_close(replay->steps->inflate);
	free(replay->steps);
	replay->steps = NULL;
}

static int get(struct replay *replay, void *out, uint64_t size)
{
	int error = ck_stream_read(&replay->steps->stream, out, size);

	return error == -EBADMSG ? damaged(replay) : error;
}

static int get_number(struct replay *replay, uint64_t *value)
{
	unsigned char byte = 0x80;

	*value = 0;
	for (int shift = 0; byte & 0x80; shift += 7) {
		int error = shift > 63 ? damaged(replay) : get(replay, &byte, 1);

		if (error)
			return error;
		*value |= (uint64_t)(byte & 0x7f) << shift;
	}
	return 0;
}

/* Part of a path, after the bytes that are kept of the one before. */
static int get_path(struct replay *replay, char *path, uint64_t keep)
{
	uint64_t size;
	int error = get_number(replay, &size);

	if (error)
		return error;
	if (keep > strlen(path) || size >= LONGEST_PATH - keep)
		return damaged(replay);
	path[keep + size] = 0;
	return get(replay, path + keep, size);
}

/* Passes `size` bytes of the steps on: to the sink, to the spool, or nowhere. */
static int pass(struct replay *replay, uint64_t size, struct ck_sink *sink, int spool_fd)
{
	while (size) {
		const unsigned char *data;
		size_t got;
		int error = ck_stream_payload(&replay->steps->stream, size, &data, &got);

		if (!error && sink)
			error = ck_sink_write(sink, data, got);
		if (!error && spool_fd >= 0) {
			error = ck_write_all(spool_fd, data, got);
			if (error)
				ck_fail(replay->fault, CK_FAULT_KERNEL, -error, NULL, "cannot keep what was replaced");
		}
		if (error)
			return error;
		size -= got;
	}
	return 0;
}

static int open_spool(struct replay *replay)
{
	/* On the disk of the tree where that can be written: it may be large. */
	if (replay->spool_fd < 0)
		replay->spool_fd = openat(replay->job->tree_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (replay->spool_fd < 0)
		replay->spool_fd = memfd_create("replaced", MFD_CLOEXEC);
	return replay->spool_fd < 0 ? ck_fail_errno(replay->fault, NULL, "cannot keep what was replaced") : 0;
}

static int keep(struct replay *replay, const char *path, uint64_t size)
{
	if (replay->kept_count == replay->kept_capacity) {
		size_t capacity = replay->kept_capacity * 2 + 16;
		struct overwritten *grown = realloc(replay->kept, capacity * sizeof(*grown));

		if (!grown)
			return ck_fail(replay->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the recipe");
		replay->kept = grown;
		replay->kept_capacity = capacity;
	}
	struct overwritten *kept = &replay->kept[replay->kept_count];

	*kept = (struct overwritten){strdup(path), replay->step, replay->spooled, size};
	if (!kept->path)
		return ck_fail(replay->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the recipe");
	replay->kept_count++;
	return 0;
}

/* First round: remember the content; second round: step over it. */
static int overwritten_step(struct replay *replay, uint64_t size_of_path)
{
	char path[LONGEST_PATH] = "";
	uint64_t size;
	int error = size_of_path >= LONGEST_PATH ? damaged(replay) : get(replay, path, size_of_path);

	if (!error)
		error = get_number(replay, &size);
	if (error || replay->sink)
		return error ? error : pass(replay, size, NULL, -1);
	error = open_spool(replay);
	if (error)
		return error;
	error = keep(replay, path, size);
	replay->spooled += size;
	return error ? error : pass(replay, size, NULL, replay->spool_fd);
}

static int by_path(const void *left, const void *right)
{
	const struct overwritten *a = left, *b = right;
	int order = strcmp(a->path, b->path);

	return order ? order : (a->step > b->step) - (a->step < b->step);
}

/* What the current path held at this step, if something replaced it later: the first of its kind after it. */
static const struct overwritten *find_overwritten(const struct replay *replay)
{
	struct overwritten wanted = {.path = (char *)replay->path, .step = replay->step};
	size_t low = 0, high = replay->kept_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_path(&replay->kept[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < replay->kept_count && !strcmp(replay->kept[low].path, replay->path) ? &replay->kept[low] : NULL;
}

static int changed(struct replay *replay, const char *what)
{
	return ck_fail(replay->fault, CK_FAULT_CORRUPT, EBADMSG, replay->path, "%s", what);
}

static int open_payload(struct replay *replay, uint64_t size)
{
	struct stat status;
	int fd = ck_openat2(replay->job->tree_fd, replay->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, CK_RESOLVE_ENTRY);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENXIO)
		return changed(replay, "it is missing from the tree");
	if (fd < 0)
		return ck_fail(replay->fault, CK_FAULT_KERNEL, -fd, replay->path, "cannot open it");
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size)
		return fd;
	close(fd);
	return changed(replay, "it is no longer the file that was unpacked");
}

static int copy_extents(struct replay *replay, int fd, uint64_t base, uint64_t count)
{
	int error = 0;

	for (uint64_t i = 0; i < count && !error; i++) {
		uint64_t offset = 0, size = 0;

		error = get_number(replay, &offset);
		if (!error)
			error = get_number(replay, &size);
		if (!error && replay->sink)
			error = ck_sink_file(replay->sink, fd, base + offset, size, 0, replay->path);
		if (error == -ENODATA)
			error = changed(replay, "it is shorter than the file that was unpacked");
	}
	return error;
}

static int file_step(struct replay *replay, uint64_t keep)
{
	uint64_t size = 0, count = 0;
	int error = get_path(replay, replay->path, keep);

	if (!error)
		error = get_number(replay, &size);
	if (!error)
		error = get_number(replay, &count);
	if (error || !replay->sink)
		return error ? error : copy_extents(replay, -1, 0, count);
	const struct overwritten *kept = find_overwritten(replay);

	if (kept && kept->size != size)
		return damaged(replay);
	if (kept)
		return copy_extents(replay, replay->spool_fd, kept->offset, count);
	int fd = open_payload(replay, size);

	if (fd < 0)
		return fd;
	error = copy_extents(replay, fd, 0, count);
	close(fd);
	return error;
}

/* 1 when the step was the last one. */
static int one_step(struct replay *replay, unsigned char *diff_id, uint64_t *tar_size)
{
	uint64_t number;
	char kind;
	int error = get(replay, &kind, 1);

	if (!error)
		error = get_number(replay, &number);
	if (error)
		return error;
	replay->step++;
	switch (kind) {
	case 'L':
		return pass(replay, number, replay->sink, -1);
	case 'F':
		return file_step(replay, number);
	case 'O':
		return overwritten_step(replay, number);
	case 'E':
		*tar_size = number;
		error = get(replay, diff_id, 32);
		return error ? error : 1;
	default:
		return damaged(replay);
	}
}

static int all_steps(struct replay *replay, unsigned char *diff_id, uint64_t *tar_size)
{
	int result = open_steps(replay);

	replay->step = 0;
	replay->path[0] = 0;
	while (!result)
		result = one_step(replay, diff_id, tar_size);
	if (result > 0) {
		int end = ck_stream_at_end(&replay->steps->stream);

		result = end < 0 ? end : end && ck_inflate_complete(replay->steps->inflate) ? 0 : damaged(replay);
	}
	close_steps(replay);
	return result;
}

static int regenerate(struct replay *replay)
{
	struct ck_replay *job = replay->job;
	unsigned char wanted[32], packed[32];
	uint64_t size = 0, packed_size;
	int error = all_steps(replay, wanted, &size); /* what later entries replaced has to be known beforehand */

	if (replay->kept_count)
		qsort(replay->kept, replay->kept_count, sizeof(*replay->kept), by_path);
	if (!error)
		error = ck_sink_open(&replay->sink, job->out_fd, CK_PLAIN, &job->cancelled, replay->fault);
	if (!error)
		error = all_steps(replay, wanted, &size);
	if (!error)
		error = ck_sink_finish(replay->sink, job->diff_id, packed, &packed_size);
	if (error)
		return error;
	job->tar_size = replay->sink->plain_size;
	if (job->tar_size != size || memcmp(job->diff_id, wanted, 32) != 0)
		return ck_fail(replay->fault, CK_FAULT_CORRUPT, EBADMSG, NULL,
			       "its files, or its recipe, are not what was unpacked");
	return 0;
}

int ck_replay(struct ck_replay *job)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int error;

	memset(&job->fault, 0, sizeof(job->fault));
	if (!replay)
		return ck_fail(&job->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to replay");
	replay->job = job;
	replay->fault = &job->fault;
	replay->spool_fd = -1;
	error = regenerate(replay);
	ck_sink_close(replay->sink);
	for (size_t i = 0; i < replay->kept_count; i++)
		free(replay->kept[i].path);
	free(replay->kept);
	if (replay->spool_fd >= 0)
		close(replay->spool_fd);
	free(replay);
	return error;
}
