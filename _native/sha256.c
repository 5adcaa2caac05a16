/* SHA-256: the incremental interface, padding, and the digest of a file.
 *
 * Source: FIPS 180-4, sections 5.1.1 (padding), 5.3.3 (initial value), 6.2 (computation). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ckit.h"
#include "sha256.h"

/* Large enough that the calls vanish, small enough to stay in the second-level cache. */
enum { READ_SIZE = 256 * 1024 };

static int force_portable;

void ck_sha256_force_portable(int portable)
{
	force_portable = portable;
}

int ck_sha256_accelerated(void)
{
	return !force_portable && ck_sha256_have_ni();
}

static void compress(uint32_t *state, const unsigned char *data, size_t blocks)
{
	if (ck_sha256_accelerated())
		ck_sha256_blocks_ni(state, data, blocks);
	else
		ck_sha256_blocks_portable(state, data, blocks);
}

void ck_sha256_start(struct ck_sha256 *hash)
{
	static const uint32_t initial[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(hash->state, initial, sizeof(initial));
	hash->length = 0;
}

void ck_sha256_update(struct ck_sha256 *hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	size_t held = hash->length % 64;

	hash->length += size;
	if (held) {
		size_t wanted = 64 - held < size ? 64 - held : size;

		memcpy(hash->block + held, bytes, wanted);
		bytes += wanted;
		size -= wanted;
		if (held + wanted < 64)
			return;
		compress(hash->state, hash->block, 1);
	}
	compress(hash->state, bytes, size / 64);
	if (size % 64)
		memcpy(hash->block, bytes + size / 64 * 64, size % 64);
}

void ck_sha256_digest(const struct ck_sha256 *hash, unsigned char *out)
{
	struct ck_sha256 last = *hash;
	unsigned char padding[72] = {0x80};
	size_t held = hash->length % 64;
	size_t zeros = (held < 56 ? 56 : 120) - held;
	uint64_t bits = hash->length * 8;

	for (int i = 0; i < 8; i++)
		padding[zeros + i] = (unsigned char)(bits >> (56 - 8 * i));
	ck_sha256_update(&last, padding, zeros + 8);
	for (int i = 0; i < 32; i++)
		out[i] = (unsigned char)(last.state[i / 4] >> (24 - 8 * (i % 4)));
}

int ck_sha256_fd(int fd, unsigned char *out)
{
	struct ck_sha256 hash;
	unsigned char *buffer = malloc(READ_SIZE);
	ssize_t got = 1;

	if (!buffer)
		return -ENOMEM;
	ck_sha256_start(&hash);
	while (got > 0) {
		got = read(fd, buffer, READ_SIZE);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			ck_sha256_update(&hash, buffer, (size_t)got);
	}
	int error = got < 0 ? -errno : 0;

	free(buffer);
	if (!error)
		ck_sha256_digest(&hash, out);
	return error;
}

int ck_sha256_range(int fd, int64_t offset, int64_t size, unsigned char *out)
{
	struct ck_sha256 hash;
	unsigned char *buffer = malloc(READ_SIZE);
	int error = 0;

	if (!buffer)
		return -ENOMEM;
	ck_sha256_start(&hash);
	while (size > 0 && !error) {
		ssize_t got = pread(fd, buffer, size < READ_SIZE ? (size_t)size : READ_SIZE, offset);

		if (got < 0 && errno == EINTR)
			continue;
		error = got < 0 ? -errno : got == 0 ? -ENODATA : 0;
		if (!error) {
			ck_sha256_update(&hash, buffer, (size_t)got);
			offset += got;
			size -= got;
		}
	}
	free(buffer);
	if (!error)
		ck_sha256_digest(&hash, out);
	return error;
}
