/* A file system in a file, mounted nowhere yet: what keeps a volume to its size.
 *
 * The loop device between the two clears itself with the last mount, so nothing stays of it whatever ends the
 * container.  Two devices on one file would be two file systems that do not know of each other: who mounts looks for
 * the device that is there already, and a lock keeps others from doing so at the same moment.
 *
 * Done by who starts a container: inside, the device cgroup stands between it and the loop devices.  For the monitor
 * and for the extension, so without a C library. */
#ifndef CKIT_DISK_H
#define CKIT_DISK_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "sys.h"

#ifndef LOOP_CONFIGURE
#error "the kernel headers are older than Linux 5.8: install newer ones"
#endif
#define DISK_LOCK_ALONE 2 /* LOCK_EX */

enum { DISK_MOST_LOOPS = 4096, DISK_WIDEST_GAP = 256, DISK_TRIES = 64, DISK_HERE = -100 };

static long disk_open_loop(unsigned long number, int access)
{
	char path[40], *end = path + sizeof path;

	ck_append_number(ck_append(path, end, "/dev/loop"), end, number);
	return sys(openat, DISK_HERE, path, access | O_CLOEXEC, 0);
}

/* As the kernel writes a device number in struct loop_info64. */
static uint64_t disk_device(const struct statx *file)
{
	uint64_t major = file->stx_dev_major, minor = file->stx_dev_minor;

	return (minor & 0xff) | major << 8 | (minor & ~0xffULL) << 12;
}

static int disk_is_behind(long loop, const struct statx *file)
{
	struct loop_info64 info = { 0 };

	if (sys(ioctl, loop, LOOP_GET_STATUS64, &info) < 0)
		return 0; /* it is free */
	return info.lo_inode == file->stx_ino && info.lo_device == disk_device(file);
}

/* The open loop device that shows the file already, its number in *number; or -ENOENT. */
static long disk_find_loop(const struct statx *file, unsigned long *number)
{
	int gap = 0; /* devices can be taken away one by one */

	for (*number = 0; *number < DISK_MOST_LOOPS && gap < DISK_WIDEST_GAP; ++*number) {
		long loop = disk_open_loop(*number, O_RDONLY);

		gap = loop == -ENOENT ? gap + 1 : 0;
		if (loop >= 0 && disk_is_behind(loop, file))
			return loop;
		if (loop >= 0)
			sys(close, loop);
	}
	return -ENOENT;
}

/* A new loop device for the file; another process may take the free one that the kernel named. */
static long disk_make_loop(long file, unsigned long *number)
{
	struct loop_config config = { .fd = file, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	long control = sys(openat, DISK_HERE, "/dev/loop-control", O_RDWR | O_CLOEXEC, 0), result = control;

	for (int tries = 0; tries < DISK_TRIES && control >= 0; tries++) {
		long loop;

		result = sys(ioctl, control, LOOP_CTL_GET_FREE);
		if (result < 0)
			break;
		*number = result;
		loop = result = disk_open_loop(*number, O_RDWR);
		if (loop < 0)
			break;
		result = sys(ioctl, loop, LOOP_CONFIGURE, &config);
		if (result >= 0) {
			result = loop;
			break;
		}
		sys(close, loop);
		if (result != -EBUSY)
			break;
	}
	if (control >= 0)
		sys(close, control);
	return result;
}

static long disk_mount_loop(unsigned long number)
{
	char path[40], *end = path + sizeof path;
	long context = sys(fsopen, "ext4", FSOPEN_CLOEXEC), result;

	if (context < 0)
		return context;
	ck_append_number(ck_append(path, end, "/dev/loop"), end, number);
	result = sys(fsconfig, context, FSCONFIG_SET_STRING, "source", path, 0);
	if (result >= 0)
		result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	sys(close, context);
	return result;
}

static long disk_mount_locked(const char *path)
{
	long file = sys(openat, DISK_HERE, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0), loop, result;
	struct statx status;
	unsigned long number = 0;

	if (file < 0)
		return file;
	result = sys(statx, file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status);
	loop = result < 0 ? result : disk_find_loop(&status, &number);
	if (loop == -ENOENT)
		loop = disk_make_loop(file, &number);
	result = loop < 0 ? loop : disk_mount_loop(number);
	if (loop >= 0)
		sys(close, loop);
	sys(close, file);
	return result;
}

/* A descriptor of the root of the file system in a file, or -errno. */
static long disk_mount(const char *path, const char *lock_path)
{
	long lock = sys(openat, DISK_HERE, lock_path, O_RDWR | O_CLOEXEC, 0), result;

	if (lock < 0)
		return lock;
	RETRY(result, sys(flock, lock, DISK_LOCK_ALONE));
	if (result >= 0)
		result = disk_mount_locked(path);
	sys(close, lock); /* and with it the lock */
	return result;
}

#endif
