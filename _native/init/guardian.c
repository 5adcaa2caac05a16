/* The guardian: waits until its owner has ended, then clears away the containers that the owner had.
 *
 * What it guards is a list of entries in one piece of memory that grows: each a length and the fields that the owner
 * sent (container_kit/containers/guardian.py). */
#include "daemon.h"
#include "message.h"

#define MEMORY_RW 3   /* PROT_READ | PROT_WRITE */
#define MEMORY_OWN 34 /* MAP_PRIVATE | MAP_ANONYMOUS */
#define MAY_MOVE 1
#define LONGEST_MESSAGE (128 * 1024)

enum { SOCKET_FD = 3, OWNER_FD = 4 };

struct entries {
	char *data;
	uint64_t used, size;
};

struct entry {
	const char *id, *directory, *name_file;
	struct cgroups cgroups;
	const char *fields; /* all of them */
	uint64_t size;
	int pidfd; /* of its first process, where no cgroup could be made; else -1 */
};

static char *message;

static int take_text(const struct field *field, const char **text)
{
	if (field->size == 0 || field->data[field->size - 1] != 0)
		return -EINVAL;
	*text = field->data;
	return 0;
}

static int take_field(struct entry *entry, const struct field *field)
{
	switch (field->tag) {
	case FIELD_ID:
		return take_text(field, &entry->id);
	case FIELD_DIRECTORY:
		return take_text(field, &entry->directory);
	case FIELD_CGROUP2:
		return take_text(field, &entry->cgroups.v2);
	case FIELD_NAME_FILE:
		return take_text(field, &entry->name_file);
	case FIELD_PROCESS:
		if (field->size != sizeof entry->pidfd)
			return -EINVAL;
		memcpy(&entry->pidfd, field->data, sizeof entry->pidfd);
		return 0;
	case FIELD_CGROUP:
		if (entry->cgroups.v1_count == MAX_CGROUPS)
			return -E2BIG;
		return take_text(field, &entry->cgroups.v1[entry->cgroups.v1_count++]);
	case FIELD_UNDO_FILE:
	case FIELD_UNDO_MESSAGE:
		return 0; /* `undo` reads them */
	}
	return -EINVAL;
}

static int parse(struct entry *entry, const char *data, uint64_t size)
{
	const char *at = data;
	struct field field;
	int more;

	*entry = (struct entry){ .fields = data, .size = size, .pidfd = -1 };
	while ((more = next_field(&at, data + size, &field)) > 0)
		if (take_field(entry, &field) < 0)
			return -EINVAL;
	return more < 0 || !entry->id ? -EINVAL : 0;
}

static uint64_t size_at(const struct entries *entries, uint64_t offset)
{
	uint64_t size;

	memcpy(&size, entries->data + offset, sizeof size);
	return size;
}

static int make_room(struct entries *entries, uint64_t size)
{
	uint64_t wanted = entries->size ? entries->size : 4096;
	long data;

	while (entries->used + size > wanted)
		wanted *= 2;
	if (wanted == entries->size)
		return 0;
	if (entries->data)
		data = sys(mremap, entries->data, entries->size, wanted, MAY_MOVE);
	else
		data = sys(mmap, NULL, wanted, MEMORY_RW, MEMORY_OWN, -1, 0);
	if (data < 0 && data > -4096)
		return data;
	entries->data = (char *)data;
	entries->size = wanted;
	return 0;
}

static void add(struct entries *entries, const char *data, uint64_t size)
{
	uint64_t padded = (size + 7) & ~7ULL, whole = padded + sizeof padded;
	struct entry entry;

	if (parse(&entry, data, size) < 0 || make_room(entries, whole) < 0)
		return;
	memcpy(entries->data + entries->used, &whole, sizeof whole);
	memset(entries->data + entries->used + sizeof whole, 0, padded);
	memcpy(entries->data + entries->used + sizeof whole, data, size);
	entries->used += whole;
}

static int entry_at(const struct entries *entries, uint64_t offset, struct entry *entry)
{
	return parse(entry, entries->data + offset + 8, size_at(entries, offset) - 8);
}

static int forget(struct entries *entries, const char *id)
{
	struct entry entry;

	for (uint64_t at = 0; at < entries->used; at += size_at(entries, at)) {
		uint64_t size = size_at(entries, at);
		if (entry_at(entries, at, &entry) < 0 || !ck_streq(entry.id, id))
			continue;
		if (entry.pidfd >= 0)
			sys(close, entry.pidfd);
		memmove(entries->data + at, entries->data + at + size, entries->used - at - size);
		entries->used -= size;
		return 1;
	}
	return 0;
}

/* A process of a container, as an entry of its own: the number of the descriptor ends the message. */
static void add_process(struct entries *entries, uint64_t size, int pidfd)
{
	if (pidfd < 0)
		return;
	memcpy(message + size - sizeof(uint64_t), &pidfd, sizeof pidfd);
	add(entries, message + 8, size - 8);
}

static long receive(int *passed)
{
	struct ck_iovec iov = { message, LONGEST_MESSAGE - 1 };
	struct ck_rights rights = { 0 };
	struct ck_message header = { .iov = &iov, .iov_length = 1, .control = &rights, .control_length = sizeof rights };
	long size = sys(recvmsg, SOCKET_FD, &header, 0x40 | 0x40000000 /* MSG_DONTWAIT | MSG_CMSG_CLOEXEC */);

	*passed = size > 0 && header.control_length >= CK_RIGHTS_LENGTH ? rights.fd : -1;
	return size;
}

/* One message; 0 when the owner has closed the socket. */
static int take_message(struct entries *entries)
{
	int pidfd;
	long size = receive(&pidfd);

	if (size <= 0)
		return size == -EAGAIN || size == -EINTR;
	message[size] = 0;
	if (size < 8)
		return 1;
	if (message[0] == 'a')
		add(entries, message + 8, size - 8);
	else if (message[0] == 'p')
		add_process(entries, size, pidfd);
	else if (message[0] == 'r')
		/* What there was of its processes too. */
		while (forget(entries, message + 8))
			;
	return 1;
}

static void for_each(struct entries *entries, void (*action)(const struct entry *))
{
	struct entry entry;

	for (uint64_t at = 0; at < entries->used; at += size_at(entries, at))
		if (entry_at(entries, at, &entry) == 0)
			action(&entry);
}

static void kill_one(const struct entry *entry)
{
	if (entry->pidfd >= 0)
		sys(pidfd_send_signal, entry->pidfd, KILL_SIGNAL, NULL, 0);
	cgroups_kill(&entry->cgroups);
	cgroups_thaw(&entry->cgroups);
}

static void clear_one(const struct entry *entry)
{
	/* Once more: a process on its way into the cgroup may have come in since. */
	cgroups_kill(&entry->cgroups);
	undo(entry->fields, entry->size);
	cgroups_remove(&entry->cgroups);
	if (entry->name_file)
		sys(unlinkat, AT_HERE, entry->name_file, 0);
	if (entry->directory)
		remove_tree(entry->directory);
}

static void wait_for(struct pollfd *polls)
{
	polls[0].revents = polls[1].revents = 0;
	sys(ppoll, polls, 2, NULL, NULL, 0);
}

/* Guard until the owner has ended (1), or has let us go with nothing to guard (0). */
static int guard(struct entries *entries)
{
	struct pollfd polls[2] = { { SOCKET_FD, POLLIN, 0 }, { OWNER_FD, POLLIN, 0 } };

	for (;;) {
		wait_for(polls);
		/* The socket first: what the owner said last counts. */
		if (polls[0].revents && !take_message(entries))
			polls[0].fd = -1;
		else if (polls[0].revents)
			continue;
		if (polls[1].revents)
			return 1;
		/* A dying owner closes its socket before its end can be seen, so only an idle guardian leaves. */
		if (polls[0].fd < 0 && entries->used == 0)
			return 0;
	}
}

int guardian_main(int argc, char **argv)
{
	static char buffer[LONGEST_MESSAGE] __attribute__((aligned(8)));
	struct entries entries = { 0 };

	(void)argc, (void)argv;
	message = buffer;
	become_daemon("ckit-guardian");
	if (guard(&entries)) {
		for_each(&entries, kill_one); /* all at once, so that none waits for another's clean-up */
		for_each(&entries, clear_one);
	}
	return 0;
}
