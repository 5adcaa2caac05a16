/* What the process gives up for good: ids, capabilities, new privileges, system calls, file accesses. */
#include <linux/capability.h>

#include "init.h"

#define PR_SET_KEEPCAPS 8
#define PR_CAPBSET_DROP 24
#define PR_SET_NO_NEW_PRIVS 38
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4

/* The kernel answers EINVAL for the first capability that it does not know. */
static long drop_bounding(uint64_t keep)
{
	long result = 0;

	for (int cap = 0; cap < 64 && result >= 0; cap++)
		if (!(keep >> cap & 1))
			result = sys(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
	return result == -EINVAL ? 0 : result;
}

static long set_ids(const struct plan_credentials *c)
{
	long result = 0;

	if (!(c->flags & CREDENTIALS_KEEP_GROUPS)) {
		init.about = "supplementary groups";
		result = sys(setgroups, c->groups, c->group);
	}
	if (result >= 0) {
		init.about = "group id";
		result = sys(setresgid, c->gid, c->gid, c->gid);
	}
	if (result >= 0) {
		init.about = "user id";
		result = sys(setresuid, c->uid, c->uid, c->uid);
	}
	return result;
}

static long set_capabilities(const struct plan_credentials *c)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ c->effective, c->permitted, c->inheritable },
		{ c->effective >> 32, c->permitted >> 32, c->inheritable >> 32 },
	};
	long result;

	init.about = "capabilities";
	result = sys(capset, &header, data);
	if (result >= 0)
		result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; cap < 64 && result >= 0; cap++)
		if (c->ambient >> cap & 1)
			result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return result;
}

long op_credentials(const struct plan_step *step)
{
	const struct plan_credentials *c = (const void *)step->payload;
	long result = 0;

	if (step->size < sizeof *c || (step->size - sizeof *c) / 4 < c->groups)
		return -EBADMSG;
	init.about = "bounding set";
	if (!(c->flags & CREDENTIALS_KEEP_CAPS))
		result = drop_bounding(c->bounding);
	if (result >= 0)
		result = sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (result >= 0)
		result = set_ids(c);
	if (result >= 0 && !(c->flags & CREDENTIALS_KEEP_CAPS))
		result = set_capabilities(c);
	/* The change of ids made us readable again for others with the same ids. */
	sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);
	return result;
}

long op_no_new_privs(const struct plan_step *step)
{
	(void)step;
	init.about = "no_new_privs";
	return sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

long op_seccomp(const struct plan_step *step)
{
	struct { unsigned short length; const void *filter; } program = { step->size / 8, step->payload };
	long result = sys(seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, step->a, &program);

	init.about = "seccomp filter";
	if (result > 0 && step->a & 8 /* SECCOMP_FILTER_FLAG_NEW_LISTENER */) {
		status_send(STATUS_LISTENER, 0, result);
		sys(close, result);
	}
	return result;
}

/* A path that is not there needs no permission. */
static long landlock_rule(long ruleset, const struct plan_landlock_rule *rule)
{
	struct { uint64_t access; int parent_fd; } __attribute__((packed)) beneath = { rule->access, -1 };
	struct { uint64_t access, port; } port = { rule->access, rule->port };
	long result;

	if (rule->kind == 2)
		return sys(landlock_add_rule, ruleset, 2 /* LANDLOCK_RULE_NET_PORT */, &port, 0);
	init.about = rule->path;
	result = sys(openat, AT_FDCWD, rule->path, O_PATH | O_CLOEXEC);
	if (result < 0)
		return result == -ENOENT ? 0 : result;
	beneath.parent_fd = result;
	result = sys(landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &beneath, 0);
	sys(close, beneath.parent_fd);
	return result;
}

/* slot: how much of {files, net, scopes} the kernel's ABI knows, in bytes; the scopes are in b's high half. */
long op_landlock(const struct plan_step *step)
{
	struct { uint64_t files, net, scoped; } attr = { step->a, step->b & 0xffffffff, step->b >> 32 };
	long ruleset = sys(landlock_create_ruleset, &attr, step->slot, 0), result = 0;
	uint32_t at = 0;

	init.about = "Landlock rules";
	if (ruleset < 0)
		return ruleset;
	while (at + sizeof(struct plan_landlock_rule) <= step->size && result >= 0) {
		const struct plan_landlock_rule *rule = (const void *)(step->payload + at);
		if (rule->size < sizeof *rule || rule->size > step->size - at)
			return -EBADMSG;
		result = landlock_rule(ruleset, rule);
		at += rule->size;
	}
	if (result >= 0)
		result = sys(landlock_restrict_self, ruleset, 0);
	sys(close, ruleset);
	return result;
}
