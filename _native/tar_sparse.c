/* Files with holes: the four ways in which GNU tar writes where the data goes. */
#include "tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OLD_MAP = 386, OLD_IN_HEADER = 4, OLD_MORE = 482, OLD_SIZE = 483, OLD_IN_BLOCK = 21, OLD_BLOCK_MORE = 504 };

int tar_add_extent(struct tar_reader *reader, uint64_t offset, uint64_t size)
{
	struct tar_entry *entry = &reader->entry;

	if (entry->extent_count >= reader->limits->extents)
		return ck_fail(reader->fault, CK_FAULT_LIMIT, E2BIG, entry->path, "a sparse file has more than %llu regions",
			       (unsigned long long)reader->limits->extents);
	if (entry->extent_count == reader->extent_capacity) {
		size_t capacity = reader->extent_capacity * 2 + 32;
		struct ck_extent *grown = realloc(entry->extents, capacity * sizeof(*grown));

		if (!grown)
			return ck_fail(reader->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for a sparse map");
		entry->extents = grown;
		reader->extent_capacity = capacity;
	}
	entry->extents[entry->extent_count++] = (struct ck_extent){offset, size};
	return 0;
}

/* Version 0.1: "offset,size,offset,size". */
int tar_parse_map(struct tar_reader *reader, const char *text)
{
	reader->entry.extent_count = 0;
	while (*text) {
		uint64_t numbers[2];

		for (int i = 0; i < 2; i++) {
			char digits[24];
			size_t size = strcspn(text, ",");

			if (size >= sizeof(digits))
				return tar_corrupt(reader, "a sparse map is malformed");
			memcpy(digits, text, size);
			digits[size] = 0;
			if (tar_decimal(digits, &numbers[i]))
				return tar_corrupt(reader, "a sparse map is malformed");
			text += size + (text[size] == ',');
		}
		int error = tar_add_extent(reader, numbers[0], numbers[1]);

		if (error)
			return error;
	}
	return 0;
}

static int old_extents(struct tar_reader *reader, const unsigned char *fields, int count)
{
	for (int i = 0; i < count; i++, fields += 24) {
		int64_t offset, size;

		if (!fields[0] || !fields[12])
			return 0;
		if (tar_number(reader, fields, 12, &offset) || tar_number(reader, fields + 12, 12, &size))
			return -EBADMSG;
		if (offset < 0 || size < 0)
			return tar_corrupt(reader, "its sparse map has a negative number");
		int error = tar_add_extent(reader, (uint64_t)offset, (uint64_t)size);

		if (error)
			return error;
	}
	return 0;
}

/* The old GNU format: four regions in the header, the others in blocks that follow it. */
int tar_read_old_map(struct tar_reader *reader, const unsigned char *header)
{
	unsigned char block[TAR_BLOCK];
	int64_t size;
	int more = header[OLD_MORE];
	int error = old_extents(reader, header + OLD_MAP, OLD_IN_HEADER);

	if (!error)
		error = tar_number(reader, header + OLD_SIZE, 12, &size);
	if (!error && size < 0)
		error = tar_corrupt(reader, "its size is negative");
	while (!error && more) {
		error = ck_stream_read(reader->stream, block, TAR_BLOCK);
		if (!error)
			error = old_extents(reader, block, OLD_IN_BLOCK);
		more = block[OLD_BLOCK_MORE];
		/* Blocks without regions never end either. */
		if (!error && more && !block[0])
			error = tar_corrupt(reader, "its sparse map has an empty block");
	}
	if (!error)
		reader->entry.size = (uint64_t)size;
	return error;
}

/* One decimal number and its newline from the start of the data. */
static int data_number(struct tar_reader *reader, uint64_t *used, uint64_t *number)
{
	char digits[24];

	for (size_t i = 0; i < sizeof(digits); i++) {
		if (*used >= reader->entry.stored)
			return tar_corrupt(reader, "its sparse map is longer than its data");
		int error = ck_stream_read(reader->stream, digits + i, 1);

		if (error)
			return error;
		++*used;
		if (digits[i] == '\n') {
			digits[i] = 0;
			return tar_decimal(digits, number) ? tar_corrupt(reader, "its sparse map is malformed") : 0;
		}
	}
	return tar_corrupt(reader, "its sparse map is malformed");
}

/* Version 1.0: the map stands before the data, padded to a block. */
int tar_read_data_map(struct tar_reader *reader)
{
	uint64_t used = 0, count = 0;
	int error = data_number(reader, &used, &count);

	reader->entry.extent_count = 0;
	for (uint64_t i = 0; i < count && !error; i++) {
		uint64_t offset = 0, size = 0;

		error = data_number(reader, &used, &offset);
		if (!error)
			error = data_number(reader, &used, &size);
		if (!error)
			error = tar_add_extent(reader, offset, size);
	}
	uint64_t rest = -used % TAR_BLOCK;

	if (!error && rest > reader->entry.stored - used)
		return tar_corrupt(reader, "its sparse map is longer than its data");
	if (!error)
		error = ck_stream_read(reader->stream, NULL, rest);
	reader->entry.stored -= used + rest;
	return error;
}

/* Ascending, apart, within the file, and as many bytes as the archive holds. */
int tar_check_extents(struct tar_reader *reader)
{
	const struct tar_entry *entry = &reader->entry;
	uint64_t end = 0, stored = 0;

	for (size_t i = 0; i < entry->extent_count; i++) {
		const struct ck_extent *extent = &entry->extents[i];

		if (extent->offset < end || extent->size > INT64_MAX - extent->offset)
			return tar_corrupt(reader, "the regions of this sparse file overlap or are out of order");
		end = extent->offset + extent->size;
		stored += extent->size;
	}
	if (end > entry->size || stored != entry->stored)
		return tar_corrupt(reader, "the regions of this sparse file do not fit its size");
	return 0;
}
