/* A socket of another network namespace.
 *
 * The child shares memory and descriptors with the caller and has one thread, so it may enter any namespace; its
 * socket is the caller's at once.  With a user namespace between, that is entered first, which gives an ordinary user
 * the right to enter the network namespace that it owns. */
#include "ckit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)

struct wish {
	int number, pidfd, family, kind;
	volatile int error;
};

/* In a child that shares our memory and never returns: a sanitizer's marks on its stack would stay in ours. */
#define SHARES_MEMORY __attribute__((no_sanitize("address", "undefined", "thread")))

SHARES_MEMORY static int enter(int pidfd)
{
	if (syscall(SYS_setns, pidfd, CLONE_NEWNET) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	return syscall(SYS_setns, pidfd, CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -errno : 0;
}

SHARES_MEMORY static int make_socket(void *argument)
{
	struct wish *wish = argument;
	int made, error = enter(wish->pidfd);

	if (error == 0) {
		made = syscall(SYS_socket, wish->family, wish->kind | 02000000 /* SOCK_CLOEXEC */, 0);
		if (made < 0 || syscall(SYS_dup3, made, wish->number, 02000000 /* O_CLOEXEC */) < 0)
			error = -errno;
		if (made >= 0)
			syscall(SYS_close, made);
	}
	wish->error = error;
	syscall(SYS_exit, 0);
	return 0;
}

int ck_socket_in(int number, int pidfd, int family, int kind)
{
	struct wish wish = {.number = number, .pidfd = pidfd, .family = family, .kind = kind};
	sigset_t all, before;
	char *stack;
	int pid;

	stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	/* No handler of the caller may run on memory that a child shares. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Exit signal 0: the caller's SIGCHLD handler and its waits for any child never see this one. */
	pid = clone(make_socket, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES, &wish);
	if (pid < 0)
		wish.error = -errno;
	else
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(stack, STACK_SIZE);
	return wish.error;
}
