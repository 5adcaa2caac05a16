/* Taking back what a container has in the network: netlink messages that were made ready when it was set up, and the
 * files by which it holds its addresses.
 *
 * Whoever is left when the others have been killed can do this, without knowing what any of it means. */
#include "daemon.h"

#define NETLINK 16	/* AF_NETLINK */
#define RAW_SOCKET (3 | O_CLOEXEC)

struct netlink_address {
	unsigned short family, padding;
	uint32_t port, groups; /* 0: the kernel */
};

/* The kernel acts on a message before sendto returns.  What it says is not read: there may be nothing left to undo. */
void netlink_tell(uint32_t protocol, const char *message, uint32_t size)
{
	struct netlink_address kernel = { NETLINK, 0, 0, 0 };
	long fd = sys(socket, NETLINK, RAW_SOCKET, protocol);

	if (fd < 0)
		return;
	sys(sendto, fd, message, size, 0, &kernel, sizeof kernel);
	sys(close, fd);
}

static void undo_message(const struct field *field)
{
	uint32_t protocol;

	if (field->size < UNDO_MESSAGE_HEAD)
		return;
	memcpy(&protocol, field->data, sizeof protocol);
	netlink_tell(protocol, field->data + UNDO_MESSAGE_HEAD, field->size - UNDO_MESSAGE_HEAD);
}

static void undo_all(const char *data, uint64_t size, uint32_t tag)
{
	const char *at = data;
	struct field field;

	while (next_field(&at, data + size, &field) > 0)
		if (field.tag == tag && tag == FIELD_UNDO_MESSAGE)
			undo_message(&field);
		else if (field.tag == tag && field.size > 0 && field.data[field.size - 1] == 0)
			sys(unlinkat, AT_HERE, field.data, 0);
}

/* The files last: another container may have the addresses as soon as they are gone. */
void undo(const char *fields, uint64_t size)
{
	undo_all(fields, size, FIELD_UNDO_MESSAGE);
	undo_all(fields, size, FIELD_UNDO_FILE);
}
