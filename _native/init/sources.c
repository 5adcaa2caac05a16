/* Sources of mounts that are more than a path: a part of a tree, a file system that the host mounts. */
#include "init.h"

/* Whoever writes in a tree may exchange any component of the path at any moment. */
#define RACE_TRIES 4096

/* The kernel looks the path up in one step: its links are followed, and none of them leaves the tree. */
static long open_part(long tree, const char *part)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	long fd = -EAGAIN;

	for (int tries = 0; tries < RACE_TRIES && (fd == -EAGAIN || fd == -EINTR); tries++)
		fd = sys(openat2, tree, part, &how, sizeof how);
	return fd;
}

static long clone_part(long tree, const char *part, unsigned flags)
{
	long place = open_part(tree, part), result;

	if (place < 0)
		return place;
	result = sys(open_tree, place, "", flags | AT_EMPTY_PATH);
	sys(close, place);
	return result;
}

/* slot: what is mounted already, with TREE_OF_SLOT; texts: host path, and the part of it */
long open_part_of_tree(const struct plan_step *step, unsigned flags)
{
	long tree, result;

	if (step->a & TREE_OF_SLOT)
		tree = init.slot[step->slot];
	else
		tree = sys(openat, AT_FDCWD, init.about = plan_text(step, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree < 0)
		return tree;
	init.about = plan_text(step, 1);
	result = clone_part(tree, init.about, flags);
	sys(close, tree);
	return result;
}

/* a: MOUNT_ATTR_*; texts: type, source, "", options...; made while it is the host that mounts */
long op_open_file_system(const struct plan_step *step)
{
	long fd;

	init.about = plan_text(step, 1);
	fd = make_file_system(step, plan_text(step, 0));
	if (fd >= 0)
		init.slot[step->slot] = fd;
	return fd;
}
