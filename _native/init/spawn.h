/* Starting ckit-init: shared by the extension (launch from Python) and by the monitor (restarts, health).
 *
 * The child shares the caller's memory until it executes the sealed copy of ckit-init, so between clone3 and
 * execveat there are only system calls on numbers prepared before.  Nothing else of the caller gets across:
 * no descriptor, no environment, no signal handler. */
#ifndef CKIT_SPAWN_H
#define CKIT_SPAWN_H

#include <asm/fcntl.h>
#include <linux/sched.h>

#include "enter.h"
#include "message.h"
#include "plan.h"
#include "sys.h"

#define SPAWN_MAX_FDS 128
#define SPAWN_STACK 8192
#define SPAWN_EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */
#define SPAWN_CHUNK 32768
#define SPAWN_NO_SIGNAL 0x4000 /* MSG_NOSIGNAL */
#define SPAWN_DONT_WAIT 0x40   /* MSG_DONTWAIT */
#define SPAWN_ALL_CHILDREN 0x40000000 /* __WALL */
#define SPAWN_DEATHS 4		      /* WEXITED */
#define SPAWN_BY_PIDFD 3	      /* P_PIDFD */
#define SPAWN_DUPFD 1030 /* F_DUPFD_CLOEXEC */
#define SPAWN_EAGAIN 11
#define SPAWN_EINTR 4
#define SPAWN_ETIMEDOUT 110
#define SPAWN_RECEIVE_LIMIT 20 /* SO_RCVTIMEO */
#define SPAWN_EMFILE 24
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

/* What begins a process: where its program is, which descriptors it gets as 0, 1, 2, ... */
struct spawn {
	int init_fd;
	const char *const *argv;
	const int *fds; /* -1 leaves the number closed */
	int fd_count;
	uint64_t clone_flags;
	int cgroup_fd;
	int user_namespace; /* to be begun in, 0: the caller's */
	int pid, pidfd; /* results */
	long failed;	/* set by the child when it could not get as far as init */
};

/* clone3 with a child that runs fn(arg) on its own stack and never returns from here. */
static inline long spawn_clone(struct clone_args *args, int (*fn)(void *), void *arg)
{
#if defined(__x86_64__)
	long result;
	register void *r8 __asm__("r8") = (void *)fn;
	register void *r9 __asm__("r9") = arg;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov $60, %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"((long)__NR_clone3), "D"(args), "S"(sizeof *args), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = __NR_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof *args;
	register void *x2 __asm__("x2") = (void *)fn;
	register void *x3 __asm__("x3") = arg;
	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x3\n\t"
			 "blr x2\n\t"
			 "mov x8, #93\n\t"
			 "svc 0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "memory", "x30");
	return x0;
#endif
}

/* In the child: put the descriptors in their places, close every other one, become ckit-init.  It never returns,
 * so a sanitizer's marks on its stack would stay in the caller's memory. */
__attribute__((no_sanitize("address", "undefined", "thread"))) static int spawn_child(void *data)
{
	struct spawn *s = data;
	static const char *const no_environment[] = { NULL };
	int moved[SPAWN_MAX_FDS];
	int first_free = s->fd_count + 1;
	long init_fd = s->init_fd;

	if (init_fd < first_free)
		init_fd = sys(fcntl, init_fd, SPAWN_DUPFD, first_free);
	for (int i = 0; i < s->fd_count && init_fd >= 0; i++) {
		moved[i] = s->fds[i];
		if (moved[i] >= 0 && moved[i] < s->fd_count)
			moved[i] = sys(fcntl, moved[i], SPAWN_DUPFD, first_free);
	}
	for (int i = 0; i < s->fd_count && init_fd >= 0; i++) {
		if (moved[i] < 0)
			sys(close, i);
		else if ((s->failed = sys(dup3, moved[i], i, 0)) < 0)
			return 125;
	}
	s->failed = init_fd < 0 ? init_fd : sys(dup3, init_fd, s->fd_count, O_CLOEXEC);
	if (s->failed >= 0)
		s->failed = sys(close_range, s->fd_count + 1, ~0U, 0);
	if (s->failed >= 0)
		s->failed = sys(execveat, s->fd_count, "", s->argv, no_environment, SPAWN_EMPTY_PATH);
	return 125;
}

struct spawn_detour {
	struct clone_args *args;
	struct spawn *spawn;
	long pid;
};

/* In a process between the caller and the new one, which becomes the caller's child all the same. */
__attribute__((no_sanitize("address", "undefined", "thread"))) static int spawn_from_within(void *data)
{
	struct spawn_detour *detour = data;

	detour->pid = enter_user_namespace(detour->spawn->user_namespace);
	if (detour->pid >= 0)
		detour->pid = spawn_clone(detour->args, spawn_child, detour->spawn);
	return 0;
}

/* A process of several threads cannot enter a user namespace: one that is made for it does, with the caller's
 * descriptors, since the pidfd is to be the caller's.  The stack of the new process lies below its own. */
static long spawn_within(struct spawn *s, struct clone_args *inner)
{
	char stack[SPAWN_STACK] __attribute__((aligned(16)));
	struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES,
				   .stack = (uint64_t)(uintptr_t)stack, .stack_size = sizeof stack };
	struct spawn_detour detour = { inner, s, 0 };
	long middle;

	inner->flags |= CLONE_PARENT;
	middle = spawn_clone(&args, spawn_from_within, &detour);
	if (middle < 0)
		return middle;
	sys(wait4, middle, NULL, SPAWN_ALL_CHILDREN, NULL);
	return detour.pid;
}

/* Begin the process; returns 0 or -errno.  Its end is learned from the pidfd. */
static long spawn(struct spawn *s)
{
	char stack[SPAWN_STACK] __attribute__((aligned(16)));
	uint64_t all = ~0ULL, before = 0;
	struct clone_args args = { 0 };
	int pidfd = -1;
	long pid;

	args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | s->clone_flags;
	args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = sizeof stack;
	if (s->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = s->cgroup_fd;
	}
	s->failed = 0;
	sys(rt_sigprocmask, 0 /* SIG_BLOCK */, &all, &before, 8);
	pid = s->user_namespace > 0 ? spawn_within(s, &args) : spawn_clone(&args, spawn_child, s);
	sys(rt_sigprocmask, 2 /* SIG_SETMASK */, &before, NULL, 8);
	if (pid < 0)
		return pid;
	s->pid = pid;
	s->pidfd = pidfd;
	return 0;
}

/* Reap a child through its pidfd; the raw wait status in *info (128 bytes, a siginfo_t). */
static long spawn_reap(int pidfd, void *info)
{
	long result;
	RETRY(result, sys(waitid, SPAWN_BY_PIDFD, pidfd, info, SPAWN_DEATHS | SPAWN_ALL_CHILDREN, NULL));
	return result;
}

/* Receive one status record, and the descriptor with it if there is one (else -1).  0 at the end. */
static long spawn_receive(int fd, struct status_record *record, int *passed)
{
	struct ck_iovec iov = { record, sizeof *record };
	struct ck_rights rights = { 0 };
	struct ck_message message = { .iov = &iov, .iov_length = 1, .control = &rights, .control_length = sizeof rights };
	long n = sys(recvmsg, fd, &message, 0x40000000 /* MSG_CMSG_CLOEXEC */);

	*passed = n > 0 && message.control_length >= CK_RIGHTS_LENGTH ? rights.fd : -1;
	if (n > 0)
		record->text[sizeof record->text - 1] = 0;
	return n;
}

/* Send plan bytes as far as possible; returns how many were sent so far, or -errno. */
static long spawn_send_plan(int fd, const char *plan, uint32_t size, uint32_t sent, int flags)
{
	while (sent < size) {
		uint32_t n = size - sent < SPAWN_CHUNK ? size - sent : SPAWN_CHUNK;
		long result = sys(sendto, fd, plan + sent, n, SPAWN_NO_SIGNAL | flags, NULL, 0);
		if (result == -SPAWN_EAGAIN && flags)
			break;
		if (result == -SPAWN_EINTR)
			continue;
		if (result < 0)
			return result;
		sent += n;
	}
	return sent;
}

/* A start in progress, and its results. */
struct launch {
	int init_fd, cgroup_fd;
	const char *plan;
	uint32_t plan_size;
	int stdio[3];
	const int *preserve; /* become 3, 4, ... */
	int preserve_count;
	const int *slots;
	int slot_count;
	int user_namespace; /* for plans with PLAN_WITHIN; 0: the caller is in it */
	/* How long init may say nothing, 0: for ever.  Whoever joins a container can be stopped by its processes. */
	int timeout_ms;
	/* Results; -1 where there is none. */
	int pid, pidfd, status_fd, terminal_fd, listener_fd, mount_ns_fd;
	struct status_record record; /* the last one */
};

#define PIDFD_GET_MOUNT_NS 0xff03 /* PIDFD_GET_MNT_NAMESPACE */

static void launch_close(int *fd)
{
	if (*fd >= 0)
		sys(close, *fd);
	*fd = -1;
}

/* Hold the mount namespace open: whoever holds it pays for its unmounting, not the end of the process. */
static void launch_hold_mounts(struct launch *l)
{
	char path[48], *end = path + sizeof path;

	launch_close(&l->mount_ns_fd);
	l->mount_ns_fd = sys(ioctl, l->pidfd, PIDFD_GET_MOUNT_NS, 0);
	if (l->mount_ns_fd >= 0)
		return;
	ck_append(ck_append_number(ck_append(path, end, "/proc/"), end, l->pid), end, "/ns/mnt");
	l->mount_ns_fd = sys(openat, -100 /* AT_FDCWD */, path, O_RDONLY | O_CLOEXEC);
}

/* Kill and reap what was started, close everything. */
static void launch_abandon(struct launch *l)
{
	char info[128];

	if (l->pidfd >= 0) {
		sys(pidfd_send_signal, l->pidfd, 9, NULL, 0);
		spawn_reap(l->pidfd, info);
	}
	launch_close(&l->pidfd);
	launch_close(&l->status_fd);
	launch_close(&l->terminal_fd);
	launch_close(&l->listener_fd);
	launch_close(&l->mount_ns_fd);
}

/* The process that matters is now another one: reap the first.  Without room for its pidfd it must not live. */
static long launch_adopt(struct launch *l, int pidfd)
{
	char info[128];

	spawn_reap(l->pidfd, info);
	launch_close(&l->pidfd);
	l->pidfd = pidfd;
	l->pid = l->record.value;
	if (pidfd < 0) {
		sys(kill, l->pid, 9);
		sys(wait4, l->pid, NULL, SPAWN_ALL_CHILDREN, NULL);
		return -SPAWN_EMFILE;
	}
	launch_hold_mounts(l);
	return 0;
}

static long launch_keep(int *place, int passed)
{
	launch_close(place);
	*place = passed;
	return passed < 0 ? -SPAWN_EMFILE : 0;
}

/* Act on one report; 0 to go on listening, a STATUS_* that needs the caller, or -errno. */
static long launch_report(struct launch *l, int passed)
{
	switch (l->record.kind) {
	case STATUS_CHILD:
		return launch_adopt(l, passed);
	case STATUS_TERMINAL:
		return launch_keep(&l->terminal_fd, passed);
	case STATUS_LISTENER:
		return launch_keep(&l->listener_fd, passed);
	default:
		if (passed >= 0)
			sys(close, passed);
		return l->record.kind;
	}
}

/* After an error, listen to the end: a process that was just born may have failed before the one that made it
 * could tell of it, and must be adopted all the same, or it would never be reaped. */
static long launch_failed(struct launch *l)
{
	struct status_record error = l->record;
	int passed;
	long n;

	do {
		n = spawn_receive(l->status_fd, &l->record, &passed);
		if (n > 0)
			launch_report(l, passed);
	} while (n > 0 || n == -SPAWN_EINTR);
	l->record = error;
	return STATUS_ERROR;
}

/* Follow the start: returns 0 when the program runs, a STATUS_* that needs the caller (SYNC, READY, ERROR),
 * or -errno (-EINTR: call again). */
static long launch_follow(struct launch *l)
{
	for (;;) {
		int passed = -1;
		long n = spawn_receive(l->status_fd, &l->record, &passed);

		if (n < 0)
			return n == -SPAWN_EAGAIN ? -SPAWN_ETIMEDOUT : n;
		if (n == 0) {
			launch_close(&l->status_fd);
			return 0;
		}
		n = launch_report(l, passed);
		if (n == STATUS_ERROR)
			return launch_failed(l);
		if (n != 0)
			return n;
	}
}

static int launch_place(const struct launch *l, int child_status, int *fds)
{
	int n = 0;

	for (int i = 0; i < 3; i++)
		fds[n++] = l->stdio[i];
	for (int i = 0; i < l->preserve_count; i++)
		fds[n++] = l->preserve[i];
	fds[n++] = child_status;
	for (int i = 0; i < l->slot_count; i++)
		fds[n++] = l->slots[i];
	return n;
}

static long launch_limit_silence(const struct launch *l)
{
	long limit[2] = { l->timeout_ms / 1000, l->timeout_ms % 1000 * 1000 };

	if (l->timeout_ms == 0)
		return 0;
	return sys(setsockopt, l->status_fd, 1 /* SOL_SOCKET */, SPAWN_RECEIVE_LIMIT, limit, sizeof limit);
}

/* Start a plan; returns as launch_follow does. */
static long launch_begin(struct launch *l)
{
	char base[24];
	const char *argv[] = { "ckit-init", base, NULL };
	const struct plan_header *header = (const void *)l->plan;
	int pair[2], fds[SPAWN_MAX_FDS];
	struct spawn s = { .init_fd = l->init_fd, .argv = argv, .fds = fds, .cgroup_fd = l->cgroup_fd };
	long sent, result;

	l->pid = l->pidfd = l->status_fd = l->terminal_fd = l->listener_fd = l->mount_ns_fd = -1;
	if (3 + l->preserve_count + 1 + l->slot_count > SPAWN_MAX_FDS)
		return -7; /* E2BIG */
	result = sys(socketpair, 1 /* AF_UNIX */, 5 | 02000000 /* SOCK_SEQPACKET|SOCK_CLOEXEC */, 0, pair);
	if (result < 0)
		return result;
	l->status_fd = pair[0];
	sent = launch_limit_silence(l);
	if (sent >= 0)
		sent = spawn_send_plan(pair[0], l->plan, l->plan_size, 0, SPAWN_DONT_WAIT);
	ck_append_number(base, base + sizeof base, 3 + l->preserve_count);
	s.fd_count = launch_place(l, pair[1], fds);
	s.clone_flags = header->clone_flags & ~PLAN_WITHIN;
	s.user_namespace = header->clone_flags & PLAN_WITHIN ? l->user_namespace : 0;
	result = sent < 0 ? sent : spawn(&s);
	sys(close, pair[1]);
	if (result < 0) {
		launch_close(&l->status_fd);
		return result;
	}
	l->pid = s.pid;
	l->pidfd = s.pidfd;
	if (s.failed < 0) {
		launch_abandon(l);
		return s.failed;
	}
	if (s.clone_flags & CLONE_NEWNS)
		launch_hold_mounts(l);
	sent = spawn_send_plan(l->status_fd, l->plan, l->plan_size, sent, 0);
	return launch_follow(l);
}

#endif
