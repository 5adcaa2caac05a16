/* What the parts of the init role share. */
#ifndef CKIT_INIT_H
#define CKIT_INIT_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>

#include "plan.h"
#include "sys.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

#define PATH_LIMIT 4096

/* start.c has them */
void *memset(void *to, int value, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* The state of one start.  There is one per process. */
struct init {
	int status_fd;
	int own_fds;	 /* from this number on the descriptors are ours: below are the launcher's */
	int root_fd;	 /* the container's root, once attached; else -1 */
	int proc_fd;	 /* a procfs mount that we made ourselves, or -1 */
	int null_fd;	 /* the host's /dev/null, O_PATH, checked, or -1 */
	int mask_dir_fd; /* an empty read-only directory that is mounted somewhere already, or -1 */
	int mask_file_fd;
	int preserve_fds;
	int slot[PLAN_SLOTS];
	const char *about;   /* what the current step is about, for the error */
	char *program; /* what FIND_PROGRAM found, or NULL */
	const char *hook_input; /* the launcher's last answer */
	uint32_t hook_input_size;
};

extern struct init init;

/* plan.c: the texts of a payload */
const char *plan_text(const struct plan_step *step, int index);
uint32_t plan_text_count(const struct plan_step *step);
void status_send(uint32_t kind, uint64_t value, int fd);
void status_fail(const struct plan_step *step, uint32_t index, long error);

/* plan.c: another plan after the first */
void *plan_next_room(void); /* PLAN_MAX_BYTES */
long plan_continue(uint32_t have); /* receive the rest, `have` bytes are there */
uint64_t plan_streams(void);

/* paths.c: everything below init.root_fd */
long root_open(const char *path, uint64_t flags);
long root_open_no_links(const char *path, uint64_t flags);
long root_parent(const char *path, const char **name);
long root_make_directory(const char *path, uint32_t mode);
long root_make_file(const char *path);
long is_directory(int fd);
long write_file(int dir_fd, const char *path, const char *text);
long proc_open(const char *path, int flags);

/* mounts.c */
long protect_host_node(long tree);
long make_file_system(const struct plan_step *step, const char *type);

/* sources.c */
long open_part_of_tree(const struct plan_step *step, unsigned flags);

/* layers.c: a layer is a directory or an EROFS image */
long open_layer(const char *path, long flags);
long clone_layer(const char *path);

/* copyup.c */
long copy_up(int from, int to, int depth);

/* The operations; each returns 0 or -errno. */
long op_join_cgroup(const struct plan_step *step);
long op_overlay(const struct plan_step *step);
long op_open_tree(const struct plan_step *step);
long op_open_namespace(const struct plan_step *step);
long op_id_map_tree(const struct plan_step *step);
long op_user_namespace(const struct plan_step *step);
long op_oom_score(const struct plan_step *step);
long op_set_namespace(const struct plan_step *step);
long op_unshare(const struct plan_step *step);
long op_become_root(const struct plan_step *step);
long op_fork(const struct plan_step *step);
long op_time_offsets(const struct plan_step *step);
long op_propagation(const struct plan_step *step);
long op_attach_root(const struct plan_step *step);
long op_mount(const struct plan_step *step);
long op_mount_tree(const struct plan_step *step);
long op_set_attributes(const struct plan_step *step);
long op_mask(const struct plan_step *step);
long op_read_only(const struct plan_step *step);
long op_pivot(const struct plan_step *step);
long op_root_read_only(const struct plan_step *step);
long op_device(const struct plan_step *step);
long op_symlink(const struct plan_step *step);
long op_make_directory(const struct plan_step *step);
long op_console(const struct plan_step *step);
long op_hostname(const struct plan_step *step);
long op_domainname(const struct plan_step *step);
long op_sysctl(const struct plan_step *step);
long op_loopback_up(const struct plan_step *step);
long op_rlimit(const struct plan_step *step);
long op_keyring(const struct plan_step *step);
long op_personality(const struct plan_step *step);
long op_io_priority(const struct plan_step *step);
long op_scheduler(const struct plan_step *step);
long op_umask(const struct plan_step *step);
long op_credentials(const struct plan_step *step);
long op_no_new_privs(const struct plan_step *step);
long op_seccomp(const struct plan_step *step);
long op_landlock(const struct plan_step *step);
long op_session(const struct plan_step *step);
long op_directory(const struct plan_step *step);
long op_hook(const struct plan_step *step);
long op_sync(const struct plan_step *step);
long op_find_program(const struct plan_step *step);
long op_wait_start(const struct plan_step *step);
long op_init(const struct plan_step *step);
long op_park(const struct plan_step *step);
long op_exec(const struct plan_step *step);
long op_open_file_system(const struct plan_step *step);

#endif
