/* The end of a network in the kernel: under the network's lock, and only when nobody has joined meanwhile. */
#include "keeper.h"

#define LOCK_AGAIN_MS 20
#define EXCLUSIVE_AT_ONCE 6 /* LOCK_EX | LOCK_NB */
#define FAMILY_NETLINK 16
#define RAW 3

struct netlink_address {
	uint16_t family, padding;
	uint32_t port, groups; /* 0: the kernel */
};

/* The descriptor that holds the network's lock; -EAGAIN when another holds it, -ENOENT when the network is no more. */
long network_lock(struct keeper *k)
{
	long fd = sys(openat, k->dir_fd, "lock", O_RDONLY | O_CLOEXEC, 0), result;

	if (fd < 0)
		return fd;
	result = sys(flock, fd, EXCLUSIVE_AT_ONCE);
	if (result < 0) {
		sys(close, fd);
		return result;
	}
	return fd;
}

/* The kernel acts before this returns; what it says is not read, as there may be nothing left to undo. */
static void send_undo(const struct undo *undo)
{
	struct netlink_address kernel = { .family = FAMILY_NETLINK };
	long fd = sys(socket, FAMILY_NETLINK, RAW | O_CLOEXEC, undo->protocol);

	if (fd < 0)
		return;
	sys(sendto, fd, undo->message, undo->size, 0, &kernel, sizeof kernel);
	sys(close, fd);
}

int try_to_end(struct keeper *k)
{
	long lock = network_lock(k);

	if (lock == -EAGAIN) {
		k->retry_ms = now_ms() + LOCK_AGAIN_MS;
		return 0;
	}
	if (!names_is_empty(k)) {
		sys(close, lock);
		k->retry_ms = now_ms() + LOCK_AGAIN_MS;
		return 0;
	}
	for (uint32_t i = 0; i < k->config.undo_count; i++)
		send_undo(&k->config.undo[i]);
	/* In this order: who gets the network's lock finds that there is no keeper. */
	sys(close, LOCK_FD);
	sys(close, lock);
	return 1;
}
