/* The endpoints of a network and their names, as their files tell (container_kit/network/keeper.py names the keys). */
#include "dns.h"

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#define MEMORY_RW 3   /* PROT_READ | PROT_WRITE */
#define MEMORY_OWN 34 /* MAP_PRIVATE | MAP_ANONYMOUS */
#define MAY_MOVE 1
#define FIRST_ROOM 4096

int dns_is_name(const char *text, size_t size)
{
	size_t label = 0;

	if (size == 0 || size > DNS_NAME_MAX - 2)
		return 0;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '.' && label == 0)
			return 0;
		label = c == '.' ? 0 : label + 1;
		if (label > DNS_LABEL_MAX)
			return 0;
		if (c != '.' && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return 0;
	}
	return label > 0;
}

static int key_is(const char *line, size_t key, const char *name)
{
	return ck_strlen(name) == key && memcmp(line, name, key) == 0;
}

/* A text goes to the end of its list: the names stand first, what may be asked behind them. */
static void take_text(struct endpoint *endpoint, const char *text, size_t size, int is_name)
{
	size_t all = endpoint->names_size + endpoint->allowed_size;
	char *at = endpoint->texts + (is_name ? endpoint->names_size : all);

	if (!dns_is_name(text, size) || sizeof *endpoint + all + size + 1 > ENDPOINT_ROOM - 8)
		return;
	if (is_name)
		memmove(at + size + 1, at, endpoint->allowed_size);
	memcpy(at, text, size);
	at[size] = 0;
	if (is_name)
		endpoint->names_size += size + 1;
	else
		endpoint->allowed_size += size + 1;
}

static void take_line(struct endpoint *endpoint, const char *line, size_t size)
{
	struct subnet subnet;
	size_t key = 0, value;

	while (key < size && line[key] != ' ')
		key++;
	value = key < size ? key + 1 : key;
	size -= value;
	if (key_is(line, key, "ipv4") && subnet_parse(&subnet, line + value, size) == 0)
		endpoint->ipv4 = subnet.address;
	else if (key_is(line, key, "ipv6") && subnet_parse(&subnet, line + value, size) == 0)
		endpoint->ipv6 = subnet.address;
	else if (key_is(line, key, "name"))
		take_text(endpoint, line + value, size, 1);
	else if (key_is(line, key, "dns") && endpoint->server_count < MAX_SERVERS)
		endpoint->server_count +=
			address_parse(&endpoint->servers[endpoint->server_count], line + value, size) == 0;
	else if (key_is(line, key, "resolve")) {
		endpoint->limited = 1;
		take_text(endpoint, line + value, size, 0);
	}
}

/* Into ENDPOINT_ROOM bytes, 8-byte aligned.  A line that means nothing to us is somebody else's. */
void endpoint_parse(struct endpoint *endpoint, const char *owner, const char *text, size_t size)
{
	size_t at = 0;

	*endpoint = (struct endpoint){ 0 };
	memcpy(endpoint->owner, owner, OWNER_SIZE);
	while (at < size) {
		size_t end = at;

		while (end < size && text[end] != '\n')
			end++;
		take_line(endpoint, text + at, end - at);
		at = end + 1;
	}
	endpoint->size = (sizeof *endpoint + endpoint->names_size + endpoint->allowed_size + 7) & ~7UL;
}

static int has_text(const char *texts, size_t texts_size, const char *name, size_t size)
{
	size_t at = 0;

	while (at < texts_size) {
		size_t length = ck_strlen(texts + at);

		if (length == size && memcmp(texts + at, name, size) == 0)
			return 1;
		at += length + 1;
	}
	return 0;
}

int endpoint_has_name(const struct endpoint *endpoint, const char *name, size_t size)
{
	return has_text(endpoint->texts, endpoint->names_size, name, size);
}

int endpoint_may_ask(const struct endpoint *endpoint, const char *name, size_t size)
{
	return !endpoint->limited ||
	       has_text(endpoint->texts + endpoint->names_size, endpoint->allowed_size, name, size);
}

/* The one after the last, or the first for NULL; NULL at the end. */
const struct endpoint *endpoints_next(const struct endpoints *endpoints, const struct endpoint *last)
{
	uint64_t at = last ? (uint64_t)((const char *)last - endpoints->data) + last->size : 0;

	return at < endpoints->used ? (const void *)(endpoints->data + at) : NULL;
}

const struct endpoint *endpoints_of(const struct endpoints *endpoints, const char *owner)
{
	const struct endpoint *found = NULL;

	while ((found = endpoints_next(endpoints, found)))
		if (memcmp(found->owner, owner, OWNER_SIZE) == 0)
			break;
	return found;
}

const struct endpoint *endpoints_at(const struct endpoints *endpoints, const struct address *address)
{
	const struct endpoint *found = NULL;

	if (address->family == 0)
		return NULL;
	while ((found = endpoints_next(endpoints, found)))
		if (address_equal(&found->ipv4, address) || address_equal(&found->ipv6, address))
			break;
	return found;
}

static long make_room(struct endpoints *endpoints, uint64_t size)
{
	uint64_t wanted = endpoints->room ? endpoints->room : FIRST_ROOM;
	long data;

	while (endpoints->used + size > wanted)
		wanted *= 2;
	if (wanted == endpoints->room)
		return 0;
	if (endpoints->room)
		data = sys(mremap, endpoints->data, endpoints->room, wanted, MAY_MOVE);
	else
		data = sys(mmap, NULL, wanted, MEMORY_RW, MEMORY_OWN, -1, 0);
	if (data < 0 && data > -4096)
		return data;
	endpoints->data = (char *)data;
	endpoints->room = wanted;
	return 0;
}

long endpoints_put(struct endpoints *endpoints, const struct endpoint *endpoint)
{
	long error;

	endpoints_forget(endpoints, endpoint->owner);
	error = make_room(endpoints, endpoint->size);
	if (error < 0)
		return error;
	memcpy(endpoints->data + endpoints->used, endpoint, endpoint->size);
	endpoints->used += endpoint->size;
	endpoints->count++;
	return 0;
}

void endpoints_forget(struct endpoints *endpoints, const char *owner)
{
	const struct endpoint *found = endpoints_of(endpoints, owner);
	uint64_t at, after;

	if (!found)
		return;
	at = (const char *)found - endpoints->data;
	after = at + found->size;
	memmove(endpoints->data + at, endpoints->data + after, endpoints->used - after);
	endpoints->used -= after - at;
	endpoints->count--;
}

void endpoints_clear(struct endpoints *endpoints)
{
	if (endpoints->room)
		sys(munmap, endpoints->data, endpoints->room);
	*endpoints = (struct endpoints){ 0 };
}
