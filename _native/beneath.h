/* Opening paths that cannot lead out of a directory. */
#ifndef CK_BENEATH_H
#define CK_BENEATH_H

#include <linux/openat2.h>

/* One component of a path below dir_fd: neither a symbolic link nor another file system is entered. */
#define CK_RESOLVE_ENTRY (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

/* openat2, close-on-exec; a racing rename (EAGAIN) is tried again.  An fd or -errno. */
int ck_openat2(int dir_fd, const char *path, int flags, unsigned int mode, unsigned long long resolve);

/* The same without openat2, for hosts that refuse it. */
int ck_walk_beneath(int dir_fd, const char *path, int flags, unsigned int mode, unsigned long long resolve);

#endif
