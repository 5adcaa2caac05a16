/* Unpacking a layer: this thread reads, hashes and inflates, a second one extracts and hashes what was inflated.
 *
 * The second thread has a umask of its own (unshare of CLONE_FS), so that files get their mode when they are made and
 * the umask of the calling program is never touched. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "erofs_tree.h"
#include "layer_extract.h"
#include "layer_source.h"

enum { STACK_SIZE = 1024 * 1024 };

struct unpacking {
	struct ck_unpack *job;
	struct ck_ring ring;
	struct ck_fault read_fault, extract_fault;
	struct layer_extract extract;
	struct ck_sha256 diff_hash;
	int taken;
	int failed;
};

/* The disk begins to work while more is unpacked: the sync at the end has little left to do. */
static int keep_tar(struct unpacking *all, const struct ck_stream *stream)
{
	enum { WRITE_BACK = 4 * 1024 * 1024 };
	int error = ck_write_all(all->job->tar_fd, stream->at, stream->left);

	if (error)
		return ck_fail(stream->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the layer");
	if (all->job->sync && stream->total / WRITE_BACK != (stream->total + stream->left) / WRITE_BACK)
		sync_file_range(all->job->tar_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int next_slot(struct ck_stream *stream)
{
	struct unpacking *all = stream->source;
	int error = 0;

	stream->at = ck_ring_take(&all->ring, !all->taken, &stream->left);
	all->taken = stream->at != NULL;
	if (!stream->at) {
		stream->left = 0;
		return 0;
	}
	if (all->ring.taker_hashes)
		ck_sha256_update(&all->diff_hash, stream->at, stream->left);
	if (all->job->tar_fd >= 0)
		error = keep_tar(all, stream);
	stream->total += stream->left;
	return error;
}

static int extract_entries(struct layer_extract *x)
{
	int more = 1;

	while (more > 0) {
		more = tar_next(&x->reader);
		if (more > 0) {
			int error = x->erofs ? erofs_apply(x) : layer_apply(x);

			if (error)
				return error;
		}
	}
	return more ? more : layer_dirs_finish(x);
}

static int read_rest(struct ck_stream *stream)
{
	int error = 0;

	for (stream->left = 0; !error;) {
		error = next_slot(stream);
		if (!stream->left)
			return error;
	}
	return error;
}

/* The tar has been written as it was read; here the image that finds the files in it. */
static int extract_to_image(struct layer_extract *x)
{
	struct erofs_layout layout;
	int result = erofs_tree_open(&x->erofs, x->fault);

	if (!result)
		result = extract_entries(x);
	if (result == EROFS_UNFIT) {
		x->job->unfit = 1;
		return read_rest(&x->stream);
	}
	if (!result && erofs_lay_out(x->erofs, &layout))
		result = ck_fail(x->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to sort the layer's names");
	return result ? result : erofs_write_image(x->erofs, &layout, x->job->image_fd, x->stream.total, x->fault);
}

static int extract(struct unpacking *all)
{
	struct layer_extract *x = &all->extract;
	struct ck_unpack *job = all->job;
	int error = 0;

	x->job = job;
	x->fault = &all->extract_fault;
	x->uid = geteuid();
	x->gid = getegid();
	x->umask_is_zero = unshare(CLONE_FS) == 0;
	if (x->umask_is_zero)
		umask(0);
	if (job->recipe_fd >= 0)
		error = ck_recipe_open(&x->recipe, job->recipe_fd, x->fault);
	x->stream = (struct ck_stream){.more = next_slot, .source = all, .fault = x->fault, .recipe = x->recipe};
	if (!error)
		error = tar_open(&x->reader, &x->stream, &job->limits);
	if (!error)
		error = layer_dirs_open(x);
	if (error)
		return error;
	return job->image_fd >= 0 ? extract_to_image(x) : extract_entries(x);
}

static void *extract_thread(void *argument)
{
	struct unpacking *all = argument;

	all->failed = extract(all);
	if (all->failed)
		ck_ring_abandon(&all->ring);
	return NULL;
}

static int start_thread(struct unpacking *all, pthread_t *thread)
{
	sigset_t every, before;
	pthread_attr_t attributes;

	/* Signals are the caller's business: none is delivered to the second thread. */
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	int error = pthread_create(thread, &attributes, extract_thread, all);

	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error ? ck_fail(&all->read_fault, CK_FAULT_KERNEL, error, NULL, "cannot start a thread") : 0;
}

/* A source that failed explains everything that the extractor then missed, unless the extractor failed first. */
static int settle(struct unpacking *all, int error)
{
	struct ck_unpack *job = all->job;

	if (all->read_fault.kind != CK_FAULT_NONE)
		job->fault = all->read_fault;
	else
		job->fault = all->extract_fault;
	return error ? error : all->failed;
}

static int finish(struct unpacking *all)
{
	struct ck_unpack *job = all->job;
	struct ck_recipe *recipe = all->extract.recipe;
	int error;

	if (all->ring.taker_hashes)
		ck_sha256_digest(&all->diff_hash, job->diff_id);
	error = recipe ? ck_recipe_finish(recipe, job->tar_size, job->diff_id) : 0;

	if (!error && job->sync && syncfs(job->tree_fd) < 0)
		error = ck_fail_errno(&all->extract_fault, NULL, "cannot write the layer to the disk");
	return error;
}

static int run(struct unpacking *all)
{
	pthread_t thread;
	int error = start_thread(all, &thread);

	if (error)
		return error;
	error = ck_source_run(all->job, &all->ring, &all->read_fault);
	ck_ring_end(&all->ring);
	pthread_join(thread, NULL);
	if (!error && !all->failed)
		all->failed = finish(all);
	return error;
}

int ck_unpack(struct ck_unpack *job)
{
	struct unpacking all = {.job = job};
	int error = ck_ring_open(&all.ring);

	memset(&job->fault, 0, sizeof(job->fault));
	ck_sha256_start(&all.diff_hash);
	if (error)
		ck_fail(&all.read_fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to unpack");
	else
		error = run(&all);
	error = settle(&all, error);
	layer_dirs_close(&all.extract);
	layer_made_close(&all.extract.made);
	erofs_tree_close(all.extract.erofs);
	tar_close(&all.extract.reader);
	ck_recipe_close(all.extract.recipe);
	ck_ring_close(&all.ring);
	return error;
}
