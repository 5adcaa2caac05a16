/* Starts a daemon of ours (monitor, guardian): a process that is nobody's child here, with exactly the descriptors
 * it is given.
 *
 * Two nested vforks: the middle one ends at once, so init (or the nearest subreaper) adopts the daemon, and the caller,
 * whatever its size and number of threads, is never copied. */
#include "ckit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/enter.h"

#define STACK_SIZE (64 * 1024)
#define MAX_FDS 16
#define HIGH_FD 64

/* What both children read, and where the daemon leaves the errno of a failed exec: memory is shared until then. */
struct daemon {
	int exe_fd;
	const char *const *argv;
	const int *fds;
	int count;
	int user_namespace;
	char *stack;
	volatile int error;
};

/* In children that share our memory and never return: a sanitizer's marks on their stacks would stay in ours. */
#define SHARES_MEMORY __attribute__((no_sanitize("address", "undefined", "thread")))

SHARES_MEMORY static int place_fds(const struct daemon *daemon, int *exe_fd)
{
	int high[MAX_FDS];

	*exe_fd = fcntl(daemon->exe_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (*exe_fd < 0)
		return -errno;
	for (int i = 0; i < daemon->count; i++) {
		high[i] = fcntl(daemon->fds[i], F_DUPFD, HIGH_FD);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < daemon->count; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	/* Closed now and not by the exec, which lets the caller go on before it closes: a lock must not linger. */
	if (syscall(SYS_close_range, daemon->count, *exe_fd - 1, 0) < 0)
		return -errno;
	return syscall(SYS_close_range, *exe_fd + 1, ~0U, 0) < 0 ? -errno : 0;
}

SHARES_MEMORY static int run_daemon(void *argument)
{
	static const char *const no_environment[] = {NULL};
	struct daemon *daemon = argument;
	int exe_fd;
	int error = daemon->user_namespace > 0 ? (int)enter_user_namespace(daemon->user_namespace) : 0;

	if (error == 0)
		error = place_fds(daemon, &exe_fd);

	if (error == 0) {
		syscall(SYS_execveat, exe_fd, "", daemon->argv, no_environment, AT_EMPTY_PATH);
		error = -errno;
	}
	daemon->error = error;
	syscall(SYS_exit, 127);
	return 0;
}

SHARES_MEMORY static int run_middle(void *argument)
{
	struct daemon *daemon = argument;

	if (clone(run_daemon, daemon->stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, daemon) < 0)
		daemon->error = -errno;
	syscall(SYS_exit, 0);
	return 0;
}

static int clone_and_reap(struct daemon *daemon)
{
	/* Exit signal 0: the caller's SIGCHLD handler and its waits for any child never see the middle process. */
	int pid = clone(run_middle, daemon->stack + 2 * STACK_SIZE, CLONE_VM | CLONE_VFORK, daemon);

	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return daemon->error;
}

int ck_spawn_daemon(int exe_fd, int user_namespace, const char *const *argv, const int *fds, int count)
{
	struct daemon daemon = {
		.exe_fd = exe_fd, .user_namespace = user_namespace, .argv = argv, .fds = fds, .count = count,
	};
	sigset_t all, before;
	int result;

	if (count > MAX_FDS)
		return -EINVAL;
	daemon.stack = mmap(NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (daemon.stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	/* No handler of the caller may run on memory that a child shares. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = clone_and_reap(&daemon);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(daemon.stack, 2 * STACK_SIZE);
	return result;
}

int ck_watch_new(void)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int ck_watch_file(int watch_fd, int fd)
{
	char path[32];

	/* By descriptor: the file may have another name, or none, by now. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return inotify_add_watch(watch_fd, path, IN_MODIFY) < 0 ? -errno : 0;
}
