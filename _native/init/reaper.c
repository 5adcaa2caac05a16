/* The reaper: the first process of a pod whose containers share their processes.
 *
 * A PID namespace ends with its first process, so this one has to be there and be nobody's container.  It collects
 * orphans and waits: to be killed, or for the end of the pod's owner.  Whatever a container can find out of it by
 * /proc/1 is the pod's own, or empty. */
#include "daemon.h"

#include <linux/sched.h>
#include <linux/mount.h>

#define CHILD_ENDED 17	 /* SIGCHLD */
#define IGNORED 1	 /* SIG_IGN */
#define NO_NEW_RIGHTS 38 /* PR_SET_NO_NEW_PRIVS */
#define CAPABILITIES_V3 0x20080522
#define MOUNT_PRIVATE (1 << 14 | 1 << 18)		      /* MS_REC | MS_PRIVATE */
#define MOUNT_NOTHING (1 | 1 << 1 | 1 << 2 | 1 << 3) /* MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC */
#define DETACH 2				      /* MNT_DETACH */

/* 3: to whoever starts it; 4: a pidfd of the owner, or nothing; 5 and on: the pod's namespaces. */
enum { STARTER_FD = 3, OWNER_FD = 4, JOINED_FD = 5, JOINED_END = 8 };

static long join_namespaces(void)
{
	long result = 0;

	for (int fd = JOINED_FD; fd < JOINED_END && result >= 0; fd++) {
		result = sys(setns, fd, 0);
		if (result == -EINVAL || result == -EBADF)
			result = 0; /* nothing: the pod shares the host's */
		sys(close, fd);
	}
	return result < 0 ? result : sys(unshare, CLONE_NEWPID | CLONE_NEWNS);
}

/* An empty root: nothing of the host can be reached through this process. */
static long enter_nothing(void)
{
	long result = sys(mount, NULL, "/", NULL, MOUNT_PRIVATE, NULL);

	if (result >= 0)
		result = sys(mount, "none", "/proc", "tmpfs", MOUNT_NOTHING, "size=4k,nr_inodes=2");
	if (result >= 0)
		result = sys(chdir, "/proc");
	if (result >= 0)
		result = sys(pivot_root, ".", ".");
	if (result >= 0)
		result = sys(umount2, ".", DETACH);
	return result < 0 ? result : sys(chdir, "/");
}

static void drop_rights(void)
{
	struct { uint32_t version; int pid; } head = { CAPABILITIES_V3, 0 };
	struct { uint32_t effective, permitted, inheritable; } none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	sys(prctl, NO_NEW_RIGHTS, 1, 0, 0, 0);
	sys(capset, &head, none);
}

/* Orphans whose parent ignores their end are collected by the kernel. */
static void ignore_children(void)
{
	struct { unsigned long handler, flags, restorer, mask; } action = { IGNORED, 0, 0, 0 };

	sys(rt_sigaction, CHILD_ENDED, &action, NULL, 8);
}

static void reap_until_owner_ends(int owned)
{
	struct pollfd owner = { .fd = owned ? OWNER_FD : -1, .events = POLLIN };

	ignore_children();
	do
		sys(ppoll, &owner, 1, NULL, NULL, 8);
	while (!(owner.revents & POLLIN));
}

/* In the new namespace: tell the starter's child that nothing of the host is in view any more, then stay. */
static int stay(int told_fd, int owned)
{
	long result = enter_nothing();

	if (result < 0)
		return 1;
	drop_rights();
	sys(write, told_fd, "", 1);
	sys(close_range, 0, STARTER_FD, 0);
	sys(close_range, JOINED_FD, ~0U, 0);
	reap_until_owner_ends(owned);
	return 0;
}

/* Its number, once it stays. */
static long begin(int owned)
{
	int told[2];
	long pid, result = join_namespaces();
	char byte;

	if (result >= 0)
		result = sys(pipe2, told, O_CLOEXEC);
	if (result < 0)
		return result;
	pid = sys(clone, CHILD_ENDED, 0, NULL, NULL, 0);
	if (pid == 0)
		sys(exit_group, stay(told[1], owned));
	sys(close, told[1]);
	if (pid > 0)
		result = sys(read, told[0], &byte, 1);
	return pid < 0 ? pid : result == 1 ? pid : -EPERM;
}

int reaper_main(int argc, char **argv)
{
	int32_t answer;

	become_daemon("ckit-reaper");
	answer = (int32_t)begin(argc > 2 && ck_streq(argv[2], "owned"));
	sys(sendto, STARTER_FD, &answer, sizeof answer, 0x4000 /* MSG_NOSIGNAL */, NULL, 0);
	return 0;
}
