/* Hooks: programs that the runtime's caller wants run at certain moments, with the state on their input. */
#include <asm/poll.h>

#include "init.h"

#define MAX_HOOK_TEXTS 1024
#define SIGKILL_NUMBER 9

static char answer[65536];

/* Meet the launcher: it may act on this process now, and answers with the state for later hooks. */
long op_sync(const struct plan_step *step)
{
	long n;

	init.about = "meeting with the launcher";
	status_send(STATUS_SYNC, step->a, -1);
	RETRY(n, sys(recvfrom, init.status_fd, answer, sizeof answer, 0, NULL, NULL));
	if (n <= 0)
		return n < 0 ? n : -EPIPE;
	init.hook_input = answer;
	init.hook_input_size = n;
	return 0;
}

static void run_hook(const struct plan_step *step, int input)
{
	static const char *pointers[MAX_HOOK_TEXTS + 2];
	uint32_t count = plan_text_count(step), arguments = step->b, n = 0;
	uint64_t none = 0;

	for (uint32_t i = 1; i < count && n < MAX_HOOK_TEXTS; i++) {
		if (i == arguments + 1)
			pointers[n++] = NULL;
		pointers[n++] = plan_text(step, i);
	}
	if (count == arguments + 1)
		pointers[n++] = NULL;
	pointers[n] = NULL;
	sys(dup3, input, 0, 0);
	sys(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, 8);
	sys(execve, plan_text(step, 0), pointers, pointers + arguments + 1);
	sys(exit_group, 127);
}

/* Wait with a limit (0: none), then kill. */
static long wait_hook(long pid, int pidfd, uint64_t timeout_s)
{
	struct pollfd ready = { pidfd, POLLIN, 0 };
	struct { long seconds, nanoseconds; } limit = { timeout_s, 0 };
	int status = 0;
	long result;

	RETRY(result, sys(ppoll, &ready, 1, timeout_s ? &limit : NULL, NULL, 0));
	if (result == 0)
		sys(pidfd_send_signal, pidfd, SIGKILL_NUMBER, NULL, 0);
	sys(wait4, pid, &status, 0x40000000 /* __WALL */, NULL);
	if (result == 0)
		return -ETIMEDOUT;
	return result < 0 ? result : status ? -ECANCELED : 0;
}

/* a: seconds; b: number of arguments; texts: path, arguments, environment */
long op_hook(const struct plan_step *step)
{
	int pipe[2], pidfd = -1;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd };
	long pid, result = sys(pipe2, pipe, O_CLOEXEC);

	init.about = plan_text(step, 0);
	if (result < 0)
		return result;
	pid = sys(clone3, &args, sizeof args);
	if (pid == 0)
		run_hook(step, pipe[0]);
	sys(close, pipe[0]);
	if (pid > 0)
		sys(write, pipe[1], init.hook_input ? init.hook_input : "", init.hook_input_size);
	sys(close, pipe[1]);
	result = pid < 0 ? pid : wait_hook(pid, pidfd, step->a);
	if (pidfd >= 0)
		sys(close, pidfd);
	return result;
}
