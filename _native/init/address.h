/* Internet addresses as text and as bytes. */
#ifndef CKIT_ADDRESS_H
#define CKIT_ADDRESS_H

#include "sys.h"

struct address {
	uint8_t family;	   /* 4, 6, or 0: none */
	uint8_t bytes[16]; /* in the network's order; IPv4 has the first four */
	uint32_t scope;	   /* number of the interface of a link-local address, or 0 */
};

struct subnet {
	struct address address;
	uint8_t prefix; /* leading bits */
};

/* address.c; each returns 0 or -1 for text that is none. */
int address_parse(struct address *address, const char *text, size_t size);
int subnet_parse(struct subnet *subnet, const char *text, size_t size); /* ADDRESS/BITS */
int address_equal(const struct address *a, const struct address *b);
int subnet_contains(const struct subnet *subnet, const struct address *address);

#endif
