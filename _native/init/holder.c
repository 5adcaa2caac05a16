/* The holder's birth, who keeps it alive, and its main loop. */
#include "holder.h"

#include <linux/sched.h>

#include "message.h"

#define LINGER_MS 700
#define BACKLOG 64
#define QUEUE 4096 /* connections that wait at a door */
#define LOCAL 1	   /* AF_UNIX */
#define PACKETS 5  /* SOCK_SEQPACKET */
#define NO_WAIT 04000
#define GET_FLAGS 3
#define SET_FLAGS 4
#define PATIENCE_MS 100

/* 3: to whoever starts it; 4: the lock that says that there is one; 5: the directory of the socket; 6: a pidfd of the
 * program that leads to the outside is told later. */
enum { STARTER_FD = 3, LOCK_FD = 4, DIRECTORY_FD = 5 };

struct holder holder;
static int guide_pidfd; /* the program that leads to the outside; 0: none */

int close_place(int *fd)
{
	int had = *fd;

	if (had)
		sys(close, had);
	*fd = 0;
	return had;
}

void poll_for(int fd, int events, enum polled kind, int index)
{
	if (holder.poll_count == MAX_POLLS)
		return;
	holder.polls[holder.poll_count] = (struct pollfd){ .fd = fd, .events = (short)events };
	holder.polled[holder.poll_count].kind = kind;
	holder.polled[holder.poll_count].index = (uint16_t)index;
	holder.poll_count++;
}

/* Loopback, and packets between bridges and the outside. */
static long begin_network(void)
{
	struct { char name[16]; short flags; char rest[22]; } request = { "lo", 1 /* IFF_UP */, "" };
	long result = sys(unshare, CLONE_NEWNET), fd;

	if (result < 0)
		return result;
	fd = sys(socket, 2 /* AF_INET */, 2 | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	result = sys(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
	sys(close, fd);
	return result;
}

static long open_listener(void)
{
	struct { unsigned short family; char path[108]; } address = { LOCAL, "" };
	char *end = address.path + sizeof address.path;
	long result;

	ck_append(ck_append_number(ck_append(address.path, end, "/proc/self/fd/"), end, DIRECTORY_FD), end, "/holder.sock");
	sys(unlinkat, DIRECTORY_FD, "holder.sock", 0);
	result = sys(socket, LOCAL, PACKETS | O_CLOEXEC | NO_WAIT, 0);
	if (result < 0)
		return result;
	holder.listen_fd = (int)result;
	result = sys(bind, holder.listen_fd, &address, sizeof address);
	return result < 0 ? result : sys(listen, holder.listen_fd, BACKLOG);
}

/* Bytes of strangers pass from here on, for which no right is needed.  Without rights of its own, others of this user may
 * look into the process: who leads to the outside opens the namespace by its number. */
static void drop_rights(void)
{
	struct { uint32_t version; int pid; } head = { 0x20080522, 0 };
	struct { uint32_t effective, permitted, inheritable; } none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	sys(prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0);
	sys(capset, &head, none);
	sys(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
}

static void write_pid(void)
{
	char text[24];
	const char *end = ck_append(ck_append_number(text, text + sizeof text, sys(getpid)), text + sizeof text, "\n");

	sys(ftruncate, LOCK_FD, 0);
	sys(pwrite64, LOCK_FD, text, end - text, 0);
}

static void accept_peer(void)
{
	long fd = sys(accept4, holder.listen_fd, NULL, NULL, O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < MAX_PEERS; i++)
		if (!holder.peers[i]) {
			holder.peers[i] = (int)fd;
			holder.peer_count++;
			return;
		}
	sys(close, fd);
}

static void close_door(int index)
{
	if (holder.doors[index].is_datagram)
		talks_end(index);
	close_place(&holder.doors[index].fd);
}

static void drop_peer(int index)
{
	for (int i = 0; i < MAX_DOORS; i++)
		if (holder.doors[i].fd && holder.doors[i].peer == index)
			close_door(i);
	close_place(&holder.peers[index]);
	holder.peer_count--;
}

static long open_door(int peer, const struct wanted_door *wanted, int fd)
{
	long result = 0;

	if (wanted->size > SOCKADDR_SIZE)
		return -EINVAL;
	for (int i = 0; i < MAX_DOORS; i++) {
		struct door *door = &holder.doors[i];
		if (door->fd)
			continue;
		/* It was deaf, so that nobody was answered who came too early. */
		sys(setsockopt, fd, 1 /* SOL_SOCKET */, 27 /* SO_DETACH_FILTER */, &(int){ 0 }, sizeof(int));
		result = sys(fcntl, fd, SET_FLAGS, sys(fcntl, fd, GET_FLAGS, 0) | NO_WAIT);
		if (result >= 0 && !wanted->is_datagram)
			result = sys(listen, fd, QUEUE);
		if (result < 0)
			return result;
		*door = (struct door){ fd, peer, wanted->is_datagram, wanted->size, "" };
		memcpy(door->address, wanted->address, wanted->size);
		return 0;
	}
	return -ENFILE;
}

/* What a peer says: a door to be opened, which is answered; or "G", the program that leads to the outside. */
static void hear_peer(int index)
{
	struct wanted_door wanted;
	struct ck_iovec iov = { &wanted, sizeof wanted };
	struct ck_rights rights = { 0 };
	struct ck_message message = { .iov = &iov, .iov_length = 1, .control = &rights, .control_length = sizeof rights };
	long size = sys(recvmsg, holder.peers[index], &message, 0x40 | 0x40000000 /* MSG_DONTWAIT | MSG_CMSG_CLOEXEC */);
	int passed = size > 0 && message.control_length >= CK_RIGHTS_LENGTH ? rights.fd : 0, error;

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size <= 0) {
		drop_peer(index);
		return;
	}
	if (wanted.kind == 'G' && passed) {
		close_place(&guide_pidfd);
		guide_pidfd = passed;
		return;
	}
	error = wanted.kind != 'P' || size != sizeof wanted || !passed ? -EINVAL : (int)open_door(index, &wanted, passed);
	if (error < 0 && passed)
		sys(close, passed);
	sys(sendto, holder.peers[index], &error, sizeof error, 0x4000 /* MSG_NOSIGNAL */, NULL, 0);
}

static void watch_all(void)
{
	int accepts = !streams_are_full();

	holder.poll_count = 0;
	poll_for(holder.listen_fd, POLLIN, POLLED_LISTENER, 0);
	for (int i = 0; i < MAX_PEERS; i++)
		if (holder.peers[i])
			poll_for(holder.peers[i], POLLIN, POLLED_PEER, i);
	for (int i = 0; i < MAX_DOORS; i++)
		if (holder.doors[i].fd && (accepts || holder.doors[i].is_datagram))
			poll_for(holder.doors[i].fd, POLLIN, POLLED_DOOR, i);
	streams_watch();
	talks_watch();
}

static void serve_door(int index)
{
	if (!holder.doors[index].fd)
		return;
	if (holder.doors[index].is_datagram)
		datagram_from_outside(index);
	else
		stream_accept(&holder.doors[index]);
}

static void serve(int place)
{
	int index = holder.polled[place].index;

	switch (holder.polled[place].kind) {
	case POLLED_LISTENER:
		accept_peer();
		break;
	case POLLED_PEER:
		if (holder.peers[index])
			hear_peer(index);
		break;
	case POLLED_DOOR:
		serve_door(index);
		break;
	case POLLED_TALK:
		datagram_from_inside(index);
		break;
	default:
		stream_serve(index);
	}
}

/* Until nobody has needed it for a while. */
static void hold(void)
{
	int64_t empty_ms = now_ms();

	while (holder.peer_count || now_ms() - empty_ms < LINGER_MS) {
		struct timespec_raw limit = { 0, PATIENCE_MS * 1000000LL };

		watch_all();
		sys(ppoll, holder.polls, holder.poll_count, holder.peer_count ? NULL : &limit, NULL, 0);
		for (int i = 0; i < holder.poll_count; i++)
			if (holder.polls[i].revents)
				serve(i);
		if (holder.peer_count)
			empty_ms = now_ms();
	}
}

int holder_main(int argc, char **argv)
{
	int32_t error;

	(void)argc, (void)argv;
	become_daemon("ckit-holder");
	error = (int32_t)begin_network();
	if (error >= 0)
		error = (int32_t)open_listener();
	if (error >= 0) {
		drop_rights();
		write_pid();
	}
	sys(sendto, STARTER_FD, &error, sizeof error, 0x4000 /* MSG_NOSIGNAL */, NULL, 0);
	sys(close, STARTER_FD);
	if (error < 0)
		return 1;
	hold();
	sys(unlinkat, DIRECTORY_FD, "holder.sock", 0);
	if (guide_pidfd)
		sys(pidfd_send_signal, guide_pidfd, KILL_SIGNAL, NULL, 0);
	return 0;
}
