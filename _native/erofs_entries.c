/* One entry of a layer into the tree in memory: the counterpart of layer_entries.c, which makes files.
 *
 * What is refused there is refused here.  Nothing of an entry is written by itself: its data lies in the tar. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "erofs_tree.h"

static int is_directory(const struct erofs_tree *tree, uint32_t node)
{
	return S_ISDIR(tree->nodes[node].mode) && !(tree->nodes[node].flags & EROFS_LINK);
}

static int is_whiteout(const struct erofs_tree *tree, uint32_t node)
{
	return S_ISCHR(tree->nodes[node].mode) && tree->nodes[node].first == 0;
}

static int add(struct layer_extract *x, uint32_t parent, const char *name, uint32_t *node)
{
	int error = erofs_add(x->erofs, parent, name, node);

	return error < 0 ? ck_fail(x->fault, CK_FAULT_KERNEL, -error, NULL, "no memory for the layer") : error;
}

static int make_parent(struct layer_extract *x, uint32_t *directory, const char *name, int opaque)
{
	int error = add(x, *directory, name, directory);

	if (error)
		return error;
	x->job->inodes++;
	x->erofs->nodes[*directory].mode = S_IFDIR | 0755;
	x->erofs->nodes[*directory].flags = opaque ? EROFS_OPAQUE : 0;
	return 0;
}

/* The directory of the first `depth` components, made where it is missing. */
static int enter(struct layer_extract *x, const struct layer_path *path, size_t depth, uint32_t *directory)
{
	struct erofs_tree *tree = x->erofs;
	int error = 0;

	*directory = EROFS_ROOT;
	for (size_t i = 0; i < depth && !error; i++) {
		uint32_t child = erofs_find(tree, *directory, path->names[i]);

		if (child && is_directory(tree, child)) {
			*directory = child;
		} else if (!child || is_whiteout(tree, child)) {
			if (child)
				erofs_remove(tree, child);
			error = make_parent(x, directory, path->names[i], child != 0);
		} else {
			int symlink = S_ISLNK(erofs_inode(tree, child)->mode);

			error = ck_fail(x->fault, CK_FAULT_REFUSED, symlink ? ELOOP : ENOTDIR, x->reader.entry.path,
					"it lies beneath \"%s\", which is a %s in this layer", path->names[i],
					symlink ? "symbolic link" : "file");
		}
	}
	return error;
}

/* What ext4, where the changes of containers are kept in most cases, can hold. */
static int64_t possible_time(int64_t seconds)
{
	const int64_t first = INT32_MIN, last = 0x37fffffffLL;

	return seconds < first ? first : seconds > last ? last : seconds;
}

/* Owner, mode and time of the entry; a node that a layer puts on a name has them all. */
static void dress(struct layer_extract *x, uint32_t node, unsigned int type)
{
	const struct tar_entry *entry = &x->reader.entry;
	struct erofs_node *made = &x->erofs->nodes[node];

	made->mode = (uint16_t)(type | (type == S_IFLNK ? 0777 : entry->mode));
	made->uid = x->job->keep_owner ? entry->uid : x->uid;
	made->gid = x->job->keep_owner ? entry->gid : x->gid;
	made->seconds = possible_time(entry->mtime.tv_sec);
	made->nanoseconds = (uint32_t)entry->mtime.tv_nsec;
}

static int make_directory(struct layer_extract *x, uint32_t parent, const char *name)
{
	struct erofs_tree *tree = x->erofs;
	uint32_t node = erofs_find(tree, parent, name);
	int error = 0, opaque = 0;

	if (!node || !is_directory(tree, node)) {
		opaque = node && is_whiteout(tree, node);
		if (node)
			erofs_remove(tree, node);
		error = add(x, parent, name, &node);
		if (error)
			return error;
		x->job->inodes++;
		tree->nodes[node].flags = opaque ? EROFS_OPAQUE : 0;
	}
	dress(x, node, S_IFDIR);
	return x->reader.entry.xattr_count ? erofs_take_attributes(x, node) : 0;
}

/* A name for something that is no directory; what had it makes way. */
static int take_name(struct layer_extract *x, uint32_t parent, const char *name, uint32_t *node)
{
	uint32_t there = erofs_find(x->erofs, parent, name);

	if (there)
		erofs_remove(x->erofs, there);
	return add(x, parent, name, node);
}

/* Beyond its end a file reads as zeros: bytes of the archive there would be seen by who maps it. */
static int skip_content(struct layer_extract *x)
{
	static const unsigned char zeros[TAR_BLOCK];
	unsigned char padding[TAR_BLOCK];
	struct tar_reader *reader = &x->reader;
	int error = ck_stream_read(&x->stream, NULL, reader->payload_left);

	if (!error)
		error = ck_stream_read(&x->stream, padding, reader->padding);
	if (!error && memcmp(padding, zeros, reader->padding) != 0)
		error = EROFS_UNFIT;
	reader->payload_left = reader->padding = 0;
	return error;
}

static int make_file(struct layer_extract *x, uint32_t node)
{
	const struct tar_entry *entry = &x->reader.entry;
	uint64_t position = x->stream.total - x->stream.left;
	int sparse = entry->stored != entry->size || entry->extent_count > 1;

	/* Files with holes are rare, and their regions need not begin at a block. */
	if (sparse || position % TAR_BLOCK || position / TAR_BLOCK > INT32_MAX)
		return EROFS_UNFIT;
	x->erofs->nodes[node].first = (uint32_t)(position / TAR_BLOCK);
	x->erofs->nodes[node].size = entry->size;
	x->job->files_size += entry->size;
	int error = skip_content(x);

	return error || !entry->xattr_count ? error : erofs_take_attributes(x, node);
}

static int make_symlink(struct layer_extract *x, uint32_t node)
{
	struct erofs_node *made = &x->erofs->nodes[node];
	const char *link = x->reader.entry.link;
	uint32_t at;

	made->size = strlen(link);
	if (!made->size)
		return ck_fail(x->fault, CK_FAULT_CORRUPT, EBADMSG, x->reader.entry.path, "it is a symbolic link to nothing");
	int error = erofs_keep_text(x->erofs, link, made->size, &at);

	if (error < 0)
		return ck_fail(x->fault, CK_FAULT_KERNEL, -error, NULL, "no memory for the layer");
	x->erofs->nodes[node].first = error ? 0 : at;
	return error;
}

static int make_node(struct layer_extract *x, uint32_t node)
{
	const struct tar_entry *entry = &x->reader.entry;
	uint32_t major = entry->major, minor = entry->minor;

	if (entry->type == TAR_FIFO)
		return 0;
	if (entry->type == TAR_CHAR && !major && !minor)
		return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, entry->path,
			       "it is a character device 0:0, which overlay reads as a whiteout");
	x->erofs->nodes[node].first = (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
	return 0;
}

static int refuse_link(struct layer_extract *x, int error, const char *why)
{
	return ck_fail(x->fault, CK_FAULT_REFUSED, error, x->reader.entry.path, "%s", why);
}

/* The node of a hard link's target; no link on the way is followed. */
static int find_target(struct layer_extract *x, uint32_t *target)
{
	struct erofs_tree *tree = x->erofs;
	int error = layer_path_cut(x, &x->target, x->target_text, x->reader.entry.link, x->reader.entry.path);

	*target = EROFS_ROOT;
	for (size_t i = 0; i < x->target.depth && !error; i++) {
		uint32_t child = is_directory(tree, *target) ? erofs_find(tree, *target, x->target.names[i]) : 0;

		if (!child)
			return refuse_link(x, ENOENT, "the target of this hard link is not in the layer, or behind a symbolic link");
		*target = child;
	}
	if (!error && (is_directory(tree, *target) || is_whiteout(tree, *target)))
		error = refuse_link(x, EINVAL, "the target of this hard link is no file");
	return error;
}

/* Whether `node` is `above` or lies in it. */
static int lies_in(const struct erofs_tree *tree, uint32_t node, uint32_t above)
{
	while (node != above && node != EROFS_ROOT)
		node = tree->nodes[node].parent;
	return node == above;
}

static int make_hardlink(struct layer_extract *x, uint32_t parent, const char *name)
{
	struct erofs_tree *tree = x->erofs;
	uint32_t there = erofs_find(tree, parent, name), target, node;
	int error = find_target(x, &target);

	if (error)
		return error;
	if (there && erofs_inode(tree, there) == erofs_inode(tree, target))
		return 0; /* a link to itself, or written twice */
	if (there && lies_in(tree, target, there))
		return refuse_link(x, ENOENT, "it would replace its own target");
	uint32_t inode = (uint32_t)(erofs_inode(tree, target) - tree->nodes);

	error = take_name(x, parent, name, &node);
	if (!error) {
		tree->nodes[node].flags = EROFS_LINK;
		tree->nodes[node].first = inode;
	}
	return error;
}

static int make_other(struct layer_extract *x, uint32_t parent, const char *name)
{
	enum tar_type type = x->reader.entry.type;
	uint32_t node;
	int error;

	if (type == TAR_HARDLINK)
		return make_hardlink(x, parent, name);
	error = take_name(x, parent, name, &node);
	if (error)
		return error;
	x->job->inodes++;
	dress(x, node, type == TAR_FILE ? S_IFREG : type == TAR_SYMLINK ? S_IFLNK : type == TAR_FIFO ? S_IFIFO
					     : type == TAR_CHAR		    ? S_IFCHR
									    : S_IFBLK);
	if (type == TAR_FILE)
		return make_file(x, node);
	x->job->dropped_xattrs += x->reader.entry.xattr_count;
	return type == TAR_SYMLINK ? make_symlink(x, node) : make_node(x, node);
}

/* A whiteout, or the mark of a directory that hides all below. */
static int hide(struct layer_extract *x, int marker, const char *name)
{
	struct erofs_tree *tree = x->erofs;
	uint32_t directory, node;
	int error = enter(x, &x->path, x->path.depth - 1, &directory);

	if (error && x->fault->kind == CK_FAULT_REFUSED && x->fault->error == ENOTDIR) {
		memset(x->fault, 0, sizeof(*x->fault)); /* see layer_whiteout */
		return 0;
	}
	if (error)
		return error;
	node = marker == LAYER_MARKER_OPAQUE ? directory : erofs_find(tree, directory, name);
	if (marker == LAYER_MARKER_OPAQUE || (node && is_directory(tree, node)))
		tree->nodes[node].flags |= EROFS_OPAQUE;
	if (marker == LAYER_MARKER_OPAQUE || node)
		return 0;
	error = add(x, directory, name, &node);
	if (!error) {
		tree->nodes[node].mode = S_IFCHR;
		x->job->inodes++;
	}
	return error;
}

static int apply_to_root(struct layer_extract *x)
{
	if (x->reader.entry.type != TAR_DIRECTORY)
		return ck_fail(x->fault, CK_FAULT_REFUSED, EINVAL, "/", "it would replace the root of the layer");
	dress(x, EROFS_ROOT, S_IFDIR);
	return x->reader.entry.xattr_count ? erofs_take_attributes(x, EROFS_ROOT) : 0;
}

int erofs_apply(struct layer_extract *x)
{
	const char *name;
	uint32_t parent;
	int error = layer_begin(x), marker;

	if (error)
		return error;
	if (!x->path.depth)
		return apply_to_root(x);
	name = x->path.names[x->path.depth - 1];
	marker = layer_marker(x, &name);
	if (marker < 0)
		return marker;
	if (marker == LAYER_MARKER_IGNORED)
		return 0;
	if (marker != LAYER_MARKER_NONE)
		return hide(x, marker, name);
	error = enter(x, &x->path, x->path.depth - 1, &parent);
	if (error)
		return error;
	return x->reader.entry.type == TAR_DIRECTORY ? make_directory(x, parent, name) : make_other(x, parent, name);
}
