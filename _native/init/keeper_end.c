/* The end of a network in the kernel: under the network's lock, and only when nobody has joined meanwhile. */
#include "keeper.h"

#define LOCK_AGAIN_MS 20
#define EXCLUSIVE_AT_ONCE 6 /* LOCK_EX | LOCK_NB */

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
	/* First, since another network may have the gateway's address as soon as the bridge is gone. */
	for (int i = 0; i < MAX_LISTENS; i++) {
		sys(close, k->udp[i]);
		sys(close, k->tcp[i]);
	}
	close_fd(&k->own_fd); /* what is nobody's can be deleted */
	undo(k->config.data, k->config.size);
	/* In this order: who gets the network's lock finds that there is no keeper. */
	sys(close, LOCK_FD);
	sys(close, lock);
	return 1;
}
