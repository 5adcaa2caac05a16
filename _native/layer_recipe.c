/* Writing a recipe while a layer is unpacked. */
#include "layer_recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inflate.h"

enum { COPY_SIZE = 64 * 1024 };

static int put(struct ck_recipe *recipe, const void *data, size_t size)
{
	int error = ck_deflate_write(recipe->deflate, data, size);

	return error ? ck_fail(recipe->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the recipe of the layer") : 0;
}

static size_t encode(unsigned char *out, uint64_t value)
{
	size_t used = 0;

	do {
		out[used++] = (unsigned char)(value | 0x80);
		value >>= 7;
	} while (value);
	out[used - 1] &= 0x7f;
	return used;
}

static int put_number(struct ck_recipe *recipe, uint64_t value)
{
	unsigned char encoded[10];

	return put(recipe, encoded, encode(encoded, value));
}

/* A step and its first number. */
static int put_step(struct ck_recipe *recipe, char step, uint64_t value)
{
	int error = put(recipe, &step, 1);

	return error ? error : put_number(recipe, value);
}

static int flush_literal(struct ck_recipe *recipe)
{
	int error = 0;

	if (recipe->literal_used) {
		error = put_step(recipe, 'L', recipe->literal_used);
		if (!error)
			error = put(recipe, recipe->literal, recipe->literal_used);
	}
	recipe->literal_used = 0;
	return error;
}

int ck_recipe_open(struct ck_recipe **out, int fd, struct ck_fault *fault)
{
	struct ck_recipe *recipe = calloc(1, sizeof(*recipe));
	unsigned char kind = (unsigned char)ck_deflate_best_stream();

	*out = recipe;
	if (!recipe)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for a recipe");
	recipe->fd = fd;
	recipe->fault = fault;
	int error = ck_write_all(fd, RECIPE_MAGIC, 8);

	if (!error)
		error = ck_write_all(fd, &kind, 1);
	if (!error)
		error = ck_deflate_open(&recipe->deflate, kind, 1, fd, NULL);
	return error ? ck_fail(fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the recipe of the layer") : 0;
}

int ck_recipe_literal(struct ck_recipe *recipe, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		size_t room = sizeof(recipe->literal) - recipe->literal_used;
		size_t part = size < room ? size : room;

		memcpy(recipe->literal + recipe->literal_used, at, part);
		recipe->literal_used += part;
		at += part;
		size -= part;
		int error = part == room ? flush_literal(recipe) : 0;

		if (error)
			return error;
	}
	return 0;
}

/* The path, as what it shares with the one before and the rest. */
static int put_path(struct ck_recipe *recipe, const char *path)
{
	size_t size = strlen(path), keep = 0;

	while (keep < size && recipe->path[keep] == path[keep])
		keep++;
	int error = put_step(recipe, 'F', keep);

	if (!error)
		error = put_number(recipe, size - keep);
	if (!error)
		error = put(recipe, path + keep, size - keep);
	if (size < sizeof(recipe->path))
		memcpy(recipe->path, path, size + 1);
	else
		recipe->path[0] = 0;
	return error;
}

int ck_recipe_file(struct ck_recipe *recipe, const char *path, uint64_t file_size, const struct ck_extent *extents,
		   size_t count)
{
	int error = flush_literal(recipe);

	if (!error)
		error = put_path(recipe, path);
	if (!error)
		error = put_number(recipe, file_size);
	if (!error)
		error = put_number(recipe, count);
	for (size_t i = 0; i < count && !error; i++) {
		error = put_number(recipe, extents[i].offset);
		if (!error)
			error = put_number(recipe, extents[i].size);
	}
	return error;
}

int ck_recipe_overwritten(struct ck_recipe *recipe, const char *path, int fd, uint64_t size)
{
	char *buffer = malloc(COPY_SIZE);
	int error = buffer ? flush_literal(recipe) : -ENOMEM;

	if (!error)
		error = put_step(recipe, 'O', strlen(path));
	if (!error)
		error = put(recipe, path, strlen(path));
	if (!error)
		error = put_number(recipe, size);
	for (uint64_t at = 0; at < size && !error;) {
		ssize_t got = pread(fd, buffer, COPY_SIZE, (off_t)at);

		if (got > 0)
			error = put(recipe, buffer, (size_t)got);
		else if (got == 0 || errno != EINTR)
			error = ck_fail(recipe->fault, CK_FAULT_KERNEL, got ? errno : EIO, path, "cannot read it back");
		at += got > 0 ? (uint64_t)got : 0;
	}
	free(buffer);
	return error;
}

int ck_recipe_finish(struct ck_recipe *recipe, uint64_t tar_size, const unsigned char *diff_id)
{
	int error = flush_literal(recipe);

	if (!error)
		error = put_step(recipe, 'E', tar_size);
	if (!error)
		error = put(recipe, diff_id, 32);
	if (error)
		return error;
	error = ck_deflate_finish(recipe->deflate);
	return error ? ck_fail(recipe->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the recipe of the layer") : 0;
}

void ck_recipe_close(struct ck_recipe *recipe)
{
	if (recipe)
		ck_deflate_close(recipe->deflate);
	free(recipe);
}
