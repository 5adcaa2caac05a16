/* The yardstick: what a container start must ask of the kernel, and nothing else.
 *
 * One sample: make upper and work, enter new namespaces by clone, join cgroups, mount overlay, /proc, /sys and
 * /dev, pivot, execute /true, wait, clean up.  No plan, no seccomp, no errors worth reading.
 *
 * Usage: floor LOWER SCRATCH N PAUSE_MS [net] [cgroups=a,b,c] [attach=tasks|procs]
 * Prints one line a sample: microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *attach = "tasks";
static const char *hierarchies[16];
static int n_hierarchies, with_net;
static char upper[512], work[512], merged[512], options[2048];

static void need(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(70);
	}
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void cgroup_path(char *out, size_t size, int i, const char *file)
{
	snprintf(out, size, "/sys/fs/cgroup/%s/container-kit-floor%s", hierarchies[i], file);
}

static void join_cgroups(void)
{
	char path[256];
	for (int i = 0; i < n_hierarchies; i++) {
		cgroup_path(path, sizeof path, i, strcmp(attach, "tasks") ? "/cgroup.procs" : "/tasks");
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		need(fd, path);
		need(write(fd, "0", 1), path);
		close(fd);
	}
}

static void make_dev(void)
{
	static const struct {
		const char *path;
		int major, minor;
	} nodes[] = {
		{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
		{"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
	};
	need(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"), "mount dev");
	for (int i = 0; i < 6; i++)
		need(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), "mknod");
	need(mkdir("dev/pts", 0755), "mkdir pts");
	need(mkdir("dev/shm", 01777), "mkdir shm");
	need(mkdir("dev/mqueue", 0755), "mkdir mqueue");
	need(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666"), "devpts");
	need(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"), "shm");
	need(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "mqueue");
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strcpy(request.ifr_name, "lo");
	need(ioctl(fd, SIOCSIFFLAGS, &request), "lo up");
	close(fd);
}

static int child(void *unused)
{
	(void)unused;
	join_cgroups();
	need(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0), "private");
	need(mount("overlay", merged, "overlay", 0, options), "overlay");
	need(chdir(merged), "chdir");
	need(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "proc");
	need(mount("sysfs", "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "sys");
	make_dev();
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "umount old root");
	need(sethostname("floor", 5), "hostname");
	if (with_net)
		loopback_up();
	char *argv[] = {"/true", 0}, *env[] = {0};
	execve("/true", argv, env);
	_exit(71);
}

static void remove_cgroups(void)
{
	char path[256];
	for (int i = 0; i < n_hierarchies; i++) {
		cgroup_path(path, sizeof path, i, "");
		while (rmdir(path) && errno == EBUSY)
			usleep(100);
	}
}

static double sample(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	char path[1024];
	int status;
	double start = now_us();
	need(mkdir(upper, 0755), upper);
	need(mkdir(work, 0755), work);
	need(mkdir(merged, 0755), merged);
	for (int i = 0; i < n_hierarchies; i++) {
		cgroup_path(path, sizeof path, i, "");
		need(mkdir(path, 0755), path);
	}
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | (with_net ? CLONE_NEWNET : 0);
	pid_t pid = clone(child, stack + sizeof stack, flags | CLONE_VM | CLONE_VFORK | SIGCHLD, 0);
	need(pid, "clone");
	need(waitpid(pid, &status, 0), "wait");
	if (status) {
		fprintf(stderr, "the child ended with status %d\n", status);
		exit(1);
	}
	remove_cgroups();
	snprintf(path, sizeof path, "%s/work", work);
	rmdir(path);
	need(rmdir(work), work);
	need(rmdir(upper), upper);
	need(rmdir(merged), merged);
	return now_us() - start;
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: floor LOWER SCRATCH N PAUSE_MS [net] [cgroups=a,b] [attach=tasks|procs]\n");
		return 2;
	}
	int n = atoi(argv[3]), pause_ms = atoi(argv[4]);
	for (int i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "net"))
			with_net = 1;
		else if (!strncmp(argv[i], "attach=", 7))
			attach = argv[i] + 7;
		else if (!strncmp(argv[i], "cgroups=", 8))
			for (char *name = strtok(argv[i] + 8, ","); name && n_hierarchies < 16; name = strtok(0, ","))
				hierarchies[n_hierarchies++] = name;
	}
	snprintf(upper, sizeof upper, "%s/upper", argv[2]);
	snprintf(work, sizeof work, "%s/work", argv[2]);
	snprintf(merged, sizeof merged, "%s/merged", argv[2]);
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", argv[1], upper, work);
	for (int i = 0; i < n; i++) {
		if (pause_ms)
			usleep(pause_ms * 1000);
		printf("%.1f\n", sample());
		fflush(stdout);
	}
	return 0;
}
