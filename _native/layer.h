/* What the parts of layer work share: faults, the recipe, and the byte stream that tar is read from. */
#ifndef CK_LAYER_H
#define CK_LAYER_H

#include <sys/stat.h>

#include "ckit.h"

/* Records the first fault and returns -error, so that `return ck_fail(...)` ends a function. */
int ck_fail(struct ck_fault *fault, int kind, int error, const char *entry, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* The same for a system call that just failed: the error is errno. */
int ck_fail_errno(struct ck_fault *fault, const char *entry, const char *doing);

/* Writes everything or returns -errno. */
int ck_write_all(int fd, const void *data, size_t size);

/* A run of payload bytes in a file. */
struct ck_extent {
	uint64_t offset;
	uint64_t size;
};

/* Bytes of the plain tar as they come; what is read and not payload goes into the recipe. */
struct ck_recipe;
struct ck_stream {
	int (*more)(struct ck_stream *stream); /* fills at and left, left = 0 at the end; 0 or -errno */
	void *source;
	const unsigned char *at;
	size_t left;
	uint64_t total; /* bytes that came so far: what follows stands at total - left */
	struct ck_recipe *recipe;
	struct ck_fault *fault;
};

/* 1 at the end, 0 before it, -errno. */
int ck_stream_at_end(struct ck_stream *stream);
/* Exactly size bytes, kept in the recipe; out may be NULL to skip. */
int ck_stream_read(struct ck_stream *stream, void *out, uint64_t size);
/* Up to wanted bytes of payload, in place; valid until the next call. */
int ck_stream_payload(struct ck_stream *stream, uint64_t wanted, const unsigned char **data, size_t *size);

#endif
