/* Nodes below /dev, and the terminal. */
#include "init.h"

#define DEVPTS_SUPER_MAGIC 0x1cd1
#define TIOCSPTLCK 0x40045431
#define TIOCGPTPEER 0x5441
#define TIOCSWINSZ 0x5414
#define O_NOCTTY_RDWR (O_RDWR | O_NOCTTY)

/* 1 if what is there is the very device that was wanted: whatever else it is, it may be a file of the host. */
static long same_device(long parent, const char *name, const struct plan_step *step)
{
	struct statx found;
	long result = sys(statx, parent, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, &found);
	uint64_t number;

	if (result < 0)
		return result;
	number = (found.stx_rdev_minor & 0xff) | found.stx_rdev_major << 8 | (found.stx_rdev_minor & ~0xffU) << 12;
	return (found.stx_mode & S_IFMT) == (step->a & S_IFMT) && number == step->b ? 1 : -EEXIST;
}

/* Where nodes cannot be made (in a user namespace) the host's node is mounted in their place. */
static long bind_device(const char *path, const struct plan_step *step)
{
	long source = sys(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), target, result;

	if (source < 0)
		return source;
	result = same_device(source, "", step);
	if (result >= 0)
		result = protect_host_node(source);
	if (result >= 0)
		result = root_make_file(path);
	target = result < 0 ? result : root_open(path, O_PATH | O_NOFOLLOW);
	result = target;
	if (target >= 0) {
		result = sys(move_mount, source, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
		sys(close, target);
	}
	sys(close, source);
	return result;
}

static long make_device(const struct plan_step *step, const char *path, const uint32_t *owner)
{
	const char *name;
	long parent = root_parent(path, &name), result;

	if (parent == -ENOENT) {
		result = root_make_file(path);
		if (result < 0)
			return result;
		parent = root_parent(path, &name);
		if (parent >= 0)
			sys(unlinkat, parent, name, 0); /* it was made for the sake of its directories */
	}
	if (parent < 0)
		return parent;
	result = sys(mknodat, parent, name, step->a, step->b);
	if (result == -EEXIST)
		result = same_device(parent, name, step);
	if (result == 0 && (owner[0] || owner[1]))
		result = sys(fchownat, parent, name, owner[0], owner[1], AT_SYMLINK_NOFOLLOW);
	sys(close, parent);
	return result;
}

/* payload: uid, gid, then the path; slot 1: do not even try to make it */
long op_device(const struct plan_step *step)
{
	const char *path = step->payload + 8;
	long result = -EPERM;

	init.about = path;
	if (step->slot == 0)
		result = make_device(step, path, (const uint32_t *)step->payload);
	return result == -EPERM ? bind_device(path, step) : result;
}

long op_symlink(const struct plan_step *step)
{
	const char *name, *path = init.about = plan_text(step, 1);
	long parent = root_parent(path, &name), result;

	if (parent < 0)
		return parent;
	result = sys(symlinkat, plan_text(step, 0), parent, name);
	sys(close, parent);
	return result == -EEXIST ? 0 : result;
}

long op_make_directory(const struct plan_step *step)
{
	long fd = root_open(init.about = plan_text(step, 0), O_PATH | O_DIRECTORY);

	if (fd < 0)
		return fd == -ENOENT ? root_make_directory(init.about, step->a) : fd;
	sys(close, fd);
	return 0;
}

/* The multiplexer of the container's own devpts, and nothing else of that name. */
static long open_multiplexer(void)
{
	struct { unsigned long type, rest[15]; } fs = { 0 };
	long fd = init.root_fd < 0 ? sys(openat, AT_FDCWD, "/dev/pts/ptmx", O_NOCTTY_RDWR | O_CLOEXEC)
				   : root_open("dev/pts/ptmx", O_NOCTTY_RDWR);

	if (fd < 0)
		return fd;
	if (sys(fstatfs, fd, &fs) < 0 || fs.type != DEVPTS_SUPER_MAGIC) {
		sys(close, fd);
		return -ENODEV;
	}
	return fd;
}

static long bind_console(long terminal)
{
	long tree, target, result = root_make_file("dev/console");

	if (result < 0)
		return result;
	target = root_open("dev/console", O_PATH | O_NOFOLLOW);
	if (target < 0)
		return target;
	tree = result = sys(open_tree, terminal, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree >= 0) {
		result = sys(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
		sys(close, tree);
	}
	sys(close, target);
	return result;
}

/* The peer comes from the master by ioctl: no path of the container is opened for it. */
static long open_terminal(long master, const struct plan_step *step)
{
	unsigned short size[4] = { step->a >> 16, step->a & 0xffff, 0, 0 };
	int unlocked = 0;
	long terminal, result = sys(ioctl, master, TIOCSPTLCK, &unlocked);

	if (result < 0)
		return result;
	terminal = sys(ioctl, master, TIOCGPTPEER, O_NOCTTY_RDWR | O_CLOEXEC);
	if (terminal < 0)
		return terminal;
	if (size[0] || size[1])
		sys(ioctl, master, TIOCSWINSZ, size);
	sys(fchown, terminal, (uint32_t)step->b, -1);
	return terminal;
}

long op_console(const struct plan_step *step)
{
	long master, terminal, result;

	init.about = "/dev/pts/ptmx";
	master = open_multiplexer();
	if (master < 0)
		return master;
	terminal = result = open_terminal(master, step);
	if (terminal >= 0 && step->slot & CONSOLE_BIND)
		result = bind_console(terminal);
	for (int i = 0; i < 3 && result >= 0; i++)
		result = sys(dup3, terminal, i, 0);
	if (result >= 0)
		status_send(STATUS_TERMINAL, 0, master);
	if (terminal >= 0)
		sys(close, terminal);
	sys(close, master);
	return result;
}
