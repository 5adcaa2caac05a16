/* Acting in other network namespaces: a child that shares the caller's memory and descriptors enters, acts and ends.
 *
 * The caller may have any number of threads: only a process of one thread may enter a user namespace, and the child
 * is one.  Signals are blocked meanwhile, and between the clone and the end are only system calls. */
#include <asm/errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "ckit.h"
#include "init/netlink.h"
#include "init/spawn.h"

enum { STACK_SIZE = 16384, NETLINK = 16, CLOSE_ON_EXEC = 0x80000, LOOPBACK = 1 };

struct task {
	int user_namespace, net_namespace;
	uint64_t is_new; /* make namespaces of these types instead of entering one */
	long (*act)(struct task *);
	long result;
	/* Whatever the action is about. */
	int held, route, family, kind, protocol, ipc, uts;
	const char *settings;
	char *text;
	unsigned int size;
};

static long enter(const struct task *t)
{
	long result = 0;

	if (t->user_namespace >= 0)
		result = sys(setns, t->user_namespace, CLONE_NEWUSER);
	if (result >= 0 && t->is_new)
		result = sys(unshare, t->is_new);
	else if (result >= 0 && t->net_namespace >= 0)
		result = sys(setns, t->net_namespace, CLONE_NEWNET);
	return result;
}

/* In the child, which never returns to its caller's frame: a sanitizer's marks on its stack would stay. */
__attribute__((no_sanitize("address", "undefined", "thread"))) static int act_inside(void *data)
{
	struct task *t = data;

	t->result = enter(t);
	if (t->result >= 0)
		t->result = t->act(t);
	return 0;
}

/* Have a child do the task.  It ends without a signal and nobody else's wait can take it. */
static long in_child(struct task *t)
{
	char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct clone_args args = { 0 };
	uint64_t all = ~0ULL, before = 0;
	long dumpable = sys(prctl, 3 /* PR_GET_DUMPABLE */, 0, 0, 0, 0), pid;

	args.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES;
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = sizeof stack;
	sys(rt_sigprocmask, 0 /* SIG_BLOCK */, &all, &before, 8);
	pid = spawn_clone(&args, act_inside, t);
	if (pid > 0) {
		long waited;
		RETRY(waited, sys(wait4, pid, NULL, 0x40000000 /* __WALL */, NULL));
	}
	sys(rt_sigprocmask, 2 /* SIG_SETMASK */, &before, NULL, 8);
	/* Entering a user namespace can make the memory, which is ours, one that is not to be looked into. */
	if (t->user_namespace >= 0 && dumpable == 1)
		sys(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
	return pid < 0 ? pid : t->result;
}

static long carry_out(struct task *t)
{
	if (t->user_namespace < 0 && t->net_namespace < 0 && !t->is_new)
		return t->act(t);
	return in_child(t);
}

static long open_socket(struct task *t)
{
	long fd;

	if (t->family == NETLINK)
		fd = netlink_open(t->protocol);
	else
		fd = sys(socket, t->family, t->kind | CLOSE_ON_EXEC, t->protocol);
	if (fd >= 0)
		t->held = fd;
	return fd < 0 ? fd : 0;
}

static void setting_path(char *path, const char *end, const char *name)
{
	ck_append(ck_append(path, end, "/proc/sys/"), end, name);
}

static long write_setting(const char *name, const char *value)
{
	char path[256];
	long fd, result;

	if (ck_strlen(name) + sizeof "/proc/sys/" > sizeof path)
		return -ENAMETOOLONG;
	setting_path(path, path + sizeof path, name);
	fd = sys(openat, -100 /* AT_FDCWD */, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	result = sys(write, fd, value, ck_strlen(value));
	sys(close, fd);
	return result < 0 ? result : 0;
}

static long write_settings(struct task *t)
{
	const char *at = t->settings;

	while (*at) {
		const char *value = at + ck_strlen(at) + 1;
		long result = write_setting(at, value);

		if (result < 0) {
			ck_append(t->text, t->text + t->size, at);
			return result;
		}
		at = value + ck_strlen(value) + 1;
	}
	return 0;
}

static long read_setting(struct task *t)
{
	char path[256];
	long fd, n;

	if (ck_strlen(t->settings) + sizeof "/proc/sys/" > sizeof path)
		return -ENAMETOOLONG;
	setting_path(path, path + sizeof path, t->settings);
	fd = sys(openat, -100, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = sys(read, fd, t->text, t->size);
	sys(close, fd);
	return n;
}

static long loopback_up(int route)
{
	struct ifinfomsg link = { .ifi_index = LOOPBACK, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink_buffer b;
	char data[64];

	netlink_begin(&b, data, sizeof data);
	netlink_message(&b, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
	return netlink_talk(route, &b, NULL, 0);
}

/* In the new namespace: settings first, so that no link is up without them. */
static long furnish(struct task *t)
{
	long result = write_settings(t);

	if (result >= 0)
		result = t->route = netlink_open(NETLINK_ROUTE);
	if (result >= 0)
		result = loopback_up(t->route);
	if (result >= 0)
		result = t->held = sys(ioctl, t->route, SIOCGSKNS, 0);
	return result < 0 ? result : 0;
}

int ck_net_namespace(struct ck_descriptor *held, struct ck_descriptor *route, int user_namespace,
		     const char *settings, char *where, unsigned int size)
{
	struct task t = { .user_namespace = user_namespace, .net_namespace = -1, .is_new = CLONE_NEWNET, .act = furnish,
			  .held = -1, .route = -1, .settings = settings, .text = where, .size = size };
	long result = carry_out(&t);

	ck_descriptor_take(held, &t.held);
	ck_descriptor_take(route, &t.route);
	if (result < 0) {
		ck_descriptor_close(held);
		ck_descriptor_close(route);
	}
	return result;
}

static long open_own(const char *path)
{
	return sys(openat, -100 /* AT_FDCWD */, path, O_RDONLY | O_CLOEXEC);
}

static long hold_names(struct task *t)
{
	long result = t->ipc = open_own("/proc/self/ns/ipc");

	if (result >= 0)
		result = t->uts = open_own("/proc/self/ns/uts");
	return result < 0 ? result : 0;
}

int ck_shared_namespaces(struct ck_descriptor *ipc, struct ck_descriptor *uts, int user_namespace)
{
	struct task t = { .user_namespace = user_namespace, .net_namespace = -1, .act = hold_names,
			  .is_new = CLONE_NEWIPC | CLONE_NEWUTS, .ipc = -1, .uts = -1 };
	long result = carry_out(&t);

	ck_descriptor_take(ipc, &t.ipc);
	ck_descriptor_take(uts, &t.uts);
	if (result < 0) {
		ck_descriptor_close(ipc);
		ck_descriptor_close(uts);
	}
	return result;
}

int ck_net_socket(struct ck_descriptor *held, int user_namespace, int net_namespace, int family, int kind,
		  int protocol)
{
	struct task t = { .user_namespace = user_namespace, .net_namespace = net_namespace, .act = open_socket,
			  .held = -1, .family = family, .kind = kind, .protocol = protocol };
	long result = carry_out(&t);

	ck_descriptor_take(held, &t.held);
	return result;
}

int ck_net_settings(int user_namespace, int net_namespace, const char *settings, char *where, unsigned int size)
{
	struct task t = { .user_namespace = user_namespace, .net_namespace = net_namespace, .act = write_settings,
			  .settings = settings, .text = where, .size = size };
	return carry_out(&t);
}

int ck_net_setting(int user_namespace, int net_namespace, const char *name, char *value, unsigned int size)
{
	struct task t = { .user_namespace = user_namespace, .net_namespace = net_namespace, .act = read_setting,
			  .settings = name, .text = value, .size = size };
	return carry_out(&t);
}
