/* Headers of a tar archive, the same bytes for the same entry everywhere.
 *
 * Sources: POSIX.1-2017 pax, "ustar Interchange Format", "pax Extended Header"; GNU tar manual, "PAX Format,
 * Version 1.0". */
#include "tar_write.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 100, PREFIX_SIZE = 155 };

/* The header block as POSIX lays it out. */
struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], unused[12];
};

/* Pax records of one entry. */
struct records {
	char *text;
	size_t used, capacity;
	int failed;
};

static void append(struct records *records, const void *data, size_t size)
{
	if (records->used + size > records->capacity && !records->failed) {
		size_t capacity = (records->used + size) * 2 + 256;
		char *grown = realloc(records->text, capacity);

		records->failed = !grown;
		records->text = grown ? grown : records->text;
		records->capacity = grown ? capacity : records->capacity;
	}
	if (records->failed)
		return;
	memcpy(records->text + records->used, data, size);
	records->used += size;
}

/* "length key=value\n", where the length counts its own digits. */
static void add_record(struct records *records, const char *key, const void *value, size_t size)
{
	size_t rest = strlen(key) + size + 3, length = rest, before;
	char number[24];

	do {
		before = length;
		length = rest + (size_t)snprintf(number, sizeof(number), "%zu", before);
	} while (length != before);
	append(records, number, strlen(number));
	append(records, " ", 1);
	append(records, key, strlen(key));
	append(records, "=", 1);
	append(records, value, size);
	append(records, "\n", 1);
}

static void add_text(struct records *records, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add_text(struct records *records, const char *key, const char *format, ...)
{
	char text[64];
	va_list arguments;

	va_start(arguments, format);
	int size = vsnprintf(text, sizeof(text), format, arguments);

	va_end(arguments);
	add_record(records, key, text, (size_t)size);
}

/* Octal with a closing NUL; 0 when it does not fit, and then a record must say it. */
static int octal(char *field, size_t size, uint64_t value)
{
	int fits = value >> (3 * (size - 1)) == 0;

	snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)(fits ? value : 0));
	return fits;
}

/* Splits a path at a slash so that both parts fit; 0 when it does not. */
static int split_name(struct ustar *header, const char *path)
{
	size_t size = strlen(path);

	if (size <= NAME_SIZE) {
		memcpy(header->name, path, size);
		return 1;
	}
	for (size_t at = size - 1; at > 0; at--) {
		/* A directory's closing slash cannot be the cut: its name part would be empty. */
		if (path[at] != '/' || at + 1 == size || at > PREFIX_SIZE)
			continue;
		if (size - at - 1 > NAME_SIZE)
			return 0;
		memcpy(header->prefix, path, at);
		memcpy(header->name, path + at + 1, size - at - 1);
		return 1;
	}
	return 0;
}

static void fill_names(struct ustar *header, const struct tar_entry *entry, struct records *records)
{
	size_t link_size = strlen(entry->link);

	if (entry->extent_count) {
		memcpy(header->name, "GNUSparseFile.0", 15);
	} else if (!split_name(header, entry->path)) {
		memcpy(header->name, entry->path, NAME_SIZE);
		add_record(records, "path", entry->path, strlen(entry->path));
	}
	memcpy(header->link, entry->link, link_size < NAME_SIZE ? link_size : NAME_SIZE);
	if (link_size > NAME_SIZE)
		add_record(records, "linkpath", entry->link, link_size);
}

static void fill_time(struct ustar *header, const struct tar_entry *entry, struct records *records)
{
	const struct timespec *time = &entry->mtime;
	int fits = time->tv_sec >= 0 && octal(header->mtime, sizeof(header->mtime), (uint64_t)time->tv_sec);

	if (time->tv_sec < 0)
		octal(header->mtime, sizeof(header->mtime), 0);
	if (fits && !time->tv_nsec)
		return;
	if (time->tv_sec < 0 && time->tv_nsec)
		add_text(records, "mtime", "-%lld.%09ld", -(long long)time->tv_sec - 1, 1000000000 - time->tv_nsec);
	else if (time->tv_nsec)
		add_text(records, "mtime", "%lld.%09ld", (long long)time->tv_sec, time->tv_nsec);
	else
		add_text(records, "mtime", "%lld", (long long)time->tv_sec);
}

static void fill_numbers(struct ustar *header, const struct tar_entry *entry, uint64_t stored, struct records *records)
{
	octal(header->mode, sizeof(header->mode), entry->mode);
	if (!octal(header->uid, sizeof(header->uid), entry->uid))
		add_text(records, "uid", "%u", entry->uid);
	if (!octal(header->gid, sizeof(header->gid), entry->gid))
		add_text(records, "gid", "%u", entry->gid);
	if (!octal(header->size, sizeof(header->size), stored))
		add_text(records, "size", "%llu", (unsigned long long)stored);
	octal(header->major, sizeof(header->major), entry->major);
	octal(header->minor, sizeof(header->minor), entry->minor);
	fill_time(header, entry, records);
}

static void add_xattrs(struct records *records, const struct tar_entry *entry)
{
	char key[256 + 16];

	for (size_t i = 0; i < entry->xattr_count; i++) {
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", entry->xattrs[i].name);
		add_record(records, key, entry->xattrs[i].value, entry->xattrs[i].size);
	}
}

static void add_sparse(struct records *records, const struct tar_entry *entry)
{
	add_text(records, "GNU.sparse.major", "1");
	add_text(records, "GNU.sparse.minor", "0");
	add_record(records, "GNU.sparse.name", entry->path, strlen(entry->path));
	add_text(records, "GNU.sparse.realsize", "%llu", (unsigned long long)entry->size);
}

static int put_block(struct ck_sink *sink, struct ustar *header, char type)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned int sum = 0;

	header->type = type;
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += bytes[i];
	snprintf(header->checksum, 7, "%06o", sum);
	return ck_sink_write(sink, header, sizeof(*header));
}

static int put_records(struct ck_sink *sink, const struct records *records)
{
	struct ustar header = {0};
	int error;

	memcpy(header.name, "PaxHeaders.0/entry", 18);
	octal(header.mode, sizeof(header.mode), 0644);
	octal(header.uid, sizeof(header.uid), 0);
	octal(header.gid, sizeof(header.gid), 0);
	octal(header.size, sizeof(header.size), records->used);
	octal(header.mtime, sizeof(header.mtime), 0);
	error = put_block(sink, &header, 'x');
	if (!error)
		error = ck_sink_write(sink, records->text, records->used);
	return error ? error : tar_write_padding(sink, records->used);
}

/* The map of a sparse file as text: a count, then offset and size of each region. */
static void sparse_map(struct records *map, const struct tar_entry *entry)
{
	char line[64];

	snprintf(line, sizeof(line), "%zu\n", entry->extent_count);
	append(map, line, strlen(line));
	for (size_t i = 0; i < entry->extent_count; i++) {
		snprintf(line, sizeof(line), "%llu\n%llu\n", (unsigned long long)entry->extents[i].offset,
			 (unsigned long long)entry->extents[i].size);
		append(map, line, strlen(line));
	}
	for (; map->used % TAR_BLOCK && !map->failed;)
		append(map, "", 1);
}

int tar_write_header(struct ck_sink *sink, const struct tar_entry *entry)
{
	struct ustar header = {0};
	struct records records = {0}, map = {0};
	int error = 0;

	if (entry->extent_count) {
		sparse_map(&map, entry);
		add_sparse(&records, entry);
	}
	fill_names(&header, entry, &records);
	fill_numbers(&header, entry, entry->stored + map.used, &records);
	add_xattrs(&records, entry);
	if (records.failed || map.failed)
		error = ck_fail(sink->fault, CK_FAULT_KERNEL, ENOMEM, entry->path, "no memory for its header");
	if (!error && records.used)
		error = put_records(sink, &records);
	if (!error)
		error = put_block(sink, &header, (char)entry->type);
	if (!error)
		error = ck_sink_write(sink, map.text, map.used);
	free(records.text);
	free(map.text);
	return error;
}

int tar_write_padding(struct ck_sink *sink, uint64_t stored)
{
	return ck_sink_zeros(sink, -stored % TAR_BLOCK);
}

int tar_write_end(struct ck_sink *sink)
{
	return ck_sink_zeros(sink, 2 * TAR_BLOCK);
}
