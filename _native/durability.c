/* Durability: what Python's os module lacks. */
#include "ckit.h"

#include <errno.h>
#include <unistd.h>

int ck_sync_file_system(int fd)
{
    return syncfs(fd) == 0 ? 0 : -errno;
}
