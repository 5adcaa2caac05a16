/* Owner, mode, extended attributes and times, set through the descriptor of what was just made. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layer_extract.h"

/* What an image may carry.  Attributes of overlay would redirect into other layers or hide files; labels of security
 * modules belong to the machine that made the image. */
int layer_xattr_allowed(const char *name)
{
	if (strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0)
		return 0;
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strcmp(name, "security.capability") == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static int set_xattrs(struct layer_extract *x, int fd)
{
	const struct tar_entry *entry = &x->reader.entry;

	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];

		if (!layer_xattr_allowed(xattr->name)) {
			x->job->dropped_xattrs++;
			continue;
		}
		if (!xattr->size && strcmp(xattr->name, "security.capability") == 0)
			continue; /* no capability; the kernel would take it, and then neither read nor execute the file */
		if (fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0) == 0)
			continue;
		if (errno == EINVAL)
			return ck_fail(x->fault, CK_FAULT_CORRUPT, EBADMSG, entry->path, "its attribute %.100s has no valid value",
				       xattr->name);
		/* A lost capability changes what the image does: that is an error.  Others may be lost, and counted. */
		if ((errno != ENOTSUP && errno != EPERM) || strcmp(xattr->name, "security.capability") == 0)
			return ck_fail(x->fault, CK_FAULT_KERNEL, errno, entry->path, "cannot set its attribute %.100s",
				       xattr->name);
		x->job->dropped_xattrs++;
	}
	return 0;
}

int layer_wants_chown(struct layer_extract *x)
{
	const struct tar_entry *entry = &x->reader.entry;

	return x->job->keep_owner &&
	       (entry->uid != x->uid || entry->gid != x->gid || layer_dirs_current(x)->setgid);
}

/* Owner before mode before attributes: each clears bits of those after it.  `made_with_mode` is 1 when the file was
 * created with its permissions, so that only what creation or chown(2) drop is left to set. */
int layer_set_attributes(struct layer_extract *x, int fd, int made_with_mode)
{
	const struct tar_entry *entry = &x->reader.entry;
	int chown_it = layer_wants_chown(x);

	if (chown_it && fchown(fd, entry->uid, entry->gid) < 0)
		return ck_fail_errno(x->fault, entry->path, "cannot set its owner");
	if (!made_with_mode || !x->umask_is_zero || (entry->mode & 07000))
		if (fchmod(fd, entry->mode) < 0)
			return ck_fail_errno(x->fault, entry->path, "cannot set its mode");
	return entry->xattr_count ? set_xattrs(x, fd) : 0;
}

int layer_set_opaque(struct layer_extract *x, int fd)
{
	const char *name = x->job->user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque";

	if (fsetxattr(fd, name, "y", 1, 0) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot mark its directory as opaque");
	return 0;
}
