/* A whole stream into gzip.
 *
 * What comes out depends on how the input is cut into pieces, so that these are always full: a pipe that gives a
 * little at a time gives the same file as a disk. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inflate.h"

enum { PIECE = 256 * 1024, CANCEL_CHECK_MS = 100 };

static int stopped(struct ck_deflate_file *job)
{
	if (!__atomic_load_n(&job->cancelled, __ATOMIC_RELAXED))
		return 0;
	return ck_fail(&job->fault, CK_FAULT_CANCELLED, ECANCELED, NULL, "stopped by the caller");
}

/* Waits in steps, so that the caller can give up on a pipe that stays silent. */
static int wait_readable(struct ck_deflate_file *job)
{
	struct pollfd poller = {.fd = job->source_fd, .events = POLLIN};
	int error;

	do {
		error = stopped(job);
	} while (!error && poll(&poller, 1, CANCEL_CHECK_MS) == 0);
	return error;
}

/* A full piece, or what is left at the end. */
static ssize_t read_piece(struct ck_deflate_file *job, unsigned char *piece)
{
	size_t held = 0;

	while (held < PIECE) {
		int error = wait_readable(job);

		if (error)
			return error;
		ssize_t got = read(job->source_fd, piece + held, PIECE - held);

		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return ck_fail_errno(&job->fault, NULL, "cannot read the layer");
		if (got == 0)
			break;
		held += (size_t)got;
	}
	return (ssize_t)held;
}

static int run(struct ck_deflate_file *job, struct ck_deflate *deflate, unsigned char *piece)
{
	ssize_t got;
	int error = 0;

	do {
		got = read_piece(job, piece);
		if (got < 0)
			return (int)got;
		job->read += (uint64_t)got;
		error = ck_deflate_write(deflate, piece, (size_t)got);
	} while (!error && got == PIECE);
	if (!error)
		error = ck_deflate_finish(deflate);
	return error ? ck_fail(&job->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the compressed layer") : 0;
}

int ck_deflate_file(struct ck_deflate_file *job)
{
	enum { GZIP_LEVEL = 6 };
	struct ck_deflate *deflate = NULL;
	struct ck_sha256 hash;
	unsigned char *piece = malloc(PIECE);
	int error;

	memset(&job->fault, 0, sizeof(job->fault));
	ck_sha256_start(&hash);
	error = piece ? ck_deflate_open(&deflate, CK_DEFLATE_GZIP, GZIP_LEVEL, job->out_fd, &hash) : -ENOMEM;
	if (error == -EOPNOTSUPP)
		error = ck_fail(&job->fault, CK_FAULT_UNSUPPORTED, EOPNOTSUPP, NULL,
				"built without gzip: install libisal-dev or zlib1g-dev and build again");
	else if (error)
		error = ck_fail(&job->fault, CK_FAULT_KERNEL, -error, NULL, "no memory to compress");
	if (!error)
		error = run(job, deflate, piece);
	if (!error) {
		job->written = ck_deflate_written(deflate);
		ck_sha256_digest(&hash, job->digest);
	}
	ck_deflate_close(deflate);
	free(piece);
	return error;
}
