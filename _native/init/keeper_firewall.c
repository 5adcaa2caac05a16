/* Brings the network's rules back after somebody else has flushed the packet filter.
 *
 * The kernel tells of every deleted table; the rules are loaded by the host's nft from the texts that lie in the
 * network's directory: rules.nft, and one file for each endpoint. */
#include "keeper.h"

#include "listing.h"
#pragma GCC diagnostic ignored "-Wunused-function" /* spawn.h starts containers as well */
#include "spawn.h"

#define FAMILY_NETLINK 16
#define RAW 3
#define NETFILTER 12
#define TELLS_OF_TABLES 64 /* 1 << (NFNLGRP_NFTABLES - 1) */
#define TABLE_DELETED 0x0a02 /* NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE */
#define INET 1
#define TABLE_NAME 1 /* NFTA_TABLE_NAME */
#define MESSAGE_HEAD 16
#define NETFILTER_HEAD 4
#define ATTRIBUTE_HEAD 4
#define ALIGNED(size) (((size) + 3) & ~3U)
#define RESTORES_APART_MS 200

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

	if (!k->config.nft || !k->config.table)
		return;
	k->firewall_fd = sys(socket, FAMILY_NETLINK, RAW | O_NONBLOCK | O_CLOEXEC, NETFILTER);
	if (k->firewall_fd < 0)
		return;
	sys(setsockopt, k->firewall_fd, 1 /* SOL_SOCKET */, 33 /* SO_RCVBUFFORCE */, &buffer, sizeof buffer);
	if (sys(bind, k->firewall_fd, &here, sizeof here) < 0)
		close_fd(&k->firewall_fd);
}

static int is_our_table(const struct keeper *k, const struct message_head *head)
{
	uint32_t at = sizeof *head;

	if (head->type != TABLE_DELETED || head->family != INET)
		return 0;
	while (at + ATTRIBUTE_HEAD <= head->size) {
		const struct attribute *attribute = (const void *)((const char *)head + at);

		if (attribute->size < ATTRIBUTE_HEAD || attribute->size > head->size - at)
			return 0;
		if (attribute->type == TABLE_NAME && attribute->size > ATTRIBUTE_HEAD &&
		    ((const char *)attribute)[attribute->size - 1] == 0)
			return ck_streq(attribute->data, k->config.table);
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
		long size = sys(recvfrom, k->firewall_fd, k->packet, sizeof k->packet, SPAWN_DONT_WAIT, NULL, NULL);

		if (size == -ENOBUFS)
			plan_restore(k); /* something was missed: perhaps just this */
		else if (size <= 0)
			return;
		else
			take_messages(k, (const char *)k->packet, size);
	}
}

static void append_file(struct keeper *k, int to_fd, const char *path)
{
	long fd = sys(openat, k->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0), size;

	if (fd < 0)
		return;
	while ((size = sys(read, fd, k->packet, sizeof k->packet)) > 0)
		sys(write, to_fd, k->packet, size);
	sys(write, to_fd, "\n", 1);
	sys(close, fd);
}

static int is_rules(const char *name)
{
	size_t size = ck_strlen(name);

	return size == OWNER_SIZE + 4 && ck_streq(name + OWNER_SIZE, ".nft");
}

/* One text, so that it becomes one transaction. */
static long collect_rules(struct keeper *k)
{
	long fd = sys(memfd_create, "rules", 1 /* MFD_CLOEXEC */);
	struct listing listing;
	struct listed *entry;
	char path[OWNER_SIZE + 32];

	if (fd < 0)
		return fd;
	append_file(k, fd, "rules.nft");
	sys(lseek, k->tables[0].dir_fd, 0, 0);
	listing_begin(&listing, k->tables[0].dir_fd);
	while ((entry = listing_next(&listing))) {
		if (!is_rules(entry->name))
			continue;
		ck_append(ck_append(path, path + sizeof path, "endpoints/"), path + sizeof path, entry->name);
		append_file(k, fd, path);
	}
	sys(lseek, fd, 0, 0);
	return fd;
}

static void run_nft(struct keeper *k, int rules_fd)
{
	const char *argv[] = { k->config.nft, "-f", "-", NULL };
	int fds[3] = { rules_fd, 1, 2 };
	struct spawn s = { .argv = argv, .fds = fds, .fd_count = 3, .cgroup_fd = -1 };

	s.init_fd = sys(openat, AT_HERE, k->config.nft, O_RDONLY | O_CLOEXEC, 0);
	if (s.init_fd >= 0 && spawn(&s) == 0)
		k->restore_pidfd = s.pidfd;
	close_fd(&s.init_fd);
}

/* Under the network's lock, so that no endpoint comes between the reading and the loading. */
void firewall_restore(struct keeper *k)
{
	long lock = network_lock(k), rules;

	if (lock == -EAGAIN) {
		k->restore_ms = now_ms() + 20;
		return;
	}
	k->restore_ms = NEVER;
	k->restored_ms = now_ms();
	rules = lock < 0 ? lock : collect_rules(k);
	if (rules >= 0)
		run_nft(k, rules);
	k->restore_lock_fd = lock < 0 ? -1 : lock;
	if (rules >= 0)
		sys(close, rules);
	if (k->restore_pidfd < 0)
		close_fd(&k->restore_lock_fd);
}

void firewall_reap(struct keeper *k)
{
	char info[128];

	spawn_reap(k->restore_pidfd, info);
	close_fd(&k->restore_pidfd);
	close_fd(&k->restore_lock_fd);
}
