/* The bytes of an image: a header of our own where EROFS leaves 1024 bytes free, then what the kernel reads.
 *
 * The header holds the digest of all else, so that every changed bit is found.  Times and identifiers come from the
 * layer alone: one tar gives one image.
 *
 * Source: Linux, Documentation/filesystems/erofs.rst; "Core on-disk format" of the EROFS documentation. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "erofs_tree.h"

enum {
	BLOCK = TAR_BLOCK,
	INODE = 64,
	BUFFER = 64 * BLOCK,
	MOST_NAMES = BLOCK / 13,
	/* The superblock counts inodes from the block that it stands in. */
	META_BLOCK = 2,
	/* The tar's blocks as the image's inodes number them, far behind its own. */
	TAR_BLOCKS_FROM = 1 << 30,
	DEVICE_TABLE = 9, /* in steps of 128 bytes: right behind the superblock */
	FLAT_PLAIN = 0,
	FLAT_INLINE = 2,
};

struct image_header {
	char magic[8];
	uint64_t image_size;
	uint64_t tar_size;
	unsigned char digest[32]; /* of the whole image, with zeros here */
	unsigned char free[968];
};

struct super_block {
	uint32_t magic, checksum, feature_compat;
	uint8_t block_bits, slots;
	uint16_t root_nid;
	uint64_t inodes, build_time;
	uint32_t build_time_ns, blocks, meta_block, xattr_block;
	uint8_t uuid[16], volume_name[16];
	uint32_t feature_incompat;
	uint16_t algorithms, extra_devices, device_slot;
	uint8_t directory_block_bits, prefix_count;
	uint32_t prefix_start;
	uint64_t packed_nid;
	uint8_t filter_reserved, reserved[23];
} __attribute__((packed));

struct device_slot {
	uint8_t tag[64];
	uint32_t blocks, mapped_block;
	uint8_t reserved[56];
} __attribute__((packed));

struct inode_record {
	uint16_t format, xattr_count, mode, reserved;
	uint64_t size;
	uint32_t place, number, uid, gid;
	uint64_t seconds;
	uint32_t nanoseconds, links;
	uint8_t reserved2[16];
} __attribute__((packed));

struct directory_entry {
	uint64_t nid;
	uint16_t name;
	uint8_t type, reserved;
} __attribute__((packed));

_Static_assert(sizeof(struct image_header) == 1024, "EROFS begins at 1024");
_Static_assert(sizeof(struct super_block) == 128 && sizeof(struct device_slot) == 128, "as the kernel lays them out");
_Static_assert(sizeof(struct inode_record) == INODE && sizeof(struct directory_entry) == 12, "as the kernel has them");

struct writer {
	const struct erofs_tree *tree;
	const struct erofs_layout *layout;
	int fd;
	struct ck_fault *fault;
	struct ck_sha256 hash;
	uint64_t written; /* bytes, those in the buffer included */
	uint64_t next_block; /* of data, as inodes are written */
	size_t used;
	unsigned char buffer[BUFFER];
};

static int flush(struct writer *writer)
{
	ck_sha256_update(&writer->hash, writer->buffer, writer->used);
	int error = ck_write_all(writer->fd, writer->buffer, writer->used);

	writer->used = 0;
	return error ? ck_fail(writer->fault, CK_FAULT_KERNEL, -error, NULL, "cannot write the layer's image") : 0;
}

static int put(struct writer *writer, const void *data, size_t size)
{
	const unsigned char *at = data;
	int error = 0;

	writer->written += size;
	while (size && !error) {
		size_t part = BUFFER - writer->used < size ? BUFFER - writer->used : size;

		memcpy(writer->buffer + writer->used, at, part);
		writer->used += part;
		at += part;
		size -= part;
		error = writer->used == BUFFER ? flush(writer) : 0;
	}
	return error;
}

static int pad_to(struct writer *writer, uint64_t position)
{
	static const unsigned char zeros[BLOCK];
	int error = 0;

	while (writer->written < position && !error) {
		uint64_t left = position - writer->written;

		error = put(writer, zeros, left < BLOCK ? (size_t)left : BLOCK);
	}
	return error;
}

static uint64_t blocks_of(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK;
}

static int put_super_block(struct writer *writer, uint64_t tar_size, uint64_t blocks)
{
	struct super_block super = {
		.magic = htole32(0xe0f5e1e2),
		.block_bits = 9,
		.root_nid = htole16((uint16_t)writer->tree->nodes[EROFS_ROOT].nid),
		.inodes = htole64(writer->layout->inodes),
		.blocks = htole32((uint32_t)blocks),
		.meta_block = htole32(META_BLOCK),
		.feature_incompat = htole32(0x8), /* a device table */
		.extra_devices = htole16(1),
		.device_slot = htole16(DEVICE_TABLE),
	};
	struct device_slot device = {
		.blocks = htole32((uint32_t)blocks_of(tar_size)),
		.mapped_block = htole32(TAR_BLOCKS_FROM),
	};
	int error = put(writer, &super, sizeof(super));

	return error ? error : put(writer, &device, sizeof(device));
}

/* Where an inode's data begins; directories and long targets follow one another behind the inodes. */
static uint32_t place_of(struct writer *writer, const struct erofs_node *inode)
{
	uint32_t place = (uint32_t)writer->next_block;

	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		return inode->size ? TAR_BLOCKS_FROM + inode->first : 0;
	case S_IFCHR:
	case S_IFBLK:
		return inode->first;
	case S_IFLNK:
		if (erofs_is_inline(writer->tree, inode))
			return 0;
		/* fall through */
	case S_IFDIR:
		writer->next_block += blocks_of(inode->size);
		return place;
	default:
		return 0;
	}
}

static int put_attributes(struct writer *writer, const struct erofs_node *inode)
{
	static const unsigned char header[12], opaque[20] = "\x0e\x04\x01\x00overlay.opaquey";
	uint32_t size = 0;
	int error = 0;

	if (inode->attributes) {
		memcpy(&size, writer->tree->texts + inode->attributes, sizeof(size));
		error = put(writer, writer->tree->texts + inode->attributes + sizeof(size), size);
	} else if (inode->flags & EROFS_OPAQUE) {
		error = put(writer, header, sizeof(header));
	}
	return error || !(inode->flags & EROFS_OPAQUE) ? error : put(writer, opaque, sizeof(opaque));
}

static int put_inode(struct writer *writer, const struct erofs_node *inode)
{
	uint32_t attributes = erofs_attribute_size(writer->tree, inode);
	int inlined = erofs_is_inline(writer->tree, inode);
	struct inode_record record = {
		.format = htole16((uint16_t)(1 | (inlined ? FLAT_INLINE : FLAT_PLAIN) << 1)),
		.xattr_count = htole16((uint16_t)(attributes ? (attributes - 12) / 4 + 1 : 0)),
		.mode = htole16(inode->mode),
		.size = htole64(S_ISCHR(inode->mode) || S_ISBLK(inode->mode) ? 0 : inode->size),
		.place = htole32(place_of(writer, inode)),
		.number = htole32(inode->nid),
		.uid = htole32(inode->uid),
		.gid = htole32(inode->gid),
		.seconds = htole64((uint64_t)inode->seconds),
		.nanoseconds = htole32(inode->nanoseconds),
		.links = htole32(inode->links),
	};
	int error = pad_to(writer, META_BLOCK * BLOCK + (uint64_t)inode->nid * 32);

	if (!error)
		error = put(writer, &record, sizeof(record));
	if (!error && attributes)
		error = put_attributes(writer, inode);
	if (!error && inlined)
		error = put(writer, writer->tree->texts + inode->first, inode->size);
	return error;
}

static uint8_t type_of(const struct erofs_node *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	default:
		return 7;
	}
}

static int put_names(struct writer *writer, const struct erofs_name *names, size_t count)
{
	unsigned char block[BLOCK] = {0};
	size_t at = count * sizeof(struct directory_entry);

	for (size_t i = 0; i < count; i++) {
		struct directory_entry entry = {
			.nid = htole64(names[i].inode->nid),
			.name = htole16((uint16_t)at),
			.type = type_of(names[i].inode),
		};
		memcpy(block + i * sizeof(entry), &entry, sizeof(entry));
		memcpy(block + at, names[i].text, names[i].size);
		at += names[i].size;
	}
	return put(writer, block, sizeof(block));
}

static int put_directory(struct writer *writer, uint32_t directory)
{
	struct erofs_name names[MOST_NAMES], name;
	struct erofs_cursor cursor;
	size_t count = 0, used = 0;
	int error = 0;

	erofs_list(&cursor, writer->tree, directory);
	while (!error && erofs_next_name(&cursor, &name)) {
		if (used + sizeof(struct directory_entry) + name.size > BLOCK) {
			error = put_names(writer, names, count);
			count = used = 0;
		}
		used += sizeof(struct directory_entry) + name.size;
		names[count++] = name;
	}
	return error ? error : put_names(writer, names, count);
}

static int is_written(const struct erofs_node *node)
{
	return !(node->flags & EROFS_LINK) && node->links;
}

static int put_data(struct writer *writer)
{
	const struct erofs_tree *tree = writer->tree;
	int error = 0;

	for (uint32_t i = 0; i < tree->node_count && !error; i++) {
		const struct erofs_node *inode = &tree->nodes[i];

		if (!is_written(inode))
			continue;
		if (S_ISDIR(inode->mode)) {
			error = put_directory(writer, i);
		} else if (S_ISLNK(inode->mode) && !erofs_is_inline(tree, inode)) {
			error = put(writer, tree->texts + inode->first, inode->size);
			if (!error)
				error = pad_to(writer, blocks_of(writer->written) * BLOCK);
		}
	}
	return error;
}

static int put_all(struct writer *writer, struct image_header *header)
{
	const struct erofs_tree *tree = writer->tree;
	uint64_t data = blocks_of(writer->layout->inode_end);
	uint64_t blocks = data + writer->layout->directory_blocks + writer->layout->symlink_blocks;
	int error;

	header->image_size = htole64(blocks * BLOCK);
	writer->next_block = data;
	error = put(writer, header, sizeof(*header));
	if (!error)
		error = put_super_block(writer, le64toh(header->tar_size), blocks);
	for (uint32_t i = 0; i < tree->node_count && !error; i++)
		if (is_written(&tree->nodes[i]))
			error = put_inode(writer, &tree->nodes[i]);
	if (!error)
		error = pad_to(writer, data * BLOCK);
	if (!error)
		error = put_data(writer);
	return error ? error : flush(writer);
}

int erofs_write_image(const struct erofs_tree *tree, const struct erofs_layout *layout, int fd, uint64_t tar_size,
		      struct ck_fault *fault)
{
	struct writer *writer = malloc(sizeof(*writer));
	struct image_header header = {.magic = "CKEROFS1", .tar_size = htole64(tar_size)};
	int error;

	if (!writer)
		return ck_fail(fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory to write the layer's image");
	writer->tree = tree;
	writer->layout = layout;
	writer->fd = fd;
	writer->fault = fault;
	writer->written = writer->used = 0;
	ck_sha256_start(&writer->hash);
	error = put_all(writer, &header);
	if (!error) {
		ck_sha256_digest(&writer->hash, header.digest);
		if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header))
			error = ck_fail_errno(fault, NULL, "cannot write the layer's image");
	}
	free(writer);
	return error;
}
