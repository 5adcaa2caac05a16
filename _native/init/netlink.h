/* Netlink: messages put together in a buffer, sent at once, and their answers.
 *
 * Shared by the extension and ckit-init: no C library.  A buffer that is too small, and an answer that makes no
 * sense, end in an error, never in a read or write outside.
 *
 * Source: Linux, Documentation/userspace-api/netlink/intro.rst. */
#ifndef CKIT_NETLINK_H
#define CKIT_NETLINK_H

#include <linux/netlink.h>

#include "sys.h"

#define NETLINK_FAMILY 16     /* AF_NETLINK */
#define NETLINK_RAW 0x80003   /* SOCK_RAW | SOCK_CLOEXEC */
#define NETLINK_LEVEL 270     /* SOL_NETLINK */
#define NETLINK_NO_SIGNAL 0x4000
#define NETLINK_TRUNCATE 0x20 /* MSG_TRUNC: recv gives the length that the message really has */
#define NETLINK_EMSGSIZE 90
#define NETLINK_EPROTO 71
#define NETLINK_EINTR 4
#define NETLINK_RETRIES 8

#define NETLINK_PADDED(size) (((size) + 3U) & ~3U)

/* Messages in the making. */
struct netlink_buffer {
	char *data;
	unsigned int size, used;
	unsigned int message; /* where the last one begins */
	unsigned int count;   /* of messages that ask for an answer */
	unsigned int sequence;
	int full; /* something did not fit: nothing is sent */
};

static inline void netlink_copy(void *to, const void *from, unsigned int size)
{
	char *target = to;
	const char *source = from;

	while (size--)
		*target++ = *source++;
}

/* A sequence number that answers to an earlier talk over the same socket do not have. */
static inline unsigned int netlink_sequence(void)
{
	static unsigned int last;

	return __atomic_add_fetch(&last, 256, __ATOMIC_RELAXED);
}

static inline void netlink_begin(struct netlink_buffer *b, char *data, unsigned int size)
{
	*b = (struct netlink_buffer){ .data = data, .size = size, .sequence = netlink_sequence() };
}

/* Room for size bytes, zeroed and padded; NULL when there is none left. */
static inline void *netlink_room(struct netlink_buffer *b, unsigned int size)
{
	unsigned int padded = NETLINK_PADDED(size);
	char *at = b->data + b->used;

	if (b->full || size > b->size || padded > b->size - b->used) {
		b->full = 1;
		return NULL;
	}
	for (unsigned int i = 0; i < padded; i++)
		at[i] = 0;
	b->used += padded;
	return at;
}

static inline struct nlmsghdr *netlink_header(struct netlink_buffer *b)
{
	return (struct nlmsghdr *)(b->data + b->message);
}

/* The length in the header follows what is added; every add ends with this. */
static inline void netlink_grown(struct netlink_buffer *b)
{
	if (!b->full)
		netlink_header(b)->nlmsg_len = b->used - b->message;
}

/* Begin a message of a type whose family header is `header`. */
static inline void netlink_message(struct netlink_buffer *b, unsigned short type, unsigned short flags,
				   const void *header, unsigned int size)
{
	unsigned int start = b->used;
	struct nlmsghdr *message = netlink_room(b, sizeof *message);
	void *family = netlink_room(b, size);

	if (!family)
		return;
	b->message = start;
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = b->sequence + b->count;
	if (flags & (NLM_F_ACK | NLM_F_DUMP))
		b->count++;
	netlink_copy(family, header, size);
	netlink_grown(b);
}

static inline void netlink_put(struct netlink_buffer *b, unsigned short type, const void *value, unsigned int size)
{
	struct nlattr *attribute;

	if (size > 0xffff - sizeof *attribute) {
		b->full = 1;
		return;
	}
	attribute = netlink_room(b, sizeof *attribute + size);
	if (!attribute)
		return;
	attribute->nla_type = type;
	attribute->nla_len = sizeof *attribute + size;
	netlink_copy(attribute + 1, value, size);
	netlink_grown(b);
}

static inline void netlink_put_text(struct netlink_buffer *b, unsigned short type, const char *text)
{
	netlink_put(b, type, text, ck_strlen(text) + 1);
}

static inline void netlink_put_u8(struct netlink_buffer *b, unsigned short type, uint8_t value)
{
	netlink_put(b, type, &value, sizeof value);
}

static inline void netlink_put_u32(struct netlink_buffer *b, unsigned short type, uint32_t value)
{
	netlink_put(b, type, &value, sizeof value);
}

/* Begin an attribute that holds attributes; its place, for netlink_close_nest. */
static inline unsigned int netlink_nest(struct netlink_buffer *b, unsigned short type)
{
	unsigned int place = b->used;

	netlink_put(b, type, NULL, 0);
	return place;
}

static inline void netlink_close_nest(struct netlink_buffer *b, unsigned int place)
{
	unsigned int length = b->used - place;

	if (length > 0xffff)
		b->full = 1;
	if (!b->full)
		((struct nlattr *)(b->data + place))->nla_len = length;
}

/* The first attribute of a type among size bytes; NULL when there is none, or they make no sense. */
static inline const struct nlattr *netlink_find(const void *attributes, unsigned int size, unsigned short type)
{
	const char *at = attributes;

	while (size >= sizeof(struct nlattr)) {
		const struct nlattr *attribute = (const void *)at;
		unsigned int padded = NETLINK_PADDED(attribute->nla_len);

		if (attribute->nla_len < sizeof *attribute || attribute->nla_len > size)
			return NULL;
		if ((attribute->nla_type & NLA_TYPE_MASK) == type)
			return attribute;
		if (padded >= size)
			return NULL;
		at += padded;
		size -= padded;
	}
	return NULL;
}

static inline unsigned int netlink_length(const struct nlattr *attribute)
{
	return attribute->nla_len - sizeof *attribute;
}

static inline const void *netlink_value(const struct nlattr *attribute)
{
	return attribute + 1;
}

/* A number of four bytes, or `otherwise`. */
static inline uint32_t netlink_u32(const struct nlattr *attribute, uint32_t otherwise)
{
	uint32_t value;

	if (!attribute || netlink_length(attribute) != sizeof value)
		return otherwise;
	netlink_copy(&value, netlink_value(attribute), sizeof value);
	return value;
}

/* A socket of the caller's network namespace; a descriptor or -errno. */
static inline long netlink_open(int protocol)
{
	int on = 1;
	long fd = sys(socket, NETLINK_FAMILY, NETLINK_RAW, protocol);

	if (fd < 0)
		return fd;
	/* Answers without a copy of the question, and with the kernel's own words: both may be missing. */
	sys(setsockopt, fd, NETLINK_LEVEL, NETLINK_CAP_ACK, &on, sizeof on);
	sys(setsockopt, fd, NETLINK_LEVEL, NETLINK_EXT_ACK, &on, sizeof on);
	return fd;
}

static inline long netlink_send(int fd, const void *data, unsigned int size)
{
	struct sockaddr_nl kernel = { .nl_family = NETLINK_FAMILY };
	long sent;

	RETRY(sent, sys(sendto, fd, data, size, NETLINK_NO_SIGNAL, &kernel, sizeof kernel));
	if (sent < 0)
		return sent;
	return sent == size ? 0 : -NETLINK_EMSGSIZE;
}

/* One datagram of the kernel's (others may write to this socket as well); its length or -errno. */
static inline long netlink_receive(int fd, char *data, unsigned int size)
{
	struct sockaddr_nl sender;
	unsigned int length = sizeof sender;
	long n;

	do {
		length = sizeof sender;
		RETRY(n, sys(recvfrom, fd, data, size, NETLINK_TRUNCATE, &sender, &length));
	} while (n >= 0 && (length < sizeof sender || sender.nl_pid != 0));
	return n > (long)size ? -NETLINK_EMSGSIZE : n;
}

/* The message at *at within n bytes, and on to the next; NULL at the end, or when it makes no sense. */
static inline const struct nlmsghdr *netlink_next(const char *data, unsigned int n, unsigned int *at)
{
	const struct nlmsghdr *message = (const void *)(data + *at);

	if (*at > n || n - *at < sizeof *message || message->nlmsg_len < sizeof *message ||
	    message->nlmsg_len > n - *at)
		return NULL;
	*at += NETLINK_PADDED(message->nlmsg_len);
	return message;
}

/* What the kernel says of an error in its own words, if it does. */
static inline void netlink_words(const struct nlmsghdr *message, char *words, unsigned int size)
{
	const unsigned int head = sizeof *message + sizeof(struct nlmsgerr);
	const struct nlattr *text;

	if (!words || size == 0 || !(message->nlmsg_flags & NLM_F_ACK_TLVS) ||
	    !(message->nlmsg_flags & NLM_F_CAPPED) || message->nlmsg_len < head)
		return;
	text = netlink_find((const char *)message + head, message->nlmsg_len - head, NLMSGERR_ATTR_MSG);
	if (!text)
		return;
	if (size > netlink_length(text) + 1)
		size = netlink_length(text) + 1;
	netlink_copy(words, netlink_value(text), size - 1);
	words[size - 1] = 0;
}

/* Take the answers to all messages of a buffer; the first error of any, or 0. */
static inline long netlink_answers(int fd, unsigned int sequence, unsigned int count, char *words, unsigned int size)
{
	char data[4096] __attribute__((aligned(8)));
	long first = 0;
	unsigned int heard = 0;

	while (heard < count) {
		const struct nlmsghdr *message;
		unsigned int at = 0;
		long n = netlink_receive(fd, data, sizeof data);

		if (n < 0)
			return n;
		while ((message = netlink_next(data, n, &at))) {
			int error;

			if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq - sequence >= count)
				continue; /* the answer to something else */
			if (message->nlmsg_len < sizeof *message + sizeof error)
				return -NETLINK_EPROTO;
			netlink_copy(&error, message + 1, sizeof error);
			heard++;
			if (error < 0 && first == 0) {
				first = error;
				netlink_words(message, words, size);
			}
		}
	}
	return first;
}

/* Send what is in the buffer and take the answers.  All of its messages are carried out, also after one that fails:
 * the first error is returned, and *words (which may be NULL) has what the kernel says of it. */
static inline long netlink_talk(int fd, const struct netlink_buffer *b, char *words, unsigned int size)
{
	long result = b->full ? -NETLINK_EMSGSIZE : netlink_send(fd, b->data, b->used);

	return result < 0 ? result : netlink_answers(fd, b->sequence, b->count, words, size);
}

#endif
