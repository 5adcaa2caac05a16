/* Takes as much as it gets of one thing, then says how many and with which errno it ended, and waits.
 *
 * hog beat SECONDS is the neighbour: it does a little of everything again and again, and prints the 50th and the
 * 99th percentile of how long that took, in microseconds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 65536
#define MAX_TURNS 100000
#define BEATS 16 /* of a turn: some milliseconds, as a small request takes */

static char page[PAGE];

static void want_all_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int take_fd(void)
{
	return open("/dev/null", O_RDONLY);
}

static int take_inotify(void)
{
	return inotify_init1(IN_CLOEXEC);
}

static int take_key(void)
{
	static int number;
	char name[32];

	snprintf(name, sizeof name, "hog%d", number++);
	return syscall(SYS_add_key, "user", name, page, 1000, -3);
}

/* A pipe, filled. */
static int take_pipe(void)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK) < 0)
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	while (write(ends[1], page, PAGE) > 0)
		;
	return 0;
}

/* Two sockets, filled. */
static int take_socket(void)
{
	int ends[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	while (write(ends[0], page, PAGE) > 0)
		;
	return 0;
}

static int take_disk(void)
{
	static int file = -1;

	if (file < 0)
		file = open("/hogged", O_WRONLY | O_CREAT, 0600);
	return file < 0 ? -1 : (int)write(file, page, PAGE);
}

static int take_process(void)
{
	int pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static int take_memory(void)
{
	char *more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (more == MAP_FAILED)
		return -1;
	memset(more, 1, 1 << 20);
	return 0;
}

static int __attribute__((noreturn)) burn(void)
{
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			break;
	for (;;)
		page[0]++;
}

static const struct {
	const char *name;
	int (*take)(void);
} hogs[] = {
	{ "fds", take_fd }, { "inotify", take_inotify }, { "keys", take_key }, { "pipes", take_pipe },
	{ "sockets", take_socket }, { "disk", take_disk }, { "processes", take_process },
	{ "memory", take_memory }, { "cpu", burn },
};

static int __attribute__((noreturn)) hog(int (*take)(void))
{
	long count = 0;

	want_all_descriptors();
	while (take() >= 0)
		count++;
	printf("%ld %d\n", count, errno);
	fflush(stdout);
	for (;;) /* and again, for ever */
		if (take() < 0)
			usleep(1000);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* A file, a pipe, a little memory and a process. */
static int beat_once(void)
{
	int ends[2], file = open("/beat", O_WRONLY | O_CREAT | O_TRUNC, 0600), pid;
	char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (file < 0 || memory == MAP_FAILED || pipe(ends) < 0)
		return -1;
	memset(memory, 1, 1 << 20);
	if (write(file, memory, 4096) != 4096 || write(ends[1], memory, 4096) != 4096 || (pid = fork()) < 0)
		return -1;
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	munmap(memory, 1 << 20);
	return close(file) + close(ends[0]) + close(ends[1]);
}

static int beat(double seconds)
{
	static double took[MAX_TURNS];
	double end = now_us() + seconds * 1e6;
	int count = 0;

	while (now_us() < end && count < MAX_TURNS) {
		double start = now_us();
		for (int i = 0; i < BEATS; i++)
			if (beat_once() < 0)
				return errno;
		took[count++] = now_us() - start;
		usleep(500);
	}
	qsort(took, count, sizeof *took, by_size);
	printf("%.1f %.1f %d\n", took[count / 2], took[count * 99 / 100], count);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "beat"))
		return beat(atof(argv[2]));
	memset(page, 'x', sizeof page);
	for (size_t i = 0; argc == 2 && i < sizeof hogs / sizeof *hogs; i++)
		if (!strcmp(argv[1], hogs[i].name))
			return hog(hogs[i].take);
	return 2;
}
