/* Reading and comparing internet addresses.
 *
 * Source: RFC 4291, 2.2 (text form of IPv6 addresses; the form with an IPv4 tail is not read). */
#include "address.h"

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#define GROUPS 8

/* A decimal number of at most max; returns how many digits it has, or 0. */
static size_t read_number(const char *text, size_t size, uint32_t max, uint32_t *value)
{
	size_t digits = 0;

	*value = 0;
	while (digits < size && digits < 4 && text[digits] >= '0' && text[digits] <= '9')
		*value = *value * 10 + (text[digits++] - '0');
	return *value <= max ? digits : 0;
}

static int parse_ipv4(struct address *address, const char *text, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		uint32_t value;
		size_t digits;

		if (i && (at == size || text[at++] != '.'))
			return -1;
		digits = read_number(text + at, size - at, 255, &value);
		if (digits == 0)
			return -1;
		address->bytes[i] = value;
		at += digits;
	}
	address->family = 4;
	return at == size ? 0 : -1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One group of up to four hexadecimal digits; returns how many, or 0. */
static size_t read_group(const char *text, size_t size, uint8_t *bytes)
{
	uint32_t value = 0;
	size_t digits = 0;

	while (digits < size && hex_digit(text[digits]) >= 0) {
		if (digits == 4)
			return 0;
		value = value << 4 | hex_digit(text[digits++]);
	}
	bytes[0] = value >> 8;
	bytes[1] = value;
	return digits;
}

/* Groups before "::" stay where they are, those after it are moved to the end. */
static int parse_ipv6(struct address *address, const char *text, size_t size)
{
	size_t at = 0;
	int groups = 0, gap = -1;

	if (size >= 2 && text[0] == ':' && text[1] == ':') {
		gap = 0;
		at = 2;
	}
	while (at < size) {
		size_t digits = groups < GROUPS ? read_group(text + at, size - at, address->bytes + 2 * groups) : 0;

		if (digits == 0)
			return -1;
		at += digits;
		groups++;
		if (at == size)
			break;
		if (text[at++] != ':' || at == size)
			return -1;
		if (text[at] == ':') {
			if (gap >= 0)
				return -1;
			gap = groups;
			at++;
		}
	}
	if (gap < 0 ? groups != GROUPS : groups >= GROUPS)
		return -1;
	if (gap >= 0) {
		memmove(address->bytes + 16 - 2 * (groups - gap), address->bytes + 2 * gap, 2 * (groups - gap));
		memset(address->bytes + 2 * gap, 0, 2 * (GROUPS - groups));
	}
	address->family = 6;
	return 0;
}

int address_parse(struct address *address, const char *text, size_t size)
{
	*address = (struct address){ 0 };
	for (size_t i = 0; i < size; i++)
		if (text[i] == ':')
			return parse_ipv6(address, text, size);
	return parse_ipv4(address, text, size);
}

int subnet_parse(struct subnet *subnet, const char *text, size_t size)
{
	uint32_t bits;
	size_t slash = 0, digits;

	while (slash < size && text[slash] != '/')
		slash++;
	if (slash == size || address_parse(&subnet->address, text, slash) < 0)
		return -1;
	digits = read_number(text + slash + 1, size - slash - 1, subnet->address.family == 4 ? 32 : 128, &bits);
	subnet->prefix = bits;
	return digits && slash + 1 + digits == size ? 0 : -1;
}

int address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

int subnet_contains(const struct subnet *subnet, const struct address *address)
{
	uint8_t whole = subnet->prefix / 8, rest = subnet->prefix % 8;

	if (subnet->address.family != address->family)
		return 0;
	if (memcmp(subnet->address.bytes, address->bytes, whole) != 0)
		return 0;
	return rest == 0 || ((subnet->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}
