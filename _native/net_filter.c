/* Telling the kernel something by netlink, and hearing what it says about it.  Sending takes the kernel through all
 * messages before it returns, so what it has to say can be read at once. */
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "ckit.h"

#define ANSWERS 16384
#define MOST_ERROR 4095
#define ROOM_SHARE 2 /* the kernel counts its own structures, too */

/* A batch is one message to the socket, whose room may be less than that. */
static void make_room(int fd, size_t size)
{
	int wanted = size > (1 << 29) ? 1 << 30 : (int)size * ROOM_SHARE;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
}

static int send_all(int fd, const char *messages, size_t size)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int quiet = 1;
	ssize_t sent;

	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &quiet, sizeof quiet); /* errors do not repeat what was said */
	if (size > 65536)
		make_room(fd, size);
	do
		sent = sendto(fd, messages, size, 0, (struct sockaddr *)&kernel, sizeof kernel);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int ck_netlink_first_error(const char *data, size_t size, unsigned int *about)
{
	struct nlmsghdr head;
	struct nlmsgerr said;

	for (; size >= sizeof head; data += NLMSG_ALIGN(head.nlmsg_len), size -= NLMSG_ALIGN(head.nlmsg_len)) {
		memcpy(&head, data, sizeof head);
		if (head.nlmsg_len < sizeof head || head.nlmsg_len > size)
			return -EBADMSG;
		if (head.nlmsg_type == NLMSG_ERROR && head.nlmsg_len >= NLMSG_LENGTH(sizeof said)) {
			memcpy(&said, data + NLMSG_HDRLEN, sizeof said);
			if (said.error) {
				*about = said.msg.nlmsg_seq;
				return said.error < 0 && said.error >= -MOST_ERROR ? said.error : -EBADMSG;
			}
		}
		if (NLMSG_ALIGN(head.nlmsg_len) >= size)
			break;
	}
	return 0;
}

/* Receives what is there: the size, 0 when there is nothing (more), or -errno. */
static ssize_t receive(int fd, char *data, size_t room)
{
	ssize_t size;

	do
		size = recv(fd, data, room, MSG_DONTWAIT | MSG_TRUNC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == EAGAIN ? 0 : -errno;
	return (size_t)size > room ? -EMSGSIZE : size;
}

int ck_netlink_tell(int socket, const char *messages, size_t size, unsigned int *about)
{
	char answers[ANSWERS];
	int error = send_all(socket, messages, size), found = 0;
	ssize_t got;

	*about = 0;
	if (error < 0)
		return error;
	while ((got = receive(socket, answers, sizeof answers)) != 0) {
		if (got == -ENOBUFS) { /* there were too many: all of them errors */
			found = found ? found : -ENOBUFS;
			continue;
		}
		if (got < 0)
			return got;
		if (!found)
			found = ck_netlink_first_error(answers, got, about);
	}
	return found;
}

int ck_netlink_ask(int socket, const char *messages, size_t size, char *answers, size_t room)
{
	int error = send_all(socket, messages, size);
	size_t filled = 0;
	unsigned int about;
	ssize_t got;

	if (error < 0)
		return error;
	while ((got = receive(socket, answers + filled, room - filled)) != 0) {
		if (got < 0)
			return got;
		error = ck_netlink_first_error(answers + filled, got, &about);
		if (error < 0)
			return error;
		filled += NLMSG_ALIGN(got);
		if (filled >= room)
			return -EMSGSIZE;
	}
	return (int)filled;
}
