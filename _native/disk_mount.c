/* File systems in files, as mounts without a place: see init/disk.h. */
#include "ckit.h"
#include "init/disk.h"

int ck_mount_disk(struct ck_descriptor *held, const char *image, const char *lock)
{
	long mount;

	ck_descriptor_close(held);
	mount = disk_mount(image, lock);
	if (mount >= 0)
		held->number = (int)mount;
	return mount < 0 ? (int)mount : 0;
}
