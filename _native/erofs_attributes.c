/* Extended attributes of an entry, as EROFS keeps them behind the inode.
 *
 * Whether an attribute is valid and what becomes of it (a capability gets its owner, an access list changes the mode)
 * is the kernel's to say: each is set on a nameless file first and read back from there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "erofs_tree.h"

enum {
	HEADER = 12, /* struct erofs_xattr_ibody_header: nothing shared, no filter */
	LARGEST_LIST = 64 * 1024,
	LARGEST_VALUE = 64 * 1024,
	/* i_xattr_icount has 16 bits and counts from the header on in steps of four bytes; room for overlay's mark. */
	LARGEST_AREA = HEADER + 65534 * 4 - 64,
};

/* One inode's attributes on their way from the scratch file into texts. */
struct gathering {
	struct layer_extract *x;
	int fd;
	size_t used;
	char names[LARGEST_LIST];
	unsigned char value[LARGEST_VALUE];
	unsigned char area[LARGEST_AREA];
};

struct prefix {
	const char *text;
	unsigned char index;
};

static const struct prefix *prefix_of(const char *name)
{
	static const struct prefix prefixes[] = {
		{"user.", 1}, {"system.posix_acl_access", 2}, {"system.posix_acl_default", 3},
		{"trusted.", 4}, {"security.", 6},
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (strncmp(name, prefixes[i].text, strlen(prefixes[i].text)) == 0)
			return &prefixes[i];
	return NULL;
}

static int gather_one(struct gathering *all, const char *name)
{
	const struct prefix *prefix = layer_xattr_allowed(name) ? prefix_of(name) : NULL;
	ssize_t size = prefix ? fgetxattr(all->fd, name, all->value, sizeof(all->value)) : 0;
	const char *rest = prefix ? name + strlen(prefix->text) : "";
	size_t rest_size = strlen(rest), whole = (4 + rest_size + (size_t)size + 3) & ~(size_t)3;

	if (!prefix)
		return 0; /* what the host's own security module put on the scratch file */
	if (size < 0)
		return ck_fail_errno(all->x->fault, all->x->reader.entry.path, "cannot read its attributes back");
	if (size > UINT16_MAX || rest_size > UINT8_MAX || whole > sizeof(all->area) - all->used)
		return EROFS_UNFIT;
	unsigned char *at = all->area + all->used;

	memset(at, 0, whole);
	at[0] = (unsigned char)rest_size;
	at[1] = prefix->index;
	at[2] = (unsigned char)size;
	at[3] = (unsigned char)(size >> 8);
	memcpy(at + 4, rest, rest_size);
	memcpy(at + 4 + rest_size, all->value, (size_t)size);
	all->used += whole;
	return 0;
}

/* Takes every attribute off the scratch file again. */
static int gather(struct gathering *all)
{
	ssize_t size = flistxattr(all->fd, all->names, sizeof(all->names));
	int result = 0;

	if (size < 0)
		return ck_fail_errno(all->x->fault, all->x->reader.entry.path, "cannot list its attributes");
	for (char *name = all->names; name < all->names + size; name += strlen(name) + 1) {
		if (!result)
			result = gather_one(all, name);
		if (layer_xattr_allowed(name) && fremovexattr(all->fd, name) < 0 && !result)
			result = ck_fail_errno(all->x->fault, all->x->reader.entry.path, "cannot take its attributes back");
	}
	return result;
}

/* A directory that comes twice keeps what it had. */
static int restore(struct gathering *all, uint32_t attributes)
{
	const struct erofs_tree *tree = all->x->erofs;
	static const char *const prefixes[] = {
		NULL, "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", NULL, "security.",
	};
	const unsigned char *at, *end;
	uint32_t size;

	if (!attributes)
		return 0;
	memcpy(&size, tree->texts + attributes, 4);
	at = tree->texts + attributes + 4 + HEADER;
	end = tree->texts + attributes + 4 + size;
	while (at < end) {
		size_t name_size = at[0], value_size = at[2] | (size_t)at[3] << 8;
		char name[512];

		strcpy(name, prefixes[at[1]]);
		strncat(name, (const char *)at + 4, name_size);
		if (fsetxattr(all->fd, name, at + 4 + name_size, value_size, 0) < 0)
			return ck_fail_errno(all->x->fault, all->x->reader.entry.path, "cannot keep its attributes");
		at += (4 + name_size + value_size + 3) & ~(size_t)3;
	}
	return 0;
}

static struct gathering *open_gathering(struct layer_extract *x, int directory)
{
	struct erofs_tree *tree = x->erofs;

	if (!tree->gathering)
		tree->gathering = malloc(sizeof(*tree->gathering));
	if (!directory && tree->scratch_fd < 0)
		tree->scratch_fd = openat(x->job->tree_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (!tree->gathering || (!directory && tree->scratch_fd < 0)) {
		ck_fail_errno(x->fault, x->reader.entry.path, "cannot make a file to check its attributes on");
		return NULL;
	}
	tree->gathering->x = x;
	tree->gathering->fd = directory ? x->job->tree_fd : tree->scratch_fd;
	tree->gathering->used = HEADER;
	memset(tree->gathering->area, 0, HEADER);
	return tree->gathering;
}

static int keep(struct gathering *all, uint32_t node)
{
	struct erofs_tree *tree = all->x->erofs;
	uint32_t size = (uint32_t)all->used, at;
	int error;

	if (size == HEADER)
		return 0;
	error = erofs_keep_text(tree, &size, sizeof(size), &at);
	if (!error) {
		tree->nodes[node].attributes = at;
		error = erofs_keep_text(tree, all->area, size, &at);
	}
	return error < 0 ? ck_fail(all->x->fault, CK_FAULT_KERNEL, -error, NULL, "no memory for the layer") : error;
}

int erofs_take_attributes(struct layer_extract *x, uint32_t node)
{
	struct erofs_node *inode = &x->erofs->nodes[node];
	struct gathering *all = open_gathering(x, S_ISDIR(inode->mode));
	struct stat status;
	int error;

	if (!all)
		return -x->fault->error;
	error = restore(all, inode->attributes);
	if (!error)
		error = layer_set_attributes(x, all->fd, 0);
	if (!error && fstat(all->fd, &status) < 0)
		error = ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at its mode");
	if (!error)
		error = gather(all);
	if (error)
		return error;
	inode->mode = (uint16_t)status.st_mode;
	return keep(all, node);
}
