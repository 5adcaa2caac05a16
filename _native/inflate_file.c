/* A whole file out of its compression, into another one, in constant memory and within a budget. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inflate.h"

enum { CHUNK = 256 * 1024 };

struct pump {
	struct ck_inflate_file *job;
	struct ck_inflate *inflate;
	unsigned char *in, *out;
};

/* Before the bytes are written: a bomb must not fill the disk. */
static int check(const struct ck_inflate_file *job, struct ck_fault *fault)
{
	if (__atomic_load_n(&job->cancelled, __ATOMIC_RELAXED))
		return ck_fail(fault, CK_FAULT_CANCELLED, ECANCELED, NULL, "stopped by the caller");
	if (job->written > job->ratio_grace && job->written / job->ratio > job->read)
		return ck_fail(fault, CK_FAULT_LIMIT, EFBIG, NULL, "it unpacks to more than %llu times its size",
			       (unsigned long long)job->ratio);
	return 0;
}

static int write_out(struct pump *pump, size_t size)
{
	int error;

	pump->job->written += size;
	error = check(pump->job, &pump->job->fault);
	if (error)
		return error;
	error = ck_write_all(pump->job->out_fd, pump->out, size);
	return error ? ck_fail(&pump->job->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write what was inflated") : 0;
}

static int inflate_chunk(struct pump *pump, size_t size)
{
	struct ck_flow flow = {.in = pump->in, .in_left = size};
	int full = 0;

	while (flow.in_left || full) {
		size_t before = flow.in_left, made;

		flow.out = pump->out;
		flow.out_left = CHUNK;
		int error = ck_inflate_step(pump->inflate, &flow);

		if (error)
			return error;
		made = CHUNK - flow.out_left;
		full = flow.out_left == 0 && !ck_inflate_complete(pump->inflate);
		if (!made && flow.in_left == before && before)
			return ck_fail(&pump->job->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the compressed data makes no sense");
		error = write_out(pump, made);
		if (error)
			return error;
	}
	return 0;
}

static int run(struct pump *pump)
{
	struct ck_inflate_file *job = pump->job;
	ssize_t got;

	while ((got = read(job->source_fd, pump->in, CHUNK)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ck_fail_errno(&job->fault, NULL, "cannot read the archive");
		job->read += (uint64_t)got;
		int error = inflate_chunk(pump, (size_t)got);

		if (error)
			return error;
	}
	if (!ck_inflate_complete(pump->inflate))
		return ck_fail(&job->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the compressed data ends too early");
	return 0;
}

int ck_inflate_file(struct ck_inflate_file *job)
{
	struct pump pump = {.job = job, .in = malloc(CHUNK), .out = malloc(CHUNK)};
	int error;

	memset(&job->fault, 0, sizeof(job->fault));
	if (!pump.in || !pump.out)
		error = ck_fail(&job->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to inflate");
	else
		error = ck_inflate_open(&pump.inflate, job->compression, &job->fault);
	if (!error)
		error = run(&pump);
	ck_inflate_close(pump.inflate);
	free(pump.in);
	free(pump.out);
	return error;
}
