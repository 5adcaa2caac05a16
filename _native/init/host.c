/* Steps taken while the host's file system is in view: what the container needs of it becomes descriptors. */
#include "init.h"

#define PROC_SUPER_MAGIC 0x9fa0

/* "0" means the writing task itself: a single-threaded task that moves itself by `tasks` takes no global lock,
 * where a move by another process, or of a whole process, may wait milliseconds for a grace period. */
long op_join_cgroup(const struct plan_step *step)
{
	init.about = plan_text(step, 0);
	return write_file(AT_FDCWD, init.about, "0");
}

static long overlay_flag(long context, const char *name)
{
	return sys(fsconfig, context, FSCONFIG_SET_FLAG, name, NULL, 0);
}

/* A directory as a user namespace's maps show it: a detached copy of its mount, which stays open until the
 * program starts, because overlay takes over only what is still mounted somewhere. */
static long open_mapped(const char *path, int user_namespace)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = user_namespace };
	long tree = clone_layer(path), result;

	if (tree < 0)
		return tree;
	result = sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr);
	return result < 0 ? result : sys(openat, tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A directory by descriptor (Linux 6.13), so that no path is longer than the 255 bytes of an option. */
static long overlay_directory(long context, const char *option, long fd)
{
	long result = fd < 0 ? fd : sys(fsconfig, context, FSCONFIG_SET_FD, option, NULL, fd);

	if (fd >= 0)
		sys(close, fd);
	return result;
}

static long overlay_lower(long context, const struct plan_step *step, int text)
{
	const char *path = init.about = plan_text(step, text);

	if (step->b)
		return overlay_directory(context, "lowerdir+",
					 open_mapped(path, init.slot[(step->b - 1) % PLAN_SLOTS]));
	return overlay_directory(context, "lowerdir+", open_layer(path, O_RDONLY));
}

/* The changes are kept with the ids of the host, as the container's processes have them there.  The root
 * directory itself gets the owner that it has in the uppermost layer. */
static long overlay_upper(long context, const struct plan_step *step)
{
	const char *path = init.about = plan_text(step, 0);
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (step->b && fd >= 0) {
		struct statx lower = { 0 };
		long mapped = open_mapped(plan_text(step, 2), init.slot[(step->b - 1) % PLAN_SLOTS]);
		sys(statx, mapped, "", AT_EMPTY_PATH, STATX_UID | STATX_GID, &lower);
		sys(fchown, fd, lower.stx_uid, lower.stx_gid);
		sys(close, mapped);
	}
	return overlay_directory(context, "upperdir", fd);
}

static long overlay_by_descriptors(long context, const struct plan_step *step, uint32_t texts)
{
	long result = 0;

	for (uint32_t i = 2; i < texts && result >= 0; i++)
		result = overlay_lower(context, step, i);
	if (result >= 0 && *plan_text(step, 0))
		result = overlay_upper(context, step);
	if (result >= 0 && *plan_text(step, 0)) {
		init.about = plan_text(step, 1);
		result = overlay_directory(context, "workdir",
					   sys(openat, AT_FDCWD, init.about, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	}
	return result;
}

static long overlay_number(char **at, const char *end, const char *path)
{
	long fd = open_layer(path, O_PATH);

	init.about = path;
	if (fd >= 0)
		*at = ck_append_number(*at, end, fd);
	return fd;
}

/* Older kernels: names relative to /proc/self/fd are short enough for any number of layers that they take.
 * The descriptors stay open until the program starts. */
static long overlay_by_numbers(long context, const struct plan_step *step, uint32_t texts)
{
	static const char *const option[] = { "upperdir", "workdir" };
	char names[256], *at = names, *end = names + sizeof names;
	long result = sys(chdir, "/proc/self/fd");

	for (uint32_t i = 2; i < texts && result >= 0; i++) {
		if (i > 2)
			at = ck_append(at, end, ":");
		result = overlay_number(&at, end, plan_text(step, i));
	}
	if (result >= 0)
		result = sys(fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", names, 0);
	for (int i = 0; i < 2 && result >= 0 && *plan_text(step, 0); i++) {
		at = names;
		result = overlay_number(&at, end, plan_text(step, i));
		if (result >= 0)
			result = sys(fsconfig, context, FSCONFIG_SET_STRING, option[i], names, 0);
	}
	return result;
}

/* A mount that does not sync leaves a mark in its work directory, and then the kernel refuses the next one: rightly
 * after a loss of power, which no such root is used after. */
static long overlay_volatile(long context, const char *work)
{
	long folder = sys(openat, AT_FDCWD, work, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (folder >= 0 && sys(unlinkat, folder, "work/incompat/volatile/dirty", 0) >= 0)
		sys(unlinkat, folder, "work/incompat/volatile", AT_REMOVEDIR);
	if (folder >= 0)
		sys(close, folder);
	return overlay_flag(context, "volatile");
}

static long overlay_configure(long context, const struct plan_step *step, uint32_t texts)
{
	long result = overlay_by_descriptors(context, step, texts);

	/* What kernels say of a descriptor there: before 6.5, before 6.13, and in between. */
	if ((result == -EOPNOTSUPP || result == -EINVAL || result == -EBADF) && !step->b)
		result = overlay_by_numbers(context, step, texts);
	/* A build without the feature has nothing to switch off. */
	sys(fsconfig, context, FSCONFIG_SET_STRING, "index", "off", 0);
	sys(fsconfig, context, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0);
	sys(fsconfig, context, FSCONFIG_SET_STRING, "metacopy", "off", 0);
	if (result >= 0 && step->a & OVERLAY_VOLATILE)
		result = overlay_volatile(context, plan_text(step, 1));
	if (result >= 0 && step->a & OVERLAY_USERXATTR)
		result = overlay_flag(context, "userxattr");
	return result;
}

long op_overlay(const struct plan_step *step)
{
	long context = sys(fsopen, "overlay", FSOPEN_CLOEXEC);
	long result;

	init.about = "overlay";
	if (context < 0)
		return context;
	sys(fsconfig, context, FSCONFIG_SET_STRING, "source", "overlay", 0);
	result = overlay_configure(context, step, plan_text_count(step));
	if (result >= 0) {
		init.about = plan_text(step, 0);
		result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	}
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC, 0);
	sys(close, context);
	if (result >= 0)
		init.slot[step->slot] = result;
	return result;
}

/* A copy of the mount that holds the path, not attached anywhere. */
long op_open_tree(const struct plan_step *step)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	long fd;

	init.about = plan_text(step, 0);
	if (step->a & TREE_RECURSIVE)
		flags |= AT_RECURSIVE;
	if (step->a & TREE_NO_FOLLOW)
		flags |= AT_SYMLINK_NOFOLLOW;
	if (*plan_text(step, 1))
		fd = open_part_of_tree(step, flags);
	else
		fd = sys(open_tree, AT_FDCWD, init.about, flags);
	if (fd >= 0)
		init.slot[step->slot] = fd;
	return fd;
}

long op_open_namespace(const struct plan_step *step)
{
	long fd = sys(openat, AT_FDCWD, init.about = plan_text(step, 0), O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		init.slot[step->slot] = fd;
	return fd;
}

/* Show the ids of a tree shifted by a user namespace's maps. */
long op_id_map_tree(const struct plan_step *step)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = init.slot[step->a % PLAN_SLOTS] };

	init.about = "id-mapped mount";
	return sys(mount_setattr, init.slot[step->slot], "", AT_EMPTY_PATH | (step->b ? AT_RECURSIVE : 0), &attr,
		   sizeof attr);
}

/* The score is inherited by all that follows.  Lowering it needs a right that the caller may lack; then the
 * caller's own score stays, which only makes the container a likelier victim. */
long op_oom_score(const struct plan_step *step)
{
	char text[24], *end = text + sizeof text, *at = text;
	struct { unsigned long type, rest[15]; } fs = { 0 };
	long value = (long)step->a - 1000, result;
	long fd = sys(openat, AT_FDCWD, init.about = "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd == -EACCES) {
		/* The files of a process that nobody may look into belong to root. */
		sys(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
		fd = sys(openat, AT_FDCWD, init.about, O_WRONLY | O_CLOEXEC);
		sys(prctl, 4, 0, 0, 0, 0);
	}
	if (fd < 0)
		return fd;
	result = sys(fstatfs, fd, &fs);
	if (result >= 0 && fs.type != PROC_SUPER_MAGIC)
		result = -EPERM;
	if (value < 0)
		at = ck_append(at, end, "-");
	ck_append_number(at, end, value < 0 ? -value : value);
	if (result >= 0)
		result = sys(write, fd, text, ck_strlen(text));
	sys(close, fd);
	return result == -EACCES ? 0 : result < 0 ? result : 0;
}
