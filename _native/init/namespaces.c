/* Making and entering namespaces. */
#include "init.h"

static long write_map(long pid, const char *name, const char *text)
{
	char path[64], *end = path + sizeof path;

	ck_append(ck_append(ck_append_number(ck_append(path, end, "/proc/"), end, pid), end, "/"), end, name);
	return *text ? write_file(AT_FDCWD, path, text) : 0;
}

static long open_user_namespace(long pid)
{
	char path[64], *end = path + sizeof path;

	ck_append(ck_append_number(ck_append(path, end, "/proc/"), end, pid), end, "/ns/user");
	return sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/* A child that only holds a new user namespace until the pipe closes. */
static long namespace_holder(const int *pipe)
{
	struct clone_args args = { .flags = CLONE_NEWUSER };
	long pid = sys(clone3, &args, sizeof args);
	char byte;

	if (pid == 0) {
		sys(close, pipe[1]);
		sys(read, pipe[0], &byte, 1);
		sys(exit_group, 0);
	}
	return pid;
}

/* Make a user namespace with its maps, and keep it in the slot. */
long op_user_namespace(const struct plan_step *step)
{
	int pipe[2];
	long pid, result = sys(pipe2, pipe, O_CLOEXEC);

	init.about = "user namespace";
	if (result < 0)
		return result;
	/* Without privileges the maps can be written only to a process that we may look into. */
	sys(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
	pid = result = namespace_holder(pipe);
	if (pid > 0) {
		result = write_map(pid, "uid_map", plan_text(step, 0));
		if (result >= 0)
			result = write_map(pid, "setgroups", plan_text(step, 2));
		if (result >= 0)
			result = write_map(pid, "gid_map", plan_text(step, 1));
		if (result >= 0)
			result = init.slot[step->slot] = open_user_namespace(pid);
	}
	sys(prctl, 4, 0, 0, 0, 0);
	sys(close, pipe[0]);
	sys(close, pipe[1]);
	if (pid > 0)
		sys(wait4, pid, NULL, 0x40000000 /* __WALL */, NULL);
	return result;
}

long op_set_namespace(const struct plan_step *step)
{
	init.about = "namespace";
	return sys(setns, init.slot[step->slot], step->a);
}

long op_unshare(const struct plan_step *step)
{
	return sys(unshare, step->a);
}

/* Entering a user namespace gives all rights in it but leaves the ids, which may mean nobody there. */
long op_become_root(const struct plan_step *step)
{
	long result = sys(setresgid, 0, 0, 0);

	init.about = "id 0 of the user namespace (is it mapped?)";
	if (result >= 0 && step->a)
		result = sys(setgroups, 0, NULL);
	if (result >= 0)
		result = sys(setresuid, 0, 0, 0);
	sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);
	return result;
}

/* The new process is a child of the launcher, like this one, which has done its part.  By clone, not clone3, which
 * filters refuse; the fourth argument is the same on every processor as long as both are unused. */
long op_fork(const struct plan_step *step)
{
	int pidfd = -1;
	long pid = sys(clone, CLONE_PARENT | CLONE_PIDFD | step->a, 0, &pidfd, 0, 0);

	if (pid <= 0)
		return pid;
	status_send(STATUS_CHILD, pid, pidfd);
	sys(exit_group, 0);
	return 0;
}

/* Takes effect for a process that executes a program, or is forked, after it. */
long op_time_offsets(const struct plan_step *step)
{
	init.about = "/proc/self/timens_offsets";
	return write_file(AT_FDCWD, init.about, plan_text(step, 0));
}
