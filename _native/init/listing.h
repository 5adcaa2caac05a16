/* The entries of a directory, one after the other, without a C library. */
#ifndef CKIT_LISTING_H
#define CKIT_LISTING_H

#include "sys.h"

#define LISTED_DIRECTORY 4 /* DT_DIR */
#define LISTED_UNKNOWN 0

/* The kernel's linux_dirent64. */
struct listed {
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

struct listing {
	int fd;
	long have, at;
	char data[2048] __attribute__((aligned(8)));
};

static inline void listing_begin(struct listing *listing, int fd)
{
	listing->fd = fd;
	listing->have = listing->at = 0;
}

/* The next entry but "." and "..", or NULL at the end. */
static inline struct listed *listing_next(struct listing *listing)
{
	for (;;) {
		struct listed *entry = (void *)(listing->data + listing->at);
		if (listing->at >= listing->have) {
			listing->have = sys(getdents64, listing->fd, listing->data, sizeof listing->data);
			listing->at = 0;
			if (listing->have <= 0)
				return NULL;
			continue;
		}
		listing->at += entry->size;
		if (!ck_streq(entry->name, ".") && !ck_streq(entry->name, ".."))
			return entry;
	}
}

#endif
