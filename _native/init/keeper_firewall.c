/* Brings the network's rules back after somebody else has flushed the packet filter.
 *
 * The kernel tells of every deleted table.  The rules are messages that were made when the network was set up, and one
 * file of them for each endpoint beside its own: here they are only sent again. */
#include "keeper.h"

#include "listing.h"

#define FAMILY_NETLINK 16
#define RAW 3
#define NETFILTER 12
#define TELLS_OF_TABLES 64 /* 1 << (NFNLGRP_NFTABLES - 1) */
#define TABLE_DELETED 0x0a02 /* NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE */
#define BATCH_END 0x11 /* NFNL_MSG_BATCH_END */
#define TABLE_NAME 1 /* NFTA_TABLE_NAME */
#define MESSAGE_HEAD 16
#define ATTRIBUTE_HEAD 4
#define ALIGNED(size) (((size) + 3) & ~3U)
#define RESTORES_APART_MS 50
#define LOCK_AGAIN_MS 20
#define LEVEL_SOCKET 1
#define SEND_ROOM 32	/* SO_SNDBUFFORCE */
#define RECEIVE_ROOM 33 /* SO_RCVBUFFORCE */
#define DONT_WAIT 0x40
#define MAP_READABLE 1 /* PROT_READ */
#define MAP_OWN 2      /* MAP_PRIVATE */

struct netlink_address {
	uint16_t family, padding;
	uint32_t port, groups;
};

struct message_head {
	uint32_t size;
	uint16_t type, flags;
	uint32_t sequence, port;
	uint8_t family, version;
	uint16_t resource;
};

struct attribute {
	uint16_t size, type;
	char data[];
};

void firewall_watch(struct keeper *k)
{
	struct netlink_address here = { .family = FAMILY_NETLINK, .groups = TELLS_OF_TABLES };
	int buffer = 1 << 20;

	if (!k->config.table)
		return;
	k->firewall_fd = sys(socket, FAMILY_NETLINK, RAW | O_NONBLOCK | O_CLOEXEC, NETFILTER);
	if (k->firewall_fd < 0)
		return;
	sys(setsockopt, k->firewall_fd, LEVEL_SOCKET, RECEIVE_ROOM, &buffer, sizeof buffer);
	if (sys(bind, k->firewall_fd, &here, sizeof here) < 0)
		close_fd(&k->firewall_fd);
}

/* The names of all tables of a network begin alike, and no other's do. */
static int is_our_table(const struct keeper *k, const struct message_head *head)
{
	uint32_t at = sizeof *head;

	if (head->type != TABLE_DELETED)
		return 0;
	while (at + ATTRIBUTE_HEAD <= head->size) {
		const struct attribute *attribute = (const void *)((const char *)head + at);

		if (attribute->size < ATTRIBUTE_HEAD || attribute->size > head->size - at)
			return 0;
		if (attribute->type == TABLE_NAME && attribute->size > ATTRIBUTE_HEAD &&
		    ((const char *)attribute)[attribute->size - 1] == 0)
			return ck_starts(attribute->data, k->config.table);
		at += ALIGNED(attribute->size);
	}
	return 0;
}

static void plan_restore(struct keeper *k)
{
	int64_t earliest = k->restored_ms + RESTORES_APART_MS, now = now_ms();

	if (k->restore_ms == NEVER)
		k->restore_ms = now > earliest ? now : earliest;
}

static void take_messages(struct keeper *k, const char *data, uint32_t size)
{
	uint32_t at = 0;

	while (size - at >= sizeof(struct message_head)) {
		const struct message_head *head = (const void *)(data + at);

		if (head->size < sizeof *head || head->size > size - at)
			return;
		if (is_our_table(k, head))
			plan_restore(k);
		at += ALIGNED(head->size);
		if (at > size)
			return;
	}
}

void firewall_serve(struct keeper *k)
{
	for (;;) {
		long size = sys(recvfrom, k->firewall_fd, k->packet, sizeof k->packet, DONT_WAIT, NULL, NULL);

		if (size == -ENOBUFS)
			plan_restore(k); /* something was missed: perhaps just this */
		else if (size <= 0)
			return;
		else
			take_messages(k, (const char *)k->packet, size);
	}
}

/* Batches stand one behind the other; the kernel takes one at a time. */
static void send_batches(int fd, const char *data, uint32_t size)
{
	struct netlink_address kernel = { .family = FAMILY_NETLINK };
	uint32_t at = 0, begin = 0;

	while (size - at >= MESSAGE_HEAD) {
		const struct message_head *head = (const void *)(data + at);

		if (head->size < MESSAGE_HEAD || ALIGNED(head->size) > size - at)
			return;
		at += ALIGNED(head->size);
		if (head->type != BATCH_END)
			continue;
		/* What is still there is refused, each batch as a whole. */
		sys(sendto, fd, data + begin, at - begin, 0, &kernel, sizeof kernel);
		begin = at;
	}
}

static void send_file(struct keeper *k, int fd, const char *name)
{
	long file = sys(openat, k->tables[0].dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	int64_t size;
	long data;

	if (file < 0)
		return;
	size = sys(lseek, file, 0, 2 /* SEEK_END */);
	data = size > 0 ? sys(mmap, NULL, size, MAP_READABLE, MAP_OWN, file, 0) : -EINVAL;
	sys(close, file);
	if (data < 0 && data > -4096)
		return;
	send_batches(fd, (const char *)data, size);
	sys(munmap, data, size);
}

/* Makes the table of walls anew, as one that belongs to the socket: flushing leaves it alone, so that connections go
 * on, translated as they were.  A kernel before 6.9 refuses, and the table stays what it was. */
void firewall_own(struct keeper *k)
{
	if (!k->config.own_size)
		return;
	k->own_fd = sys(socket, FAMILY_NETLINK, RAW | O_CLOEXEC, NETFILTER);
	if (k->own_fd >= 0)
		send_batches(k->own_fd, k->config.own, k->config.own_size);
}

static int is_rules(const char *name)
{
	return ck_strlen(name) == OWNER_SIZE + 4 && ck_streq(name + OWNER_SIZE, ".nft");
}

static void restore_all(struct keeper *k, int fd)
{
	struct listing listing;
	struct listed *entry;
	int room = 8 << 20;

	sys(setsockopt, fd, LEVEL_SOCKET, SEND_ROOM, &room, sizeof room);
	send_batches(fd, k->config.restore, k->config.restore_size);
	sys(lseek, k->tables[0].dir_fd, 0, 0);
	listing_begin(&listing, k->tables[0].dir_fd);
	while ((entry = listing_next(&listing)))
		if (is_rules(entry->name))
			send_file(k, fd, entry->name);
}

/* Under the network's lock, so that no endpoint comes between. */
void firewall_restore(struct keeper *k)
{
	long lock = network_lock(k), fd;

	if (lock == -EAGAIN) {
		k->restore_ms = now_ms() + LOCK_AGAIN_MS;
		return;
	}
	k->restore_ms = NEVER;
	k->restored_ms = now_ms();
	fd = lock < 0 ? lock : sys(socket, FAMILY_NETLINK, RAW | O_CLOEXEC, NETFILTER);
	if (fd >= 0) {
		restore_all(k, fd);
		sys(close, fd);
	}
	if (lock >= 0)
		sys(close, lock);
}
