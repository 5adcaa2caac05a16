/* The byte stream under the tar reader, and how faults are recorded. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "layer.h"
#include "layer_recipe.h"

int ck_fail(struct ck_fault *fault, int kind, int error, const char *entry, const char *format, ...)
{
	va_list arguments;

	if (fault->kind != CK_FAULT_NONE)
		return -fault->error;
	fault->kind = kind;
	fault->error = error;
	va_start(arguments, format);
	vsnprintf(fault->what, sizeof(fault->what), format, arguments);
	va_end(arguments);
	snprintf(fault->entry, sizeof(fault->entry), "%s", entry ? entry : "");
	return -error;
}

int ck_fail_errno(struct ck_fault *fault, const char *entry, const char *doing)
{
	return ck_fail(fault, CK_FAULT_KERNEL, errno, entry, "%s", doing);
}

int ck_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(fd, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

int ck_stream_at_end(struct ck_stream *stream)
{
	if (stream->left)
		return 0;
	int error = stream->more(stream);

	return error ? error : stream->left == 0;
}

int ck_stream_payload(struct ck_stream *stream, uint64_t wanted, const unsigned char **data, size_t *size)
{
	int end = ck_stream_at_end(stream);

	if (end < 0)
		return end;
	if (end)
		return ck_fail(stream->fault, CK_FAULT_CORRUPT, EBADMSG, NULL, "the archive ends in the middle of an entry");
	*data = stream->at;
	*size = wanted < stream->left ? (size_t)wanted : stream->left;
	stream->at += *size;
	stream->left -= *size;
	return 0;
}

int ck_stream_read(struct ck_stream *stream, void *out, uint64_t size)
{
	while (size) {
		const unsigned char *data;
		size_t got;
		int error = ck_stream_payload(stream, size, &data, &got);

		if (!error && stream->recipe)
			error = ck_recipe_literal(stream->recipe, data, got);
		if (error)
			return error;
		if (out)
			out = (char *)memcpy(out, data, got) + got;
		size -= got;
	}
	return 0;
}

void ck_cancel(int *cancelled)
{
	__atomic_store_n(cancelled, 1, __ATOMIC_RELAXED);
}
