/* The headers of a tar archive: one entry at a time. */
#include "tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the fields of a header stand. */
enum {
	NAME = 0, NAME_SIZE = 100, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHECKSUM = 148,
	TYPE = 156, LINK = 157, MAGIC = 257, MAJOR = 329, MINOR = 337, PREFIX = 345, PREFIX_SIZE = 155,
	STAR_PREFIX_SIZE = 131, STAR_MAGIC = 508,
};

int tar_corrupt(struct tar_reader *reader, const char *what)
{
	return ck_fail(reader->fault, CK_FAULT_CORRUPT, EBADMSG, reader->entry.path, "%s", what);
}

int tar_open(struct tar_reader *reader, struct ck_stream *stream, const struct ck_limits *limits)
{
	memset(reader, 0, sizeof(*reader));
	reader->stream = stream;
	reader->fault = stream->fault;
	reader->limits = limits;
	reader->path = malloc(limits->path_size + 1);
	reader->link = malloc(limits->path_size + 1);
	reader->extended = malloc(limits->header_size + 1);
	if (!reader->path || !reader->link || !reader->extended)
		return ck_fail(reader->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the headers");
	return 0;
}

void tar_close(struct tar_reader *reader)
{
	free(reader->path);
	free(reader->link);
	free(reader->extended);
	free(reader->entry.xattrs);
	free(reader->entry.extents);
}

static int base256(const unsigned char *field, size_t size, int64_t *value)
{
	int negative = field[0] & 0x40;
	uint64_t result = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char byte = i ? field[i] : (field[i] & 0x7f) | (negative ? 0x80 : 0);
		uint64_t top = result >> 55; /* what the shift drops must be copies of the sign */

		if (top != (negative ? 0x1ff : 0))
			return -EOVERFLOW;
		result = result << 8 | byte;
	}
	*value = (int64_t)result;
	return 0;
}

/* Octal between spaces and NULs, or base 256 when the highest bit is set (GNU, star). */
static int parse_number(const unsigned char *field, size_t size, int64_t *value)
{
	size_t at = 0;
	uint64_t result = 0;

	if (field[0] & 0x80)
		return base256(field, size, value);
	while (at < size && (field[at] == ' ' || field[at] == 0))
		at++;
	for (; at < size && field[at] >= '0' && field[at] <= '7'; at++)
		result = result << 3 | (uint64_t)(field[at] - '0');
	for (; at < size; at++)
		if (field[at] != ' ' && field[at] != 0)
			return -EINVAL;
	*value = (int64_t)result;
	return 0;
}

int tar_number(struct tar_reader *reader, const unsigned char *field, size_t size, int64_t *value)
{
	int error = parse_number(field, size, value);

	if (!error)
		return 0;
	return tar_corrupt(reader, error == -EINVAL ? "a number in its header is not octal"
						    : "a number in its header is out of range");
}

/* Old writers summed signed characters: either sum is accepted. */
static int checksum_matches(const unsigned char *header)
{
	int64_t wanted = -1, plain = 0, with_sign = 0;

	for (int i = 0; i < TAR_BLOCK; i++) {
		unsigned char byte = i >= CHECKSUM && i < CHECKSUM + 8 ? ' ' : header[i];

		plain += byte;
		with_sign += (signed char)byte;
	}
	if (parse_number(header + CHECKSUM, 8, &wanted))
		return 0;
	return wanted == plain || wanted == with_sign;
}

/* 1 with a header, 0 at the end of the archive. */
static int read_header(struct tar_reader *reader, unsigned char *header)
{
	static const unsigned char zeros[TAR_BLOCK];
	int end = ck_stream_at_end(reader->stream);

	/* An archive may stop without its two blocks of zeros, as Go's and GNU's readers accept too. */
	if (end)
		return end < 0 ? end : 0;
	int error = ck_stream_read(reader->stream, header, TAR_BLOCK);

	if (error)
		return error;
	if (memcmp(header, zeros, TAR_BLOCK) == 0)
		return 0;
	if (!checksum_matches(header))
		return ck_fail(reader->fault, CK_FAULT_CORRUPT, EBADMSG, reader->entry.path,
			       "the header after this entry has a wrong checksum: not a tar archive, or damaged");
	return 1;
}

/* Padding and whatever follows the end marker belong to the diff id: read them all. */
static int drain(struct tar_reader *reader)
{
	for (;;) {
		int end = ck_stream_at_end(reader->stream);

		if (end)
			return end < 0 ? end : 0;
		int error = ck_stream_read(reader->stream, NULL, reader->stream->left);

		if (error)
			return error;
	}
}

/* Reads the data of an extended header; it stays where it is until the next entry. */
static int read_extended(struct tar_reader *reader, uint64_t size, char **text)
{
	uint64_t room = reader->limits->header_size - reader->extended_used;

	/* Each header counts with its block, so that a chain of empty ones ends as well. */
	if (size >= room || room - size <= TAR_BLOCK)
		return ck_fail(reader->fault, CK_FAULT_LIMIT, E2BIG, reader->entry.path,
			       "extended headers of more than %llu bytes follow this entry",
			       (unsigned long long)reader->limits->header_size);
	*text = reader->extended + reader->extended_used;
	reader->extended_used += size + TAR_BLOCK;
	int error = ck_stream_read(reader->stream, *text, size);

	(*text)[size] = 0;
	if (!error)
		error = ck_stream_read(reader->stream, NULL, -size % TAR_BLOCK);
	return error;
}

static int extended_header(struct tar_reader *reader, const unsigned char *header)
{
	int64_t size;
	char *text = NULL;

	if (tar_number(reader, header + SIZE, 12, &size))
		return -EBADMSG;
	if (size < 0)
		return tar_corrupt(reader, "an extended header has a negative size");
	int error = read_extended(reader, (uint64_t)size, &text);

	if (error)
		return error;
	switch (header[TYPE]) {
	case 'x':
	case 'X':
		return tar_apply_records(reader, text, (size_t)size);
	case 'g':
		return tar_check_global(reader, text, (size_t)size);
	case 'L':
		reader->over.long_path = text;
		return 0;
	case 'K':
		reader->over.long_link = text;
		return 0;
	default: /* 'V': the label of the volume */
		return 0;
	}
}

static int too_long(struct tar_reader *reader, const char *text)
{
	reader->entry.path = NULL;
	return ck_fail(reader->fault, CK_FAULT_LIMIT, ENAMETOOLONG, text, "its name is longer than %llu bytes",
		       (unsigned long long)reader->limits->path_size);
}

/* The name of a header: the prefix field counts in POSIX archives only; GNU keeps other things there. */
static int header_path(struct tar_reader *reader, const unsigned char *header)
{
	const char *prefix = (const char *)header + PREFIX, *name = (const char *)header + NAME;
	size_t room = memcmp(header + STAR_MAGIC, "tar", 4) == 0 ? STAR_PREFIX_SIZE : PREFIX_SIZE;
	size_t before = memcmp(header + MAGIC, "ustar", 6) == 0 ? strnlen(prefix, room) : 0;
	size_t size = strnlen(name, NAME_SIZE);

	if (before + 1 + size > reader->limits->path_size)
		return too_long(reader, "");
	memcpy(reader->path, prefix, before);
	if (before)
		reader->path[before++] = '/';
	memcpy(reader->path + before, name, size);
	reader->path[before + size] = 0;
	return 0;
}

static int take_text(struct tar_reader *reader, char *out, const char *text)
{
	if (strlen(text) > reader->limits->path_size)
		return too_long(reader, text);
	strcpy(out, text);
	return 0;
}

static int take_names(struct tar_reader *reader, const unsigned char *header)
{
	const struct tar_overrides *over = &reader->over;
	const char *path = over->has_sparse_name ? over->sparse_name : over->has_path ? over->path : over->long_path;
	const char *link = over->has_link ? over->link : over->long_link;
	int error = path ? take_text(reader, reader->path, path) : header_path(reader, header);

	if (error)
		return error;
	reader->entry.path = reader->path;
	reader->entry.link = reader->link;
	if (link)
		return take_text(reader, reader->link, link);
	memcpy(reader->link, header + LINK, NAME_SIZE);
	reader->link[NAME_SIZE] = 0;
	return 0;
}

static int take_numbers(struct tar_reader *reader, const unsigned char *header)
{
	const struct tar_overrides *over = &reader->over;
	struct tar_entry *entry = &reader->entry;
	int64_t mode, uid, gid, size, mtime, major = 0, minor = 0;
	int device = header[TYPE] == TAR_CHAR || header[TYPE] == TAR_BLOCK_DEVICE;

	if (tar_number(reader, header + MODE, 8, &mode) || tar_number(reader, header + UID, 8, &uid) ||
	    tar_number(reader, header + GID, 8, &gid) || tar_number(reader, header + SIZE, 12, &size) ||
	    tar_number(reader, header + MTIME, 12, &mtime))
		return -EBADMSG;
	if (device && (tar_number(reader, header + MAJOR, 8, &major) || tar_number(reader, header + MINOR, 8, &minor)))
		return -EBADMSG;
	uid = over->has_uid ? (int64_t)over->uid : uid;
	gid = over->has_gid ? (int64_t)over->gid : gid;
	size = over->has_size ? (int64_t)over->size : size;
	/* 4294967295 is -1 to chown(2): "leave as it is". */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return tar_corrupt(reader, "its owner is out of range");
	if (size < 0)
		return tar_corrupt(reader, "its size is negative");
	if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
		return tar_corrupt(reader, "its device number is out of range");
	entry->mode = (unsigned int)mode & 07777;
	entry->uid = (uint32_t)uid;
	entry->gid = (uint32_t)gid;
	entry->stored = entry->size = (uint64_t)size;
	entry->major = (uint32_t)major;
	entry->minor = (uint32_t)minor;
	entry->mtime = over->has_mtime ? over->mtime : (struct timespec){.tv_sec = mtime};
	return 0;
}

/* Links, directories and devices have no payload whatever their size says: all peers read them so. */
static int take_type(struct tar_reader *reader, unsigned char type)
{
	struct tar_entry *entry = &reader->entry;
	size_t length = strlen(entry->path);

	switch (type) {
	case 0:
	case '0':
	case '7': /* contiguous file */
	case 'S':
		/* Before POSIX a directory was a file whose name ends in a slash. */
		entry->type = length && entry->path[length - 1] == '/' && type != 'S' ? TAR_DIRECTORY : TAR_FILE;
		break;
	case '1' ... '6':
		entry->type = (enum tar_type)type;
		break;
	case 'D': /* GNU incremental: a directory with a listing as its data */
		entry->type = TAR_DIRECTORY;
		return 0;
	default:
		return ck_fail(reader->fault, CK_FAULT_CORRUPT, EBADMSG, entry->path, "its type %#x is unknown", type);
	}
	if (entry->type != TAR_FILE)
		entry->stored = 0;
	return 0;
}

static int take_sparse(struct tar_reader *reader, const unsigned char *header)
{
	struct tar_overrides *over = &reader->over;
	struct tar_entry *entry = &reader->entry;
	int error = 0;

	if (entry->type != TAR_FILE || (header[TYPE] != 'S' && !over->sparse))
		return 0;
	if (header[TYPE] == 'S') {
		error = tar_read_old_map(reader, header);
	} else {
		entry->size = over->has_sparse_size ? over->sparse_size : entry->size;
		if (over->sparse_major == 1)
			error = tar_read_data_map(reader);
	}
	return error ? error : tar_check_extents(reader);
}

static int finish_entry(struct tar_reader *reader, const unsigned char *header)
{
	int error = take_names(reader, header);

	if (!error)
		error = take_numbers(reader, header);
	if (!error)
		error = take_type(reader, header[TYPE]);
	if (error)
		return error;
	reader->padding = (unsigned int)(-reader->entry.stored % TAR_BLOCK);
	error = take_sparse(reader, header);
	reader->payload_left = reader->entry.stored;
	return error ? error : 1;
}

static int skip_rest(struct tar_reader *reader)
{
	int error = ck_stream_read(reader->stream, NULL, reader->payload_left);

	if (!error)
		error = ck_stream_read(reader->stream, NULL, reader->padding);
	reader->payload_left = reader->padding = 0;
	memset(&reader->over, 0, sizeof(reader->over));
	reader->extended_used = 0;
	reader->entry.xattr_count = reader->entry.extent_count = 0;
	return error;
}

int tar_next(struct tar_reader *reader)
{
	unsigned char header[TAR_BLOCK];
	int result = skip_rest(reader);

	while (!result) {
		result = read_header(reader, header);
		if (result < 0)
			return result;
		if (result == 0)
			return reader->extended_used ? tar_corrupt(reader, "an extended header has no entry") : drain(reader);
		if (!header[TYPE] || !strchr("xXgLKV", header[TYPE]))
			return finish_entry(reader, header);
		result = extended_header(reader, header);
	}
	return result;
}

int tar_payload(struct tar_reader *reader, const unsigned char **data, size_t *size)
{
	*size = 0;
	if (!reader->payload_left)
		return 0;
	int error = ck_stream_payload(reader->stream, reader->payload_left, data, size);

	if (!error)
		reader->payload_left -= *size;
	return error;
}
