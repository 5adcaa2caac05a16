/* Mounts the EROFS image in one file, with another as its second device; attached nowhere.  0 or -errno. */
int ck_mount_image(struct ck_descriptor *held, const char *image, const char *device);
/* Mounts the ext4 in a file by a loop device that goes with the last mount of it; attached nowhere.  0 or -errno. */
int ck_mount_disk(struct ck_descriptor *held, const char *image, const char *lock);
