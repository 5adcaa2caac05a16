/* Starting programs through ckit-init, and talking with them, without the interpreter's lock. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <stdlib.h>
#include <string.h>

#include "ckit.h"
#include "init/spawn.h"

#define SEALS 0xf /* F_SEAL_SEAL | SHRINK | GROW | WRITE */
#define ADD_SEALS 1033
#define GET_SEALS 1034
#define MFD_FLAGS 0x3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */
#define MFD_EXECUTABLE 0x10
#define FIRST_ROOM 65536
#define CODE_EXITED 1
#define PATIENCE_MS 50

static long copy_all(int from, int to)
{
	char buffer[16384];
	long n;

	while ((n = sys(read, from, buffer, sizeof buffer)) > 0)
		for (long done = 0; done < n;) {
			long written = sys(write, to, buffer + done, n - done);
			if (written < 0)
				return written;
			done += written;
		}
	return n;
}

int ck_seal_init(const char *path)
{
	long source = sys(openat, -100, path, O_RDONLY | O_CLOEXEC), fd, result;

	if (source < 0)
		return source;
	fd = sys(memfd_create, "ckit-init", MFD_FLAGS | MFD_EXECUTABLE);
	if (fd == -EINVAL) /* before Linux 6.3 every memfd was executable */
		fd = sys(memfd_create, "ckit-init", MFD_FLAGS);
	result = fd < 0 ? fd : copy_all(source, fd);
	sys(close, source);
	if (result >= 0)
		result = sys(fchmod, fd, 0500);
	if (result >= 0)
		result = sys(fcntl, fd, ADD_SEALS, SEALS);
	if (result < 0 && fd >= 0)
		sys(close, fd);
	return result < 0 ? result : fd;
}

static void export_launch(const struct launch *l, struct ck_started *started)
{
	started->pid = l->pid;
	started->pidfd = l->pidfd;
	started->status_fd = l->status_fd;
	started->terminal_fd = l->terminal_fd;
	started->listener_fd = l->listener_fd;
	started->mount_ns_fd = l->mount_ns_fd;
	started->error = l->record.error;
	started->op = l->record.op;
	started->step = l->record.step;
	started->value = l->record.value;
	memcpy(started->text, l->record.text, sizeof started->text);
}

static void import_launch(const struct ck_started *started, struct launch *l)
{
	memset(l, 0, sizeof *l);
	l->pid = started->pid;
	l->pidfd = started->pidfd;
	l->status_fd = started->status_fd;
	l->terminal_fd = started->terminal_fd;
	l->listener_fd = started->listener_fd;
	l->mount_ns_fd = started->mount_ns_fd;
}

int ck_launch(int init_fd, int user_namespace, const char *plan, unsigned int plan_size, int cgroup_fd, const int *stdio,
	      const int *preserve, int preserve_count, const int *slots, int slot_count, int timeout_ms,
	      struct ck_started *started)
{
	struct launch l = {
		.init_fd = init_fd, .cgroup_fd = cgroup_fd, .plan = plan, .plan_size = plan_size,
		.preserve = preserve, .preserve_count = preserve_count, .slots = slots, .slot_count = slot_count,
		.stdio = { stdio[0], stdio[1], stdio[2] }, .timeout_ms = timeout_ms,
		.user_namespace = user_namespace,
	};
	long result;

	if (sys(fcntl, init_fd, GET_SEALS, 0) != SEALS)
		return -EBADF;
	result = launch_begin(&l);
	export_launch(&l, started);
	started->maker = sys(getpid);
	started->interrupted = result == -EINTR;
	return result;
}

int ck_launch_next(struct ck_started *started)
{
	struct launch l;
	long result;

	import_launch(started, &l);
	result = launch_follow(&l);
	export_launch(&l, started);
	started->interrupted = result == -EINTR;
	return result;
}

int ck_launch_answer(struct ck_started *started, const char *answer, unsigned int size)
{
	long result = sys(sendto, started->status_fd, answer, size, SPAWN_NO_SIGNAL, NULL, 0);
	return result < 0 ? result : 0;
}

/* The streams that a parked process gets, as ancillary data, and as bits in the plan's header. */
static void pass_streams(const int *stdio, struct plan_header *header, struct plan_stream_rights *rights,
			 struct ck_message *message)
{
	int count = 0;

	for (int stream = 0; stream < 3; stream++)
		if (stdio[stream] >= 0) {
			rights->fds[count++] = stdio[stream];
			header->streams |= 1 << stream;
		}
	rights->length = PLAN_RIGHTS_HEAD + count * sizeof(int);
	rights->level = rights->type = 1; /* SOL_SOCKET, SCM_RIGHTS */
	if (count > 0) {
		message->control = rights;
		message->control_length = (rights->length + 7) & ~7UL;
	}
}

int ck_launch_go(struct ck_started *started, const char *plan, unsigned int plan_size, const int *stdio)
{
	unsigned int first = plan_size < SPAWN_CHUNK ? plan_size : SPAWN_CHUNK;
	struct plan_header header;
	struct ck_iovec iov[2] = { { &header, sizeof header },
				   { (void *)(plan + sizeof header), first - sizeof header } };
	struct ck_message message = { .iov = iov, .iov_length = 2 };
	struct plan_stream_rights rights = { 0 };
	long sent;

	memcpy(&header, plan, sizeof header);
	pass_streams(stdio, &header, &rights, &message);
	RETRY(sent, sys(sendmsg, started->status_fd, &message, SPAWN_NO_SIGNAL));
	if (sent >= 0)
		sent = spawn_send_plan(started->status_fd, plan, plan_size, sent, 0);
	return sent < 0 ? sent : 0;
}

/* Take what the start has to say within patience_ms, until it waits for an answer or has ended. */
static void hear_out(struct launch *l, long patience_ms)
{
	long long limit[2] = { 0, patience_ms * 1000000LL };
	struct pollfd ready = { l->status_fd, POLLIN, 0 };
	int passed;
	long n;

	while (sys(ppoll, &ready, 1, limit, NULL, 8) > 0) {
		n = spawn_receive(l->status_fd, &l->record, &passed);
		if (n == -EINTR)
			continue;
		if (n <= 0 || launch_report(l, passed) != 0)
			return;
	}
}

/* A process that enters a PID namespace makes a second one, which is our child too: were it missed, it would
 * never be reaped, and until then its container could not end. */
static void abandon_interrupted(struct launch *l)
{
	char info[128];

	hear_out(l, PATIENCE_MS);
	if (l->pidfd < 0 || l->status_fd < 0)
		return;
	sys(pidfd_send_signal, l->pidfd, 9, NULL, 0);
	spawn_reap(l->pidfd, info);
	hear_out(l, 0);
}

void ck_launch_abandon(struct ck_started *started)
{
	struct launch l;

	import_launch(started, &l);
	if (started->interrupted)
		abandon_interrupted(&l);
	launch_abandon(&l);
	export_launch(&l, started);
	started->interrupted = 0;
}

void ck_launch_close(struct ck_started *started)
{
	launch_close(&started->pidfd);
	launch_close(&started->status_fd);
	launch_close(&started->terminal_fd);
	launch_close(&started->listener_fd);
	launch_close(&started->mount_ns_fd);
}

void ck_launch_drop(struct ck_started *started)
{
	if (started->maker == sys(getpid))
		ck_launch_abandon(started);
	else
		ck_launch_close(started);
}

/* struct pidfd_info of Linux 6.15, the part that matters */
struct pidfd_end {
	uint64_t mask, cgroup;
	uint32_t ids[11];
	int32_t status;
};
#define PIDFD_GET_INFO 0xc040ff0b
#define PIDFD_INFO_EXIT 8

/* Some other code of the caller waited for any child, or ignores SIGCHLD: the pidfd still knows how ours ended. */
static int end_by_pidfd(int pidfd)
{
	struct pidfd_end end = { .mask = PIDFD_INFO_EXIT };

	if (sys(ioctl, pidfd, PIDFD_GET_INFO, &end) < 0 || !(end.mask & PIDFD_INFO_EXIT))
		return -ECHILD;
	return end.status & 0x7f ? 128 + (end.status & 0x7f) : end.status >> 8 & 0xff;
}

int ck_reap(int pidfd, int flags)
{
	int info[32] = { 0 };
	long result;

	RETRY(result, sys(waitid, SPAWN_BY_PIDFD, pidfd, info, SPAWN_DEATHS | SPAWN_ALL_CHILDREN | (flags & 1), NULL));
	if (result == -ECHILD)
		return end_by_pidfd(pidfd);
	if (result < 0)
		return result;
	if (info[0] == 0) /* si_signo: nothing has ended */
		return -EAGAIN;
	return info[2] == CODE_EXITED ? info[6] & 0xff : 128 + info[6]; /* si_code, si_status */
}

int ck_signal(int pidfd, int number)
{
	return sys(pidfd_send_signal, pidfd, number, NULL, 0);
}

static int make_room(struct ck_talk *talk, int which)
{
	size_t room = talk->room[which] ? talk->room[which] * 2 : FIRST_ROOM;
	char *grown;

	if (talk->size[which] < talk->room[which])
		return 0;
	grown = realloc(talk->output[which], room);
	if (!grown)
		return -ENOMEM;
	talk->output[which] = grown;
	talk->room[which] = room;
	return 0;
}

/* Take what a stream has now, at most one buffer's worth; 1 when it may have more, 0 when not, or -errno. */
static long take(struct ck_talk *talk, int *fd, int which)
{
	long n = make_room(talk, which);

	if (n < 0)
		return n;
	n = sys(read, *fd, talk->output[which] + talk->size[which], talk->room[which] - talk->size[which]);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0) {
		*fd = -1;
		return n == -EIO ? 0 : n; /* EIO: the other side of a terminal closed */
	}
	talk->size[which] += n;
	if (talk->most && talk->size[0] + talk->size[1] > talk->most)
		return -EFBIG;
	return 1;
}

/* After the end: take what lies in the stream, but not for ever, as someone else may go on writing.  The poll makes
 * a terminal hand over what is still on its way. */
static long take_rest(struct ck_talk *talk, int *fd, int which)
{
	size_t start = talk->size[which];
	int waiting = 0;
	long n = 1;

	if (*fd >= 0)
		sys(ioctl, *fd, 0x541b /* FIONREAD */, &waiting);
	if (waiting < FIRST_ROOM)
		waiting = FIRST_ROOM;
	while (n > 0 && *fd >= 0 && talk->size[which] - start < (size_t)waiting) {
		struct pollfd ready = { *fd, POLLIN, 0 };
		long long none[2] = { 0, 0 };
		if (sys(ppoll, &ready, 1, none, NULL, 8) <= 0 || !(ready.revents & POLLIN))
			break;
		n = take(talk, fd, which);
	}
	return n < 0 ? n : 0;
}

static long feed(struct ck_talk *talk)
{
	size_t left = talk->input_size - talk->written;
	long n = left ? sys(write, talk->stdin_fd, talk->input + talk->written, left) : 0;

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n > 0)
		talk->written += n;
	/* A reader that has gone wants no more; that is its right. */
	if (n == -EPIPE || talk->written == talk->input_size)
		launch_close(&talk->stdin_fd);
	return n < 0 && n != -EPIPE ? n : 0;
}

static long long now_ns(void)
{
	long long time[2];

	sys(clock_gettime, 1 /* CLOCK_MONOTONIC */, time);
	return time[0] * 1000000000LL + time[1];
}

static long wait_ready(struct ck_talk *talk, struct pollfd *ready, long long deadline_ns)
{
	long long limit[2] = { 0, 0 };

	ready[0] = (struct pollfd){ talk->pidfd, POLLIN, 0 };
	ready[1] = (struct pollfd){ talk->stdout_fd, POLLIN, 0 };
	ready[2] = (struct pollfd){ talk->stderr_fd, POLLIN, 0 };
	ready[3] = (struct pollfd){ talk->stdin_fd, POLLOUT, 0 };
	ready[4] = (struct pollfd){ talk->stop_fd, POLLIN, 0 };
	if (deadline_ns >= 0) {
		long long left = deadline_ns - now_ns();
		if (left <= 0)
			return -ETIMEDOUT;
		limit[0] = left / 1000000000LL;
		limit[1] = left % 1000000000LL;
	}
	return sys(ppoll, ready, 5, deadline_ns >= 0 ? limit : NULL, NULL, 8);
}

/* The process has ended: what is in the pipes is all there will be of it, even if a child of it that lives on
 * holds them open. */
static long finish(struct ck_talk *talk)
{
	long n = take_rest(talk, &talk->stdout_fd, 0);
	int code;

	if (n >= 0)
		n = take_rest(talk, &talk->stderr_fd, 1);
	if (n < 0)
		return n;
	launch_close(&talk->stdin_fd);
	code = talk->known_code >= 0 ? talk->known_code : ck_reap(talk->pidfd, 0);
	if (code < 0)
		return code;
	talk->code = code;
	talk->ended = 1;
	return 0;
}

int ck_communicate(struct ck_talk *talk, long long deadline_ns)
{
	struct pollfd ready[5];
	long n = 0;

	while (!talk->ended) {
		n = wait_ready(talk, ready, deadline_ns);
		if (n < 0)
			return n;
		if (ready[4].revents)
			return -ECANCELED;
		if (ready[1].revents)
			n = take(talk, &talk->stdout_fd, 0);
		if (n >= 0 && ready[2].revents)
			n = take(talk, &talk->stderr_fd, 1);
		if (n >= 0 && ready[3].revents)
			n = feed(talk);
		if (n >= 0 && ready[0].revents)
			n = finish(talk);
		if (n < 0)
			return n;
	}
	return 0;
}

void ck_talk_free(struct ck_talk *talk)
{
	for (int i = 0; i < 2; i++) {
		free(talk->output[i]);
		talk->output[i] = NULL;
	}
	launch_close(&talk->stdin_fd);
}
