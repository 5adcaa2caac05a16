/* The container's mounts: each is made detached, its target resolved in the root, and attached by descriptor. */
#include "init.h"

static long attach(long tree, long target)
{
	return sys(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static long set_propagation(long fd, uint64_t propagation, unsigned flags)
{
	struct mount_attr attr = { .propagation = propagation };

	return propagation ? sys(mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof attr) : 0;
}

/* Copies of the host's mounts must neither receive nor send mounts. */
long op_propagation(const struct plan_step *step)
{
	init.about = "/";
	return sys(mount, NULL, "/", NULL, step->a, NULL);
}

/* Mounted over the host's root, which stays visible to us (a lookup begins below what covers "/") until the
 * root is pivoted: no directory of the host is needed as a mount point. */
long op_attach_root(const struct plan_step *step)
{
	long tree = init.slot[step->slot], result;

	init.about = "root file system";
	result = set_propagation(tree, 1 << 18 /* MS_PRIVATE */, AT_RECURSIVE);
	if (result >= 0)
		result = sys(move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
	if (result >= 0)
		init.root_fd = tree;
	return result;
}

static long open_target(const char *path, long directory)
{
	long fd = root_open(path, O_PATH);

	if (fd != -ENOENT)
		return fd;
	fd = directory ? root_make_directory(path, 0755) : root_make_file(path);
	return fd < 0 ? fd : root_open(path, O_PATH);
}

/* For the file systems in which paths are masked, and nodes made, later by their names: behind a link, a mount that
 * comes in between could change where those names lead, and procfs stay unmasked under another name. */
static int is_system(const char *type, const char *path)
{
	return ck_streq(type, "proc") || ck_streq(type, "sysfs") || ck_streq(path, "/proc") ||
	       ck_streq(path, "/sys") || ck_streq(path, "/dev");
}

static long open_system_target(const char *path)
{
	long fd = root_open_no_links(path, O_PATH | O_DIRECTORY);

	if (fd != -ENOENT)
		return fd;
	fd = root_make_directory(path, 0755);
	return fd < 0 ? fd : root_open_no_links(path, O_PATH | O_DIRECTORY);
}

static long configure_option(long context, const char *option)
{
	char key[256];
	size_t i = 0;

	while (option[i] && option[i] != '=' && i + 1 < sizeof key) {
		key[i] = option[i];
		i++;
	}
	key[i] = 0;
	if (option[i] == '=')
		return sys(fsconfig, context, FSCONFIG_SET_STRING, key, option + i + 1, 0);
	return sys(fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0);
}

long make_file_system(const struct plan_step *step, const char *type)
{
	uint32_t count = plan_text_count(step);
	long context = sys(fsopen, type, FSOPEN_CLOEXEC), result;

	if (context < 0)
		return context;
	result = sys(fsconfig, context, FSCONFIG_SET_STRING, "source", plan_text(step, 1), 0);
	for (uint32_t i = 3; i < count && result >= 0; i++)
		result = configure_option(context, plan_text(step, i));
	if (result >= 0)
		result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC, step->a);
	sys(close, context);
	return result;
}

/* Copy into the mount what the image has at the target, which is not covered yet. */
static long fill(long tree, const char *path)
{
	long from = root_open(path, O_RDONLY | O_DIRECTORY), to, result;

	if (from < 0)
		return from;
	to = sys(openat, tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = to < 0 ? to : copy_up(from, to, 0);
	if (to >= 0)
		sys(close, to);
	sys(close, from);
	return result;
}

/* texts: type, source, target, options */
long op_mount(const struct plan_step *step)
{
	const char *type = plan_text(step, 0);
	long tree, target, result;

	init.about = plan_text(step, 2);
	if (is_system(type, init.about))
		target = open_system_target(init.about);
	else
		target = open_target(init.about, 1);
	if (target < 0)
		return target;
	tree = result = make_file_system(step, type);
	if (tree >= 0) {
		result = set_propagation(tree, step->b & 0xffffffff, 0);
		if (result >= 0 && step->b & MOUNT_COPY_UP)
			result = fill(tree, init.about);
		if (result >= 0)
			result = attach(tree, target);
		if (ck_streq(type, "proc") && init.proc_fd < 0)
			init.proc_fd = tree;
		else
			sys(close, tree);
	}
	sys(close, target);
	return result;
}

/* A tree from the host. */
long op_mount_tree(const struct plan_step *step)
{
	long tree = init.slot[step->slot], directory = is_directory(tree), target, result;
	struct mount_attr attr = { .attr_set = step->a };

	init.about = plan_text(step, 0);
	if (directory < 0)
		return directory;
	/* To set any access-time rule, the kernel wants all of them cleared in the same call. */
	if (step->a & (MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME))
		attr.attr_clr = MOUNT_ATTR__ATIME;
	result = set_propagation(tree, step->b & 0xffffffff, step->b & TREE_PROPAGATE_BELOW ? AT_RECURSIVE : 0);
	if (result >= 0 && step->a)
		result = sys(mount_setattr, tree, "",
			     AT_EMPTY_PATH | (step->b & TREE_ATTRIBUTES_BELOW ? AT_RECURSIVE : 0), &attr, sizeof attr);
	if (result < 0)
		return result;
	if (directory && is_system("", init.about))
		target = open_system_target(init.about);
	else
		target = open_target(init.about, directory);
	if (target < 0)
		return target;
	result = attach(tree, target);
	sys(close, target);
	return result;
}

/* A mount of one node of the host's /dev.  Read-only, which hinders no use of the device, but keeps root of the
 * container from changing the owner and the mode that the node has for everybody. */
long protect_host_node(long tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
				   .propagation = 1 << 18 /* MS_PRIVATE */ };

	return sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr);
}

/* Change a mount that is there; b: propagation, and in its high half what to clear.  With a slot number other
 * than 0, the mounts below too. */
long op_set_attributes(const struct plan_step *step)
{
	struct mount_attr attr = { .attr_set = step->a, .attr_clr = step->b >> 32,
				   .propagation = step->b & 0xffffffff };
	long fd = root_open(init.about = plan_text(step, 0), O_PATH), result;

	if (fd < 0)
		return fd;
	result = sys(mount_setattr, fd, "", AT_EMPTY_PATH | (step->slot ? AT_RECURSIVE : 0), &attr, sizeof attr);
	sys(close, fd);
	return result;
}

/* The host's /dev/null, and certainly that: what masks a file must not be a file of the image. */
static long open_null(void)
{
	struct statx found;
	long fd = sys(openat, AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC), result;

	if (fd < 0)
		return fd;
	result = sys(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found);
	if (result < 0)
		return result;
	if ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != 1 || found.stx_rdev_minor != 3)
		return -ENODEV;
	return fd;
}

static long make_empty_directory(void)
{
	long context = sys(fsopen, "tmpfs", FSOPEN_CLOEXEC), result;

	if (context < 0)
		return context;
	sys(fsconfig, context, FSCONFIG_SET_STRING, "mode", "555", 0);
	sys(fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
	result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC,
			     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	sys(close, context);
	return result;
}

static long clone_tree(long fd)
{
	return sys(open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* The first masked directory gets a new empty file system, the others copies of its mount. */
static long cover_directory(long target)
{
	long tree = init.mask_dir_fd < 0 ? make_empty_directory() : clone_tree(init.mask_dir_fd);
	long result = tree < 0 ? tree : attach(tree, target);

	if (result >= 0 && init.mask_dir_fd < 0)
		init.mask_dir_fd = tree;
	else if (tree >= 0)
		sys(close, tree);
	return result;
}

static long cover_file(long target)
{
	long tree, result;

	if (init.null_fd < 0)
		init.null_fd = open_null();
	tree = init.null_fd < 0 ? init.null_fd : clone_tree(init.null_fd);
	if (tree < 0)
		return tree;
	result = protect_host_node(tree);
	if (result >= 0)
		result = attach(tree, target);
	sys(close, tree);
	return result;
}

enum { PROC_TRIES = 256 };

/* What follows "/proc/" in a path, or NULL. */
static const char *below_proc(const char *path)
{
	const char *prefix = "/proc/";

	while (*prefix)
		if (*path++ != *prefix++)
			return NULL;
	return *path ? path : NULL;
}

/* An entry of our own procfs by its descriptor: a process that shares the root may have given the directory that it
 * is mounted on another name meanwhile, and it must not stay unmasked there. */
static long open_in_proc(const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	long fd = -EAGAIN;

	for (int tries = 0; tries < PROC_TRIES && (fd == -EAGAIN || fd == -EINTR); tries++)
		fd = sys(openat2, init.proc_fd, below_proc(path), &how, sizeof how);
	return fd;
}

/* Whether /proc is something else by now than the procfs that we keep a descriptor of. */
static int proc_is_another(void)
{
	struct statx ours, found;
	long fd = root_open("/proc", O_PATH), result;

	if (fd < 0)
		return 1;
	result = sys(statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &found);
	if (result >= 0)
		result = sys(statx, init.proc_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &ours);
	sys(close, fd);
	return result < 0 || ours.stx_mnt_id != found.stx_mnt_id;
}

/* Act on a path of the root, which is found in our procfs by descriptor, and there only if that is where it leads. */
static long for_entry(const char *path, int by_name_too, long (*act)(long target))
{
	int in_proc = init.proc_fd >= 0 && below_proc(path);
	long target = in_proc ? open_in_proc(path) : root_open(path, O_PATH), result;

	if (target == -ENOENT || target == -ENOTDIR)
		result = 0;
	else
		result = target < 0 ? target : act(target);
	if (target >= 0)
		sys(close, target);
	if (result < 0 || !in_proc || !by_name_too)
		return result;
	target = root_open(path, O_PATH);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	result = target < 0 ? target : act(target);
	if (target >= 0)
		sys(close, target);
	return result;
}

static long for_entries(const struct plan_step *step, long (*act)(long target))
{
	uint32_t count = plan_text_count(step);
	int by_name_too = init.proc_fd >= 0 && proc_is_another();
	long result = 0;

	for (uint32_t i = 0; i < count && result >= 0; i++)
		result = for_entry(init.about = plan_text(step, i), by_name_too, act);
	return result;
}

static long mask_one(long target)
{
	long directory = is_directory(target);

	return directory < 0 ? directory : directory ? cover_directory(target) : cover_file(target);
}

long op_mask(const struct plan_step *step)
{
	return for_entries(step, mask_one);
}

static long read_only_one(long target)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	long result, tree = sys(open_tree, target, "",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

	if (tree < 0)
		return tree;
	result = sys(mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr);
	if (result >= 0)
		result = attach(tree, target);
	sys(close, tree);
	return result;
}

long op_read_only(const struct plan_step *step)
{
	return for_entries(step, read_only_one);
}

long op_root_read_only(const struct plan_step *step)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	(void)step;
	init.about = "/";
	return sys(mount_setattr, init.root_fd, "", AT_EMPTY_PATH, &attr, sizeof attr);
}

/* What was opened of the host to build the root has served.  A program, a script or a working directory of the image
 * may be called /proc/self/fd/N/../..: with what is left, the launcher's own and our root, that leads nowhere. */
static long close_host(void)
{
	int first = init.own_fds;
	long result = 0;

	if (init.root_fd > first)
		result = sys(close_range, first, init.root_fd - 1, 0);
	if (init.root_fd >= first)
		first = init.root_fd + 1;
	if (result >= 0)
		result = sys(close_range, first, ~0U, 0);
	init.proc_fd = init.null_fd = init.mask_dir_fd = init.mask_file_fd = -1;
	return result;
}

/* pivot_root(".", ".") puts the host's root on top of ours, from where it is unmounted with all below it. */
long op_pivot(const struct plan_step *step)
{
	long result = sys(fchdir, init.root_fd);

	(void)step;
	init.about = "root file system";
	if (result >= 0)
		result = sys(pivot_root, ".", ".");
	if (result >= 0)
		result = sys(umount2, ".", 2 /* MNT_DETACH */);
	if (result >= 0)
		result = sys(chdir, "/");
	return result < 0 ? result : close_host();
}
