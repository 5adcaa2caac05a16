/* What this kernel's Landlock can do; the rules themselves are applied by ckit-init. */
#include "ckit.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#endif
#define CK_LANDLOCK_VERSION 1u

int ck_landlock_abi(void) {
    long abi = syscall(__NR_landlock_create_ruleset, NULL, (size_t)0, CK_LANDLOCK_VERSION);
    if (abi >= 0) {
        return (int)abi;
    }
    /* Built without it, or not among the modules chosen at boot: both mean "none", not a failure. */
    return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
}
