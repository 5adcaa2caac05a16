/* What the daemons (monitor, guardian, keeper) have in common: kernel structures, text, time and fields.
 *
 * Freestanding: the kernel's own headers only. */
#ifndef CKIT_DAEMON_H
#define CKIT_DAEMON_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <stddef.h>
#include <stdint.h>

#include "sys.h"

#define AT_HERE AT_FDCWD
#define AT_REMOVE_DIRECTORY AT_REMOVEDIR
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
#define ONE_SECOND_NS 1000000000LL
#define KILL_SIGNAL 9
#define NEVER INT64_MAX

struct timespec_raw {
	int64_t seconds, nanoseconds;
};

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

/* daemon.c */
int64_t now_ms(void);	   /* monotonic */
int64_t wall_clock_ns(void); /* since 1970 */
void sleep_ms(int64_t ms);
#define TIME_TEXT 31
void format_time(char *text, int64_t ns); /* RFC 3339, nine digits, UTC: 30 characters and a NUL */
long read_small_file(int dir_fd, const char *path, char *data, size_t size); /* adds a NUL */
long write_small_file(int dir_fd, const char *path, const char *text);
void become_daemon(const char *name);

/* One field of a configuration: the same form for monitor and guardian (container_kit/containers). */
struct field {
	uint32_t tag, size;
	const char *data; /* 8-byte aligned; texts end with a NUL */
};
/* The next field, or 0 at the end, or -EINVAL for bytes that are no fields. */
int next_field(const char **at, const char *end, struct field *field);

/* The tags that both know; monitor_config.h has the rest. */
enum {
	FIELD_ID = 1,
	FIELD_DIRECTORY = 2,
	FIELD_CGROUP2 = 5,
	FIELD_CGROUP = 6,
	FIELD_NAME_FILE = 14,
	FIELD_UNDO_FILE = 19,	 /* text: a path to unlink */
	FIELD_UNDO_MESSAGE = 20, /* the protocol as uint64, then a netlink message */
	FIELD_PROCESS = 30,	 /* the number of a pidfd as int */
};

/* undo.c: what a container has in the network; other fields are passed over. */
#define UNDO_MESSAGE_HEAD 8
void undo(const char *fields, uint64_t size);
void netlink_tell(uint32_t protocol, const char *message, uint32_t size);

/* cgroup.c: the end of a container's cgroups. */
#define MAX_CGROUPS 16
struct cgroups {
	const char *v2; /* directory, or NULL */
	const char *v1[MAX_CGROUPS];
	uint32_t v1_count;
};
void cgroups_kill(const struct cgroups *groups);
void cgroups_kill_members(const struct cgroups *groups); /* the groups can be used again */
void cgroups_remove(const struct cgroups *groups);
void cgroups_thaw(const struct cgroups *groups);
uint64_t cgroups_oom_kills(const struct cgroups *groups);

/* remove.c: rm -rf, following nothing. */
void remove_tree(const char *path);

#endif
