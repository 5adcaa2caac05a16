/* DNS messages: reading a question, writing an answer.  Every byte of a question may be hostile. */
#include "dns.h"

void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#define FLAG_ANSWER 0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AUTHORITY 0x0400
#define FLAG_CUT 0x0200
#define FLAG_RECURSION_WANTED 0x0100
#define FLAG_RECURSION 0x0080
#define LABEL_KIND 0xc0
#define POINTER 0xc0
#define OPT_SIZE 11
#define RECORD_HEAD 12 /* a pointer to the name, type, class, time to live, size */

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
	return at + 2;
}

static char to_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* One label of the question's name, appended to the text. */
static int take_label(struct dns_query *query, const uint8_t *label, size_t size)
{
	size_t at = query->name_size;

	if (at + size + 1 > DNS_NAME_MAX - 1)
		return -1;
	if (at)
		query->name[at++] = '.';
	for (size_t i = 0; i < size; i++) {
		query->name[at] = to_lower(label[i]);
		if (!is_plain(query->name[at++]))
			query->plain = 0;
	}
	query->name_size = at;
	return 0;
}

/* The offset behind the question's name, or -1.  Nothing stands before it that a pointer could mean. */
static long read_name(struct dns_query *query, const uint8_t *message, size_t size)
{
	size_t at = DNS_HEADER;

	query->plain = 1;
	while (at < size && message[at]) {
		size_t label = message[at];

		if (label > DNS_LABEL_MAX || label >= size - at || take_label(query, message + at + 1, label) < 0)
			return -1;
		at += 1 + label;
	}
	query->name[query->name_size] = 0;
	return at < size ? (long)at + 1 : -1;
}

/* The offset behind any name, which may end with a pointer; or -1. */
static long skip_name(const uint8_t *message, size_t size, size_t at)
{
	while (at < size && message[at]) {
		if ((message[at] & LABEL_KIND) == POINTER)
			return at + 2 <= size ? (long)at + 2 : -1;
		if (message[at] & LABEL_KIND)
			return -1;
		at += 1 + message[at];
	}
	return at < size ? (long)at + 1 : -1;
}

static int take_edns(struct dns_query *query, const uint8_t *head)
{
	if (query->has_edns)
		return -1;
	query->has_edns = 1;
	query->payload = get16(head + 2);
	query->edns_version = head[5];
	if (query->payload < DNS_UDP_SMALL)
		query->payload = DNS_UDP_SMALL;
	return 0;
}

/* The records behind the question: only OPT means something to us. */
static int read_additional(struct dns_query *query, const uint8_t *message, size_t size, uint16_t count)
{
	size_t at = query->question_end;

	while (count--) {
		long head = skip_name(message, size, at);
		int is_root = head == (long)at + 1;

		if (head < 0 || size - head < 10 || get16(message + head + 8) > size - head - 10)
			return -1;
		if (get16(message + head) == DNS_OPT && (!is_root || take_edns(query, message + head) < 0))
			return -1;
		at = head + 10 + get16(message + head + 8);
	}
	return 0;
}

static int check_question(const struct dns_query *query)
{
	if (query->edns_version > 0)
		return DNS_BADVERS;
	if (query->class != DNS_CLASS_IN || query->type == DNS_AXFR || query->type == DNS_IXFR)
		return DNS_REFUSED;
	return DNS_NOERROR;
}

int dns_parse(struct dns_query *query, const uint8_t *message, size_t size)
{
	long end;

	*query = (struct dns_query){ .payload = DNS_UDP_SMALL };
	if (size < DNS_HEADER || get16(message + 2) & FLAG_ANSWER)
		return -1;
	query->id = get16(message);
	query->flags = get16(message + 2);
	if (query->flags & FLAG_OPCODE)
		return DNS_NOTIMP;
	if (get16(message + 4) != 1 || get16(message + 6) || get16(message + 8))
		return DNS_FORMERR;
	end = read_name(query, message, size);
	if (end < 0 || size - end < 4)
		return DNS_FORMERR;
	query->type = get16(message + end);
	query->class = get16(message + end + 2);
	query->question_end = end + 4;
	if (read_additional(query, message, size, get16(message + 10)) < 0)
		return DNS_FORMERR;
	return check_question(query);
}

/* The caller gives data and limit, at least DNS_UDP_SMALL bytes, so that header, question and OPT have room. */
void dns_reply_begin(struct dns_reply *reply, const struct dns_query *query, const uint8_t *message)
{
	reply->size = query->question_end ? query->question_end : DNS_HEADER;
	reply->records = reply->cut = 0;
	memcpy(reply->data, message, reply->size);
	if (query->has_edns)
		reply->limit -= OPT_SIZE;
}

static uint8_t *begin_record(struct dns_reply *reply, uint16_t type, size_t size)
{
	uint8_t *at = reply->data + reply->size;

	if (reply->limit - reply->size < RECORD_HEAD + size) {
		reply->cut = 1;
		return NULL;
	}
	at = put16(at, POINTER << 8 | DNS_HEADER);
	at = put16(at, type);
	at = put16(at, DNS_CLASS_IN);
	/* Kept by nobody: the address may be another container's in a moment. */
	at = put16(put16(at, 0), 0);
	reply->size += RECORD_HEAD + size;
	reply->records++;
	return put16(at, size);
}

void dns_reply_record(struct dns_reply *reply, uint16_t type, const uint8_t *data, size_t size)
{
	uint8_t *at = begin_record(reply, type, size);

	if (at)
		memcpy(at, data, size);
}

/* Text as labels; the caller has seen that every label has 1 to 63 bytes.  Returns the end. */
static uint8_t *put_labels(uint8_t *at, const char *text, size_t size)
{
	size_t start = 0;

	while (start < size) {
		size_t end = start;

		while (end < size && text[end] != '.')
			end++;
		*at++ = end - start;
		memcpy(at, text + start, end - start);
		at += end - start;
		start = end + 1;
	}
	return at;
}

void dns_reply_name(struct dns_reply *reply, const char *name, size_t size, const char *domain)
{
	size_t domain_size = ck_strlen(domain);
	size_t whole = size + 1 + (domain_size ? domain_size + 1 : 0) + 1; /* with the size of each first label */
	uint8_t *at = whole <= DNS_NAME_MAX ? begin_record(reply, DNS_PTR, whole) : NULL;

	if (!at)
		return;
	at = put_labels(at, name, size);
	at = put_labels(at, domain, domain_size);
	*at = 0;
}

static void put_edns(struct dns_reply *reply, int code)
{
	uint8_t *at = reply->data + reply->size;

	*at++ = 0;
	at = put16(at, DNS_OPT);
	at = put16(at, DNS_UDP_LARGE);
	at = put16(at, code >> 4 << 8); /* the upper bits of the code, version 0 */
	at = put16(put16(at, 0), 0);
	reply->size += OPT_SIZE;
}

void dns_reply_end(struct dns_reply *reply, const struct dns_query *query, int code)
{
	uint16_t flags = FLAG_ANSWER | FLAG_RECURSION | (code & 15);

	flags |= query->flags & (FLAG_OPCODE | FLAG_RECURSION_WANTED);
	if (code == DNS_NOERROR || code == DNS_NXDOMAIN)
		flags |= FLAG_AUTHORITY;
	if (reply->cut)
		flags |= FLAG_CUT;
	put16(reply->data + 2, flags);
	put16(reply->data + 4, query->question_end ? 1 : 0);
	put16(reply->data + 6, reply->records);
	put16(reply->data + 8, 0);
	put16(reply->data + 10, query->has_edns);
	if (query->has_edns)
		put_edns(reply, code);
}

/* Servers may change the case of letters in the question that they repeat. */
int dns_answers(const uint8_t *answer, size_t size, const uint8_t *question, size_t question_end)
{
	if (size < question_end || !(answer[2] & FLAG_ANSWER >> 8) || memcmp(answer, question, 2) != 0)
		return 0;
	if (get16(answer + 4) != 1)
		return 0;
	for (size_t i = DNS_HEADER; i < question_end; i++)
		if (to_lower(answer[i]) != to_lower(question[i]))
			return 0;
	return 1;
}

static int ends_with(const struct dns_query *query, const char *suffix, size_t size)
{
	return query->name_size > size && memcmp(query->name + query->name_size - size, suffix, size) == 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 digits with dots between them, the last digit of the address first. */
static int reverse_ipv6(const char *text, size_t size, struct address *address)
{
	if (size != 63)
		return -1;
	for (int i = 0; i < 32; i++) {
		int value = nibble(text[2 * i]), position = 31 - i;

		if (value < 0 || (i < 31 && text[2 * i + 1] != '.'))
			return -1;
		address->bytes[position / 2] |= value << (position % 2 ? 0 : 4);
	}
	address->family = 6;
	return 0;
}

static int reverse_ipv4(const char *text, size_t size, struct address *address)
{
	struct address mirrored;

	if (address_parse(&mirrored, text, size) < 0 || mirrored.family != 4)
		return -1;
	address->family = 4;
	for (int i = 0; i < 4; i++)
		address->bytes[i] = mirrored.bytes[3 - i];
	return 0;
}

int dns_reverse_address(const struct dns_query *query, struct address *address)
{
	static const char ipv4[] = ".in-addr.arpa", ipv6[] = ".ip6.arpa";

	*address = (struct address){ 0 };
	if (!query->plain)
		return -1;
	if (ends_with(query, ipv4, sizeof ipv4 - 1))
		return reverse_ipv4(query->name, query->name_size - (sizeof ipv4 - 1), address);
	if (ends_with(query, ipv6, sizeof ipv6 - 1))
		return reverse_ipv6(query->name, query->name_size - (sizeof ipv6 - 1), address);
	return -1;
}
