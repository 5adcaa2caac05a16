/* The end of the plan: meet whoever starts us, leave a PID 1 behind if asked, become the program. */
#include <asm/signal.h>

#include "init.h"

#define LAST_SIGNAL 64
#define MAX_TEXTS 65536

/* Signals as a fresh program expects them: none ignored (Python ignores SIGPIPE), none blocked. */
static void reset_signals(void)
{
	struct { unsigned long handler, flags, restorer, mask; } action = { 0, 0, 0, 0 };
	uint64_t none = 0;

	for (int number = 1; number <= LAST_SIGNAL; number++)
		sys(rt_sigaction, number, &action, NULL, 8);
	sys(rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

/* 0 if the file could be executed, else why not. */
static long runnable(const char *path)
{
	struct statx found;
	long result = sys(statx, AT_FDCWD, path, 0, STATX_TYPE, &found);

	if (result < 0)
		return result;
	if ((found.stx_mode & S_IFMT) != S_IFREG)
		return -EACCES;
	return sys(faccessat2, AT_FDCWD, path, 1 /* X_OK */, AT_EACCESS);
}

static int has_slash(const char *text)
{
	while (*text)
		if (*text++ == '/')
			return 1;
	return 0;
}

/* Look a program up as execvp(3) does, with the container's PATH and the container user's rights. */
long op_find_program(const struct plan_step *step)
{
	const char *name = init.about = plan_text(step, 0);
	static char found[PATH_LIMIT];
	char *end = found + sizeof found;
	uint32_t count = plan_text_count(step);
	long result, worst = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (has_slash(name)) {
		ck_append(init.program = found, end, name);
		return runnable(name);
	}
	for (uint32_t i = 1; i < count; i++) {
		char *at = ck_append(found, end, plan_text(step, i));
		ck_append(ck_append(at, end, "/"), end, name);
		result = runnable(found);
		if (result >= 0) {
			init.program = found;
			return 0;
		}
		if (result != -ENOENT && result != -ENOTDIR)
			worst = result;
	}
	return worst;
}

/* Created, not started: wait for a connection, over which later failures are told. */
long op_wait_start(const struct plan_step *step)
{
	int listener = init.slot[step->slot];
	long connection;

	init.about = "start socket";
	status_send(STATUS_READY, 0, -1);
	sys(close, init.status_fd);
	RETRY(connection, sys(accept4, listener, NULL, NULL, O_CLOEXEC));
	init.status_fd = connection;
	sys(close, listener);
	return connection;
}

struct wait_result {
	int code, status;
};

static struct wait_result reap_all(int child)
{
	struct wait_result result = { 0, -1 };
	int status;
	long pid;

	while ((pid = sys(wait4, -1, &status, 1 | 0x40000000 /* WNOHANG | __WALL */, NULL)) > 0)
		if (pid == child) {
			result.code = 1;
			result.status = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
		}
	return result;
}

/* PID 1: forwards signals to the program, reaps everyone, ends as the program ends. */
static void be_init(int child)
{
	uint64_t all = ~0ULL;

	sys(close_range, 0, ~0U, 0);
	for (;;) {
		struct wait_result ended = reap_all(child);
		int number;

		if (ended.code)
			sys(exit_group, ended.status);
		number = sys(rt_sigtimedwait, &all, NULL, NULL, 8);
		if (number > 0 && number != SIGCHLD)
			sys(kill, child, number);
	}
}

long op_init(const struct plan_step *step)
{
	uint64_t all = ~0ULL;
	long pid;

	(void)step;
	init.about = "init process";
	sys(rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	/* Not clone3: filters refuse it, because they cannot look into its arguments. */
	pid = sys(clone, SIGCHLD, 0, 0, 0, 0);
	if (pid > 0)
		be_init(pid);
	return pid;
}

/* texts: arguments, environment */
long op_exec(const struct plan_step *step)
{
	static const char *pointers[MAX_TEXTS + 2];
	uint32_t count = plan_text_count(step), arguments = step->a, n = 0;
	const char *at = step->payload;

	if (count > MAX_TEXTS || arguments > count)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++) {
		if (i == arguments)
			pointers[n++] = NULL;
		pointers[n++] = at;
		at += ck_strlen(at) + 1;
	}
	if (count == arguments)
		pointers[n++] = NULL;
	pointers[n] = NULL;
	init.about = init.program ? init.program : pointers[0];
	reset_signals();
	return sys(execve, init.about, pointers, pointers + arguments + 1);
}
