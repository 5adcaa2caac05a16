/* Tar as read: one entry at a time, every number checked, every header counted against a budget.
 *
 * Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual,
 * "Basic Tar Format", "Storing Sparse Files"; libarchive tar(5) for the SCHILY and LIBARCHIVE records. */
#ifndef CK_TAR_H
#define CK_TAR_H

#include <time.h>

#include "layer.h"

enum { TAR_BLOCK = 512 };

enum tar_type {
	TAR_FILE = '0',
	TAR_HARDLINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHAR = '3',
	TAR_BLOCK_DEVICE = '4',
	TAR_DIRECTORY = '5',
	TAR_FIFO = '6',
};

struct tar_xattr {
	const char *name;
	const void *value;
	size_t size;
};

struct tar_entry {
	enum tar_type type;
	char *path; /* as written, not yet checked */
	char *link;
	uint64_t stored; /* payload bytes in the archive */
	uint64_t size;   /* bytes of the file */
	unsigned int mode;
	uint32_t uid, gid;
	uint32_t major, minor;
	struct timespec mtime;
	struct tar_xattr *xattrs;
	size_t xattr_count;
	struct ck_extent *extents; /* where the payload goes, ascending; NULL for a file without holes */
	size_t extent_count;
};

/* What pax records and GNU long names said about the next entry. */
struct tar_overrides {
	unsigned int has_path : 1, has_link : 1, has_size : 1, has_uid : 1, has_gid : 1, has_mtime : 1;
	unsigned int has_sparse_name : 1, has_sparse_size : 1, sparse : 1, sparse_in_data : 1;
	const char *path, *link, *sparse_name;
	const char *long_path, *long_link;
	uint64_t size, uid, gid, sparse_size;
	struct timespec mtime;
	uint64_t sparse_major, sparse_offset;
};

struct tar_reader {
	struct ck_stream *stream;
	struct ck_fault *fault;
	const struct ck_limits *limits;
	struct tar_entry entry;
	struct tar_overrides over;
	uint64_t payload_left;
	unsigned int padding;
	char *path, *link;       /* path_size + 1 bytes each */
	char *extended;          /* header_size bytes: records and long names of this entry */
	size_t extended_used;
	size_t xattr_capacity, extent_capacity;
};

int tar_open(struct tar_reader *reader, struct ck_stream *stream, const struct ck_limits *limits);
void tar_close(struct tar_reader *reader);
/* 1 with an entry, 0 at the end (everything after the end marker read), or -errno. */
int tar_next(struct tar_reader *reader);
/* The next payload bytes of the entry; *size = 0 when there are no more. */
int tar_payload(struct tar_reader *reader, const unsigned char **data, size_t *size);

/* Between the parts of the reader. */
int tar_corrupt(struct tar_reader *reader, const char *what);
int tar_number(struct tar_reader *reader, const unsigned char *field, size_t size, int64_t *value);
int tar_apply_records(struct tar_reader *reader, char *records, size_t size);
int tar_check_global(struct tar_reader *reader, char *records, size_t size);
int tar_add_xattr(struct tar_reader *reader, const char *name, const void *value, size_t size);
int tar_add_libarchive_xattr(struct tar_reader *reader, char *name, char *value, size_t size);
int tar_add_extent(struct tar_reader *reader, uint64_t offset, uint64_t size);
int tar_parse_map(struct tar_reader *reader, const char *text);
int tar_read_old_map(struct tar_reader *reader, const unsigned char *header);
int tar_read_data_map(struct tar_reader *reader);
int tar_check_extents(struct tar_reader *reader);
int tar_decimal(const char *text, uint64_t *value);

#endif
