/* Mounts the EROFS image in one file, with another as its second device; attached nowhere.  0 or -errno. */
int ck_mount_image(struct ck_descriptor *held, const char *image, const char *device);
