/* What the kernel keeps for the process and its namespaces: names, limits, scheduling, session. */
#include "init.h"

long op_hostname(const struct plan_step *step)
{
	init.about = plan_text(step, 0);
	return sys(sethostname, init.about, ck_strlen(init.about));
}

long op_domainname(const struct plan_step *step)
{
	init.about = plan_text(step, 0);
	return sys(setdomainname, init.about, ck_strlen(init.about));
}

/* texts: "sys/net/ipv4/..." below the private procfs, value */
long op_sysctl(const struct plan_step *step)
{
	const char *value = plan_text(step, 1);
	long fd = proc_open(init.about = plan_text(step, 0), O_WRONLY), result;

	if (fd < 0)
		return fd;
	result = sys(write, fd, value, ck_strlen(value));
	sys(close, fd);
	return result;
}

long op_loopback_up(const struct plan_step *step)
{
	struct { char name[16]; short flags; char rest[22]; } request = { "lo", 0, "" };
	long fd = sys(socket, 2 /* AF_INET */, 2 | O_CLOEXEC /* SOCK_DGRAM */, 0), result;

	(void)step;
	init.about = "loopback interface";
	if (fd < 0)
		return fd;
	result = sys(ioctl, fd, 0x8913 /* SIOCGIFFLAGS */, &request);
	request.flags |= 1; /* IFF_UP */
	if (result >= 0)
		result = sys(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
	sys(close, fd);
	return result;
}

long op_rlimit(const struct plan_step *step)
{
	init.about = "resource limit";
	return sys(prlimit64, 0, step->a, step->payload, NULL);
}

/* A new session keyring, so that the keys of whoever starts us stay behind. */
long op_keyring(const struct plan_step *step)
{
	long result = sys(keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL, 0, 0, 0);

	(void)step;
	init.about = "session keyring";
	return result == -ENOSYS ? 0 : result;
}

long op_personality(const struct plan_step *step)
{
	init.about = "personality";
	return sys(personality, step->a);
}

long op_io_priority(const struct plan_step *step)
{
	init.about = "I/O priority";
	return sys(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, step->a);
}

long op_scheduler(const struct plan_step *step)
{
	init.about = "scheduler";
	return sys(sched_setattr, 0, step->payload, 0);
}

long op_umask(const struct plan_step *step)
{
	return sys(umask, step->a);
}

/* Its own session in any case: a program must not be able to type into the caller's terminal. */
long op_session(const struct plan_step *step)
{
	long result = sys(setsid);

	init.about = "session";
	if (result == -EPERM) /* leads one already */
		result = 0;
	if (result >= 0 && step->a)
		result = sys(ioctl, 0, 0x540e /* TIOCSCTTY */, 1);
	return result;
}

/* A directory outside the root would show as one that getcwd cannot reach: refuse to run there. */
long op_directory(const struct plan_step *step)
{
	char where[PATH_LIMIT];
	long result = sys(chdir, init.about = plan_text(step, 0));

	if (result < 0)
		return result;
	result = sys(getcwd, where, sizeof where);
	if (result < 0)
		return result;
	return where[0] == '/' ? 0 : -EPERM;
}
