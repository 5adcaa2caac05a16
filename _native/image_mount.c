/* EROFS images in files, as mounts without a place.
 *
 * Source: Linux, Documentation/filesystems/erofs.rst; fsopen(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ckit.h"

/* A file by its number: the path of a store may be longer than the 255 bytes of an option.  The kernel opens it anew
 * when it mounts; until then the descriptor stays. */
static int set_file(int context, const char *option, const char *path, int *fd)
{
	char name[40];

	*fd = open(path, O_PATH | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", *fd);
	return syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, option, name, 0) < 0 ? -errno : 0;
}

static int create(int context, const char *image, const char *device)
{
	int fds[2] = {-1, -1};
	int error = set_file(context, "source", image, &fds[0]);

	if (!error)
		error = set_file(context, "device", device, &fds[1]);
	if (!error && syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		error = -errno;
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return error;
}

int ck_mount_image(struct ck_descriptor *held, const char *image, const char *device)
{
	int context = (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC);
	int error = context < 0 ? -errno : create(context, image, device), mount = -1;

	ck_descriptor_close(held);
	if (!error) {
		mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
		error = mount < 0 ? -errno : 0;
	}
	if (context >= 0)
		close(context);
	held->number = mount;
	return error;
}
