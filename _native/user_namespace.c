/* Work with the rights of a user namespace, for processes that have none of their own.
 *
 * A process of several threads cannot enter a user namespace, and the caller has them.  So the work is done by a
 * process that is made for it with clone(CLONE_VM | CLONE_VFORK | CLONE_FILES): it has the memory, the descriptors and
 * the thread-local storage of the calling thread, which the kernel holds until it has ended.  Seen from user space the
 * thread goes on with other rights and comes back with its own.  What the work may not do is to leave threads behind,
 * or to keep its process id. */
#include <asm/errno.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>

#include "ckit.h"
#include "init/spawn.h"

enum {
	MAX_ARGUMENTS = 32,
	HOLDER_STACK = 4096,
	/* Between the frame that waits and the one that works, on one stack; no system call is in between. */
	GAP = 16 * 1024,
	WORK_STACK = 256 * 1024,
	CHANGE_MASK = 2, /* SIG_SETMASK */
	BLOCK = 0,	 /* SIG_BLOCK */
	KILL = 9,
	HERE = -100 /* AT_FDCWD */
};

static void block_signals(uint64_t *before)
{
	uint64_t all = ~0ULL;

	sys(rt_sigprocmask, BLOCK, &all, before, 8);
}

static void restore_signals(const uint64_t *before)
{
	sys(rt_sigprocmask, CHANGE_MASK, before, NULL, 8);
}

static int wait_for(int pid)
{
	int status = 0;
	long result;

	RETRY(result, sys(wait4, pid, &status, SPAWN_ALL_CHILDREN, NULL));
	return result < 0 ? (int)result : status;
}

/* A process that does nothing but be in the new namespace, until it is killed. */
struct holder {
	int parent;
};

__attribute__((no_sanitize("address", "undefined", "thread"))) static int hold(void *data)
{
	struct holder *holder = data;

	sys(prctl, PR_SET_PDEATHSIG, KILL, 0, 0, 0);
	while (sys(getppid) == holder->parent)
		sys(ppoll, NULL, 0, NULL, NULL, 8);
	return 0;
}

struct helper {
	const char *const *argv;
	int messages_fd;
	uint64_t signals;
};

__attribute__((no_sanitize("address", "undefined", "thread"))) static int become_helper(void *data)
{
	static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct helper *helper = data;
	long nothing = sys(openat, HERE, "/dev/null", O_RDWR);

	sys(dup3, helper->messages_fd, 2, 0);
	sys(dup3, helper->messages_fd, 1, 0);
	if (nothing > 0)
		sys(dup3, nothing, 0, 0);
	sys(close_range, 3, ~0U, 0);
	sys(rt_sigprocmask, CHANGE_MASK, &helper->signals, NULL, 8);
	sys(execve, helper->argv[0], helper->argv, environment);
	return 127;
}

/* Run the helper for this process to its end. */
static int run_helper(const char *const *given, int pid, int messages_fd, const uint64_t *signals)
{
	char stack[SPAWN_STACK] __attribute__((aligned(16)));
	const char *argv[MAX_ARGUMENTS + 1];
	char number[16];
	struct helper helper = { argv, messages_fd, *signals };
	struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK,
				   .stack = (uint64_t)(uintptr_t)stack, .stack_size = sizeof stack };
	int count = 0;
	long child;

	snprintf(number, sizeof number, "%d", pid);
	while (given[count] && count < MAX_ARGUMENTS) {
		argv[count] = count == 1 ? number : given[count];
		count++;
	}
	argv[count] = NULL;
	child = spawn_clone(&args, become_helper, &helper);
	if (child < 0)
		return (int)child;
	return wait_for((int)child) == 0 ? 0 : -EACCES;
}

static int write_map(int pid, const char *name, const char *text)
{
	char path[64];
	long fd, result;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	fd = sys(openat, HERE, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return (int)fd;
	result = sys(write, fd, text, strlen(text));
	sys(close, fd);
	return result < 0 ? (int)result : 0;
}

static int open_namespace(struct ck_descriptor *held, int pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	return ck_descriptor_open(held, HERE, path, O_RDONLY, 0);
}

int ck_user_namespace_new(struct ck_descriptor *held, const char *uid_map, const char *gid_map,
			  const char *const *uid_helper, const char *const *gid_helper, int deny_groups,
			  int messages_fd)
{
	char stack[HOLDER_STACK] __attribute__((aligned(16)));
	struct holder holder = { .parent = (int)sys(getpid) };
	struct clone_args args = { .flags = CLONE_VM | CLONE_FILES | CLONE_NEWUSER,
				   .stack = (uint64_t)(uintptr_t)stack, .stack_size = sizeof stack };
	uint64_t signals = 0;
	int result = 0;
	long pid;

	block_signals(&signals);
	pid = spawn_clone(&args, hold, &holder);
	if (pid < 0) {
		restore_signals(&signals);
		return (int)pid;
	}
	if (uid_helper)
		result = run_helper(uid_helper, (int)pid, messages_fd, &signals);
	else
		result = write_map((int)pid, "uid_map", uid_map);
	/* Who maps a single group may not drop groups that take a right away. */
	if (!result && deny_groups)
		result = write_map((int)pid, "setgroups", "deny");
	if (!result && gid_helper)
		result = run_helper(gid_helper, (int)pid, messages_fd, &signals);
	else if (!result)
		result = write_map((int)pid, "gid_map", gid_map);
	if (!result)
		result = open_namespace(held, (int)pid);
	sys(kill, pid, KILL);
	wait_for((int)pid);
	restore_signals(&signals);
	return result;
}

struct work {
	int user_namespace, flags, parent;
	int (*run)(void *);
	void *data;
	volatile int result;
};

static int enter(const struct work *work)
{
	uint64_t more = (work->flags & CK_NEW_MOUNTS ? CLONE_NEWNS : 0) | (work->flags & CK_NEW_NETWORK ? CLONE_NEWNET : 0);
	long result = enter_user_namespace(work->user_namespace);

	if (result >= 0 && more)
		result = sys(unshare, more);
	/* After the change of ids, which takes it away again. */
	sys(prctl, PR_SET_PDEATHSIG, KILL, 0, 0, 0);
	if (result >= 0 && sys(getppid) != work->parent)
		result = -EOWNERDEAD;
	return (int)result;
}

static int do_work(void *data)
{
	struct work *work = data;
	int result = enter(work);

	work->result = result ? result : work->run(work->data);
	return 0;
}

int ck_within(int user_namespace, int flags, int (*run)(void *), void *data)
{
	struct work work = { user_namespace, flags, (int)sys(getpid), run, data, -EOWNERDEAD };
	/* The same stack, further down: who checks how much of it is left finds what is true. */
	uintptr_t top = ((uintptr_t)__builtin_frame_address(0) - GAP) & ~(uintptr_t)15;
	struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES,
				   .stack = top - WORK_STACK, .stack_size = WORK_STACK };
	uint64_t signals = 0;
	long pid;
	int status;

	block_signals(&signals);
	pid = spawn_clone(&args, do_work, &work);
	status = pid < 0 ? 0 : wait_for((int)pid);
	restore_signals(&signals);
	if (pid < 0)
		return (int)pid;
	return status == 0 ? work.result : -EOWNERDEAD;
}

int ck_new_mounts(void)
{
	return (int)sys(unshare, CLONE_NEWNS);
}
