/* Pax extended headers: records "length key=value\n" that override or add to an entry. */
#include "tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each new one is compared with the others; no file system keeps nearly as many. */
enum { MOST_XATTRS = 1024 };

int tar_decimal(const char *text, uint64_t *value)
{
	uint64_t result = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || result > (INT64_MAX - 9) / 10)
			return -EINVAL;
		result = result * 10 + (uint64_t)(*text - '0');
	}
	*value = result;
	return 0;
}

/* Seconds with an optional fraction and sign; digits after the ninth are dropped. */
static int parse_time(const char *text, struct timespec *time)
{
	int negative = *text == '-';
	char *point, whole[32];
	uint64_t seconds;
	long nanoseconds = 0, scale = 100000000;

	if (strlen(text) >= sizeof(whole))
		return -EINVAL;
	strcpy(whole, text + negative);
	point = strchr(whole, '.');
	if (point)
		*point++ = 0;
	if (tar_decimal(whole, &seconds))
		return -EINVAL;
	for (; point && *point; point++, scale /= 10) {
		if (*point < '0' || *point > '9')
			return -EINVAL;
		nanoseconds += (*point - '0') * scale;
	}
	time->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
	time->tv_nsec = nanoseconds;
	if (negative && nanoseconds) {
		time->tv_sec--;
		time->tv_nsec = 1000000000 - nanoseconds;
	}
	return 0;
}

int tar_add_xattr(struct tar_reader *reader, const char *name, const void *value, size_t size)
{
	struct tar_entry *entry = &reader->entry;

	if (entry->xattr_count == MOST_XATTRS)
		return ck_fail(reader->fault, CK_FAULT_LIMIT, E2BIG, entry->path,
			       "the entry after this one has more than %d attributes", MOST_XATTRS);
	if (entry->xattr_count == reader->xattr_capacity) {
		size_t capacity = reader->xattr_capacity * 2 + 8;
		struct tar_xattr *grown = realloc(entry->xattrs, capacity * sizeof(*grown));

		if (!grown)
			return ck_fail(reader->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for attributes");
		entry->xattrs = grown;
		reader->xattr_capacity = capacity;
	}
	entry->xattrs[entry->xattr_count++] = (struct tar_xattr){name, value, size};
	return 0;
}

static int sparse_record(struct tar_reader *reader, const char *key, char *value)
{
	struct tar_overrides *over = &reader->over;
	uint64_t number = 0;

	over->sparse = 1;
	if (strcmp(key, "name") == 0) {
		over->has_sparse_name = 1;
		over->sparse_name = value;
		return 0;
	}
	if (strcmp(key, "map") == 0)
		return tar_parse_map(reader, value);
	if (tar_decimal(value, &number))
		return tar_corrupt(reader, "a sparse record of the entry after this one is no number");
	if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0) {
		over->has_sparse_size = 1;
		over->sparse_size = number;
	} else if (strcmp(key, "major") == 0) {
		over->sparse_major = number;
	} else if (strcmp(key, "offset") == 0) {
		over->sparse_offset = number;
	} else if (strcmp(key, "numbytes") == 0) {
		return tar_add_extent(reader, over->sparse_offset, number);
	}
	return 0;
}

static int number_record(struct tar_reader *reader, const char *key, const char *value)
{
	struct tar_overrides *over = &reader->over;
	uint64_t number;

	if (strcmp(key, "mtime") == 0) {
		over->has_mtime = 1;
		return parse_time(value, &over->mtime) ? tar_corrupt(reader, "a pax record mtime is no time") : 0;
	}
	if (tar_decimal(value, &number))
		return tar_corrupt(reader, "a pax record of the entry after this one is no number");
	if (strcmp(key, "size") == 0) {
		over->has_size = 1;
		over->size = number;
	} else if (strcmp(key, "uid") == 0) {
		over->has_uid = 1;
		over->uid = number;
	} else {
		over->has_gid = 1;
		over->gid = number;
	}
	return 0;
}

static int is_number_key(const char *key)
{
	return !strcmp(key, "size") || !strcmp(key, "uid") || !strcmp(key, "gid") || !strcmp(key, "mtime");
}

/* One record, already cut into key and value; unknown keys mean nothing to a file system. */
static int apply_record(struct tar_reader *reader, char *key, char *value, size_t size)
{
	struct tar_overrides *over = &reader->over;
	int is_path = !strcmp(key, "path"), is_link = !strcmp(key, "linkpath");

	if (!strncmp(key, "SCHILY.xattr.", 13))
		return tar_add_xattr(reader, key + 13, value, size);
	if (!strncmp(key, "LIBARCHIVE.xattr.", 17))
		return tar_add_libarchive_xattr(reader, key + 17, value, size);
	if ((is_path || is_link || !strncmp(key, "GNU.sparse.", 11)) && strlen(value) != size)
		return tar_corrupt(reader, "the name of the entry after this one contains a NUL byte");
	if (is_path) {
		over->has_path = size > 0; /* an empty value takes the record back */
		over->path = value;
	} else if (is_link) {
		over->has_link = size > 0;
		over->link = value;
	} else if (!strncmp(key, "GNU.sparse.", 11)) {
		return sparse_record(reader, key + 11, value);
	} else if (is_number_key(key) && size) {
		return number_record(reader, key, value);
	}
	return 0;
}

/* Cuts the record at *records into key and value; NULL when it is malformed. */
static char *cut_record(char *record, size_t left, size_t *used, char **value, size_t *size)
{
	size_t digits = strspn(record, "0123456789"), length = 0;
	char *equals;

	if (!digits || digits > 9 || record[digits] != ' ')
		return NULL;
	for (size_t i = 0; i < digits; i++)
		length = length * 10 + (size_t)(record[i] - '0');
	if (length < digits + 4 || length > left || record[length - 1] != '\n')
		return NULL;
	equals = memchr(record + digits + 1, '=', length - digits - 2);
	if (!equals || equals == record + digits + 1 || memchr(record, 0, (size_t)(equals - record)))
		return NULL;
	*equals = 0;
	record[length - 1] = 0;
	*used = length;
	*value = equals + 1;
	*size = (size_t)(record + length - 1 - *value);
	return record + digits + 1;
}

int tar_apply_records(struct tar_reader *reader, char *records, size_t left)
{
	while (left) {
		size_t used, size;
		char *value, *key = cut_record(records, left, &used, &value, &size);
		int error = key ? apply_record(reader, key, value, size)
				: tar_corrupt(reader, "the pax header after this entry is malformed");

		if (error)
			return error;
		records += used;
		left -= used;
	}
	return 0;
}

/* Some readers let a global header rename or resize what follows, others ignore it: no single meaning. */
int tar_check_global(struct tar_reader *reader, char *records, size_t left)
{
	while (left) {
		size_t used, size;
		char *value, *key = cut_record(records, left, &used, &value, &size);

		if (!key)
			return tar_corrupt(reader, "a global pax header is malformed");
		if (!strcmp(key, "path") || !strcmp(key, "linkpath") || !strcmp(key, "size") || !strncmp(key, "GNU.", 4))
			return ck_fail(reader->fault, CK_FAULT_REFUSED, EINVAL, reader->entry.path,
				       "a global pax header sets %s for every entry", key);
		records += used;
		left -= used;
	}
	return 0;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes in place; the length, or -1. */
static long decode_base64(char *text, size_t size)
{
	unsigned int bits = 0, held = 0;
	size_t out = 0;

	for (size_t i = 0; i < size && text[i] != '='; i++) {
		int digit = base64_digit(text[i]);

		if (digit < 0)
			return -1;
		bits = bits << 6 | (unsigned int)digit;
		held += 6;
		if (held >= 8) {
			held -= 8;
			text[out++] = (char)(bits >> held);
		}
	}
	return (long)out;
}

static void decode_percent(char *text)
{
	char *out = text;

	for (; *text; text++) {
		char hex[3] = {text[0] == '%' ? text[1] : 0, 0, 0};

		if (hex[0] && strspn(text + 1, "0123456789abcdefABCDEF") >= 2) {
			hex[1] = text[2];
			*out++ = (char)strtol(hex, NULL, 16);
			text += 2;
		} else {
			*out++ = *text;
		}
	}
	*out = 0;
}

/* libarchive writes each attribute twice; its own form counts where the other is missing. */
int tar_add_libarchive_xattr(struct tar_reader *reader, char *name, char *value, size_t size)
{
	long decoded;

	decode_percent(name);
	for (size_t i = 0; i < reader->entry.xattr_count; i++)
		if (!strcmp(reader->entry.xattrs[i].name, name))
			return 0;
	decoded = decode_base64(value, size);
	if (decoded < 0)
		return tar_corrupt(reader, "an attribute of the entry after this one is not base64");
	return tar_add_xattr(reader, name, value, (size_t)decoded);
}
