/* Descriptors that are owned from the first: no signal handler of the caller can run between the system call that
 * makes one and its entry into the cell that closes it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ckit.h"

/* The kernel's SCM_MAX_FD: a message never has more. */
enum { MOST_IN_MESSAGE = 253 };

void ck_descriptor_close(struct ck_descriptor *held)
{
	int number = held->number;

	held->number = -1;
	if (number >= 0)
		close(number);
}

static int keep(struct ck_descriptor *held, int number)
{
	int error = errno;

	if (number < 0)
		return -error;
	ck_descriptor_close(held);
	held->number = number;
	return 0;
}

/* For functions that return a descriptor or -errno. */
static int keep_result(struct ck_descriptor *held, int result)
{
	if (result < 0)
		return result;
	return keep(held, result);
}

void ck_descriptor_take(struct ck_descriptor *held, int *number)
{
	int taken = *number;

	*number = -1;
	ck_descriptor_close(held);
	held->number = taken;
}

void ck_descriptor_give(struct ck_descriptor *held, int *number)
{
	*number = held->number;
	held->number = -1;
}

int ck_descriptor_open(struct ck_descriptor *held, int folder, const char *path, int flags, unsigned int mode)
{
	return keep(held, openat(folder, path, flags | O_CLOEXEC, mode));
}

int ck_descriptor_open_beneath(struct ck_descriptor *held, int root_fd, const char *path, int flags,
			       unsigned int mode, int in_root, int no_symlinks)
{
	return keep_result(held, ck_open_beneath(root_fd, path, flags, mode, in_root, no_symlinks));
}

int ck_descriptor_mkdirs_beneath(struct ck_descriptor *held, int root_fd, const char *path, unsigned int mode)
{
	return keep_result(held, ck_mkdirs_beneath(root_fd, path, mode));
}

int ck_descriptor_duplicate(struct ck_descriptor *held, int fd)
{
	return keep(held, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int ck_descriptor_memory(struct ck_descriptor *held, const char *name, unsigned int flags)
{
	return keep(held, (int)syscall(SYS_memfd_create, name, flags | MFD_CLOEXEC));
}

int ck_descriptor_process(struct ck_descriptor *held, int pid)
{
	return keep(held, (int)syscall(SYS_pidfd_open, pid, 0)); /* close-on-exec without being asked */
}

int ck_descriptor_init(struct ck_descriptor *held, const char *path)
{
	return keep_result(held, ck_seal_init(path));
}

int ck_descriptor_event(struct ck_descriptor *held, unsigned int value)
{
	return keep(held, eventfd(value, EFD_CLOEXEC));
}

int ck_descriptor_watch(struct ck_descriptor *held)
{
	return keep(held, inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

int ck_descriptor_call(struct ck_descriptor *held, long number, size_t a, size_t b, size_t c)
{
	return keep(held, (int)syscall(number, a, b, c));
}

int ck_descriptor_hand_over(struct ck_descriptor *held, const char *name, int flags)
{
	int number;

	ck_descriptor_give(held, &number);
	return number;
}

int ck_descriptor_pipe(struct ck_descriptor *reading, struct ck_descriptor *writing, int flags)
{
	int ends[2];

	if (pipe2(ends, flags | O_CLOEXEC) < 0)
		return -errno;
	keep(reading, ends[0]);
	keep(writing, ends[1]);
	return 0;
}

int ck_descriptor_receive(struct ck_descriptor **held, int room, int *count, int socket, char *data, size_t size)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * MOST_IN_MESSAGE)];
	struct iovec block = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &block, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
	};
	ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	*count = 0;
	if (length < 0)
		return -errno;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t fds = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < fds; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
			if (*count < room)
				keep(held[(*count)++], fd);
			else
				close(fd);
		}
	}
	return (int)length;
}

int ck_socket_pair_over(int first, int second, int kind)
{
	int ends[2], error = 0;

	if (socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (dup3(ends[0], first, O_CLOEXEC) < 0 || dup3(ends[1], second, O_CLOEXEC) < 0)
		error = errno;
	close(ends[0]);
	close(ends[1]);
	return -error;
}
