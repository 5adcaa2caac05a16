/* A layer of the root as an open directory, whichever of its two forms it has: a directory, or an EROFS image. */
#include "init.h"

static const char image_suffix[] = ".erofs", device_suffix[] = ".tar";

/* The length of the path without the suffix of an image; 0 for a directory. */
static size_t image_stem(const char *path)
{
	size_t length = ck_strlen(path), suffix = sizeof image_suffix - 1;

	return length > suffix && ck_streq(path + length - suffix, image_suffix) ? length - suffix : 0;
}

/* By number, because the path of a store may be longer than the 255 bytes of an option.  The kernel opens the file
 * anew when the image is mounted; the descriptor is closed with all others before the program starts. */
static long set_file(long context, const char *option, const char *path)
{
	char name[40], *at = name, *end = name + sizeof name;
	long fd = sys(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return fd;
	at = ck_append(at, end, "/proc/self/fd/");
	ck_append_number(at, end, fd);
	return sys(fsconfig, context, FSCONFIG_SET_STRING, option, name, 0);
}

static long configure(long context, const char *path, size_t stem)
{
	char device[PATH_LIMIT + sizeof device_suffix];
	long result;

	if (stem >= PATH_LIMIT)
		return -ENAMETOOLONG;
	memcpy(device, path, stem);
	memcpy(device + stem, device_suffix, sizeof device_suffix);
	result = set_file(context, "source", path);
	if (result >= 0)
		result = set_file(context, "device", device);
	return result < 0 ? result : sys(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

/* Attached nowhere.  It stays open until the program starts, because overlay takes over only what is still mounted
 * somewhere; from then on it ends with the overlay. */
static long mount_image(const char *path, size_t stem)
{
	long context = sys(fsopen, "erofs", FSOPEN_CLOEXEC), result;

	if (context < 0)
		return context;
	result = configure(context, path, stem);
	if (result >= 0)
		result = sys(fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	sys(close, context);
	return result;
}

/* "@3": a mount that the launcher keeps, in slot 3. */
static long given_layer(const char *path)
{
	unsigned slot = 0;

	for (path++; *path >= '0' && *path <= '9'; path++)
		slot = slot * 10 + (unsigned)(*path - '0');
	return init.slot[slot % PLAN_SLOTS];
}

long open_layer(const char *path, long flags)
{
	size_t stem = image_stem(path);

	if (*path == '@')
		return given_layer(path);
	long tree = stem ? mount_image(path, stem) : AT_FDCWD;

	if (stem && tree < 0)
		return tree;
	return sys(openat, tree, stem ? "." : path, flags | O_DIRECTORY | O_CLOEXEC);
}

/* A detached copy of the layer's mount, whose ids may be mapped. */
long clone_layer(const char *path)
{
	size_t stem = image_stem(path);

	return stem ? mount_image(path, stem) : sys(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}
