/* A static program that tells, as JSON on its output, what the world looks like from inside a container.
 *
 *   probe                      everything below
 *   probe exit N               end with that code
 *   probe sleep SECONDS        wait
 *   probe cat                  copy input to output
 *   probe print PATH           copy a file to output
 *   probe spew BYTES           write that many bytes
 *   probe orphans N            leave N children behind, which end a little later, and count the zombies
 *   probe flood                leave a child behind that writes for ever, then end
 *   probe hold SECONDS         leave a child behind that keeps the streams open, then end
 *   probe hunt                 for ever try to open the program files of everyone else in /proc; tell what was seen
 *   probe open PATH...         "errno" of opening each for reading and for writing
 *   probe chmod MODE PATH      end with the errno of changing it
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void quote(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = *text;
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 32 || c > 126)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void list(const char *name, char **texts)
{
	printf("\"%s\": [", name);
	for (int i = 0; texts[i]; i++) {
		printf(i ? ", " : "");
		quote(texts[i]);
	}
	printf("],\n");
}

/* The lines of a file, as an array. */
static void lines(const char *name, const char *path)
{
	static char line[65536];
	FILE *file = fopen(path, "re");
	int first = 1;

	printf("\"%s\": [", name);
	while (file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		printf(first ? "" : ", ");
		quote(line);
		first = 0;
	}
	if (file)
		fclose(file);
	printf("],\n");
}

static void links(const char *name, const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int first = 1;

	printf("\"%s\": {", name);
	while (dir && (entry = readdir(dir))) {
		char target[4096];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
		if (n < 0 || atoi(entry->d_name) == dirfd(dir))
			continue;
		target[n] = 0;
		printf(first ? "" : ", ");
		quote(entry->d_name);
		printf(": ");
		quote(target);
		first = 0;
	}
	if (dir)
		closedir(dir);
	printf("},\n");
}

static void identity(void)
{
	gid_t groups[256];
	uid_t r, e, s;
	int count = getgroups(256, groups);
	mode_t mask = umask(0);

	umask(mask);
	getresuid(&r, &e, &s);
	printf("\"uids\": [%u, %u, %u],\n", r, e, s);
	getresgid(&r, &e, &s);
	printf("\"gids\": [%u, %u, %u],\n\"groups\": [", r, e, s);
	for (int i = 0; i < count; i++)
		printf(i ? ", %u" : "%u", groups[i]);
	printf("],\n\"umask\": %u,\n\"pid\": %d,\n\"ppid\": %d,\n\"sid\": %d,\n\"pgrp\": %d,\n", mask, getpid(),
	       getppid(), getsid(0), getpgrp());
}

static void capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	unsigned long long bounding = 0, ambient = 0;

	syscall(SYS_capget, &header, data);
	for (int cap = 0; cap < 64; cap++) {
		bounding |= (unsigned long long)(prctl(PR_CAPBSET_READ, cap) == 1) << cap;
		ambient |= (unsigned long long)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) << cap;
	}
#define SET(field) ((unsigned long long)data[1].field << 32 | data[0].field)
	printf("\"capabilities\": {\"bounding\": %llu, \"effective\": %llu, \"permitted\": %llu, "
	       "\"inheritable\": %llu, \"ambient\": %llu},\n",
	       bounding, SET(effective), SET(permitted), SET(inheritable), ambient);
	printf("\"no_new_privs\": %d,\n\"seccomp\": %d,\n\"dumpable\": %d,\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
	       prctl(PR_GET_SECCOMP), prctl(PR_GET_DUMPABLE));
}

static void limits(void)
{
	printf("\"rlimits\": [");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit = { 0, 0 };
		getrlimit(i, &limit);
		printf("%s[%lld, %lld]", i ? ", " : "", (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	printf("],\n");
}

static void signals(void)
{
	sigset_t blocked;
	unsigned long long block = 0, ignore = 0;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int i = 1; i < 65; i++) {
		struct sigaction action;
		if (sigismember(&blocked, i) == 1)
			block |= 1ULL << (i - 1);
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			ignore |= 1ULL << (i - 1);
	}
	printf("\"blocked_signals\": %llu,\n\"ignored_signals\": %llu,\n", block, ignore);
}

static void names(void)
{
	struct utsname name;
	char cwd[4096];

	uname(&name);
	printf("\"hostname\": ");
	quote(name.nodename);
	printf(",\n\"domainname\": ");
	quote(name.domainname);
	printf(",\n\"cwd\": ");
	quote(getcwd(cwd, sizeof cwd) ? cwd : "");
	printf(",\n");
}

static int result_of_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), error = fd < 0 ? errno : 0;

	if (fd < 0 && error == ESOCKTNOSUPPORT) {
		fd = socket(family, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		error = fd < 0 ? errno : 0;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static void sockets(void)
{
	printf("\"sockets\": {\"inet\": %d, \"inet6\": %d, \"unix\": %d, \"netlink\": %d, \"alg\": %d, "
	       "\"vsock\": %d, \"packet\": %d},\n",
	       result_of_socket(AF_INET), result_of_socket(AF_INET6), result_of_socket(AF_UNIX),
	       result_of_socket(AF_NETLINK), result_of_socket(AF_ALG), result_of_socket(AF_VSOCK),
	       result_of_socket(AF_PACKET));
}

#define CALL(name) { #name, SYS_##name }
static const struct { const char *name; long number; } calls[] = {
	CALL(acct), CALL(add_key), CALL(adjtimex), CALL(bpf), CALL(capget), CALL(chroot), CALL(clock_adjtime),
	CALL(clock_settime), CALL(clone3), CALL(copy_file_range), CALL(delete_module), CALL(epoll_ctl),
	CALL(fanotify_init), CALL(fanotify_mark), CALL(fchdir), CALL(fchmod), CALL(fchown), CALL(fcntl),
	CALL(fgetxattr), CALL(finit_module), CALL(flock), CALL(fsconfig), CALL(fsmount), CALL(fsopen), CALL(fspick),
	CALL(fstat), CALL(fsync), CALL(ftruncate), CALL(get_mempolicy), CALL(getdents64), CALL(getpriority),
	CALL(getrandom), CALL(init_module), CALL(inotify_add_watch), CALL(io_uring_enter), CALL(io_uring_register),
	CALL(io_uring_setup), CALL(ioctl), CALL(kcmp), CALL(kexec_file_load), CALL(kexec_load), CALL(keyctl),
	CALL(landlock_create_ruleset), CALL(lookup_dcookie), CALL(lseek), CALL(mbind), CALL(membarrier),
	CALL(memfd_create), CALL(migrate_pages), CALL(mount), CALL(mount_setattr), CALL(move_mount), CALL(move_pages),
	CALL(mq_open), CALL(name_to_handle_at), CALL(nfsservctl), CALL(open_by_handle_at),
	CALL(open_tree), CALL(openat2), CALL(perf_event_open), CALL(pidfd_getfd),
	CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pivot_root), CALL(prlimit64), CALL(process_madvise),
	CALL(process_mrelease), CALL(process_vm_readv), CALL(process_vm_writev), CALL(ptrace), CALL(quotactl),
	CALL(read), CALL(readahead), CALL(reboot), CALL(request_key), CALL(rseq), CALL(sched_setattr),
	CALL(seccomp), CALL(sendfile), CALL(set_mempolicy), CALL(setdomainname), CALL(sethostname), CALL(setns),
	CALL(settimeofday), CALL(shmget), CALL(splice), CALL(statx), CALL(swapoff), CALL(swapon), CALL(sync_file_range),
	CALL(syncfs), CALL(sysfs), CALL(syslog), CALL(tee), CALL(timerfd_create), CALL(umount2), CALL(unshare),
	CALL(userfaultfd), CALL(ustat), CALL(utimensat), CALL(vmsplice), CALL(write),
#if defined(__x86_64__)
	CALL(_sysctl), CALL(afs_syscall), CALL(arch_prctl), CALL(create_module), CALL(get_kernel_syms), CALL(ioperm),
	CALL(iopl), CALL(modify_ldt), CALL(query_module), CALL(uselib), CALL(getpmsg), CALL(putpmsg), CALL(security),
	CALL(tuxcall), CALL(vserver),
#endif
};

/* Every argument is -1, so a call that is allowed fails for another reason than being forbidden. */
static void system_calls(void)
{
	printf("\"syscalls\": {");
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		long result = syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
		printf("%s\"%s\": %d", i ? ", " : "", calls[i].name, result < 0 ? errno : 0);
	}
	printf("},\n");
}

/* getpid by the 32-bit entry: its answer, or minus the errno; dead if the kernel killed for it. */
static void other_abi(void)
{
	long result = -ENOSYS;
#if defined(__x86_64__)
	int status;
	int pipes[2];
	if (pipe(pipes) < 0)
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		long answer;
		__asm__ volatile("int $0x80" : "=a"(answer) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
		answer = (int)answer;
		_exit(write(pipes[1], &answer, sizeof answer) != sizeof answer);
	}
	close(pipes[1]);
	if (waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		result = -1000 - WTERMSIG(status);
	else if (read(pipes[0], &result, sizeof result) != sizeof result)
		result = -EIO;
	close(pipes[0]);
#endif
	printf("\"i386_getpid\": %ld,\n", result);
}

static void tell(char **argv)
{
	printf("{\n");
	list("argv", argv);
	list("env", environ);
	identity();
	capabilities();
	limits();
	signals();
	names();
	links("fds", "/proc/self/fd");
	links("namespaces", "/proc/self/ns");
	lines("mounts", "/proc/self/mountinfo");
	lines("uid_map", "/proc/self/uid_map");
	lines("gid_map", "/proc/self/gid_map");
	lines("cgroup", "/proc/self/cgroup");
	lines("oom_score_adj", "/proc/self/oom_score_adj");
	sockets();
	system_calls();
	other_abi();
	printf("\"end\": true\n}\n");
}

static int copy(void)
{
	static char buffer[65536];
	ssize_t n;

	while ((n = read(0, buffer, sizeof buffer)) > 0)
		for (ssize_t done = 0; done < n;) {
			ssize_t written = write(1, buffer + done, n - done);
			if (written < 0)
				return 1;
			done += written;
		}
	return n < 0;
}

static int spew(long long bytes)
{
	static char buffer[65536];

	memset(buffer, 'x', sizeof buffer);
	while (bytes > 0) {
		ssize_t n = write(1, buffer, bytes < (long long)sizeof buffer ? (size_t)bytes : sizeof buffer);
		if (n < 0)
			return 1;
		bytes -= n;
	}
	return 0;
}

static int count_zombies(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int zombies = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300], state = 0;
		snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
		FILE *file = atoi(entry->d_name) ? fopen(path, "re") : NULL;
		if (file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1)
			zombies += state == 'Z';
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return zombies;
}

static int orphans(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t middle = fork();
		if (middle == 0) {
			if (fork() == 0)
				usleep(20000);
			_exit(0);
		}
		waitpid(middle, NULL, 0);
	}
	usleep(300000);
	printf("%d\n", count_zombies());
	return 0;
}

static int flood(void)
{
	printf("done\n");
	fflush(stdout);
	if (fork() == 0)
		_exit(spew(1LL << 50));
	usleep(20000);
	return 0;
}

static int hold(int seconds)
{
	printf("done\n");
	fflush(stdout);
	if (fork() == 0) {
		sleep(seconds);
		_exit(0);
	}
	return 0;
}

static void say_once(const char *verb, const char *program)
{
	static char said[65536];
	char line[5000];

	snprintf(line, sizeof line, "%s %s\n", verb, program);
	if (strstr(said, line) || strlen(said) + strlen(line) >= sizeof said)
		return;
	strcat(said, line);
	fputs(line, stdout);
	fflush(stdout);
}

/* "seen PROGRAM", "read PROGRAM", "WRITTEN PROGRAM" for what is not this program. */
static void hunt_one(const char *pid)
{
	char path[300], target[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	n = readlink(path, target, sizeof target - 1);
	if (n < 0)
		return;
	target[n] = 0;
	if (strstr(target, "/probe"))
		return;
	say_once("seen", target);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && close(fd) == 0)
		say_once("read", target);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		say_once(write(fd, "x", 1) == 1 ? "WRITTEN" : "opened for writing", target);
	if (fd >= 0)
		close(fd);
}

/* The same through the files that a program has mapped. */
static void hunt_maps(const char *pid)
{
	char path[600];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%s/map_files", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof path, "/proc/%s/map_files/%s", pid, entry->d_name);
		int fd = *entry->d_name == '.' ? -1 : open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			say_once("opened a mapping", path);
			close(fd);
		}
	}
	if (dir)
		closedir(dir);
}

static int hunt(void)
{
	for (;;) {
		DIR *dir = opendir("/proc");
		struct dirent *entry;
		while (dir && (entry = readdir(dir)))
			if (atoi(entry->d_name) && atoi(entry->d_name) != getpid()) {
				hunt_one(entry->d_name);
				hunt_maps(entry->d_name);
			}
		if (dir)
			closedir(dir);
	}
}

static int try_open(char **paths)
{
	for (; *paths; paths++) {
		int reading = open(*paths, O_RDONLY | O_NONBLOCK | O_CLOEXEC), read_error = reading < 0 ? errno : 0;
		char byte;
		ssize_t n = reading < 0 ? -1 : read(reading, &byte, 1);
		int writing = open(*paths, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		printf("%s %d %zd %d\n", *paths, read_error, n, writing < 0 ? errno : 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "exit"))
		return atoi(argv[2]);
	if (!strcmp(verb, "sleep"))
		return usleep(atof(argv[2]) * 1e6);
	if (!strcmp(verb, "cat"))
		return copy();
	if (!strcmp(verb, "print"))
		return freopen(argv[2], "re", stdin) ? copy() : errno;
	if (!strcmp(verb, "spew"))
		return spew(atoll(argv[2]));
	if (!strcmp(verb, "orphans"))
		return orphans(atoi(argv[2]));
	if (!strcmp(verb, "flood"))
		return flood();
	if (!strcmp(verb, "hold"))
		return hold(atoi(argv[2]));
	if (!strcmp(verb, "hunt"))
		return hunt();
	if (!strcmp(verb, "open"))
		return try_open(argv + 2);
	if (!strcmp(verb, "chmod"))
		return chmod(argv[3], strtol(argv[2], NULL, 8)) < 0 ? errno : 0;
	tell(argv);
	return 0;
}
