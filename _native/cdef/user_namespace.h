/* The user namespace in which a process without privileges does what needs some. */

#define CK_NEW_MOUNTS 1  /* in a mount namespace of its own as well, so that file systems can be mounted */
#define CK_NEW_NETWORK 2 /* in a network namespace of its own */

/* A new user namespace.  The maps are texts for uid_map and gid_map; where a helper is given (its path, an empty
 * place for a process id, its arguments, NULL), that program writes the map instead, and what it says goes to
 * messages_fd.  deny_groups forbids setgroups(2) inside.  0, or -errno of the step that failed; -EACCES: a helper
 * refused. */
int ck_user_namespace_new(struct ck_descriptor *held, const char *uid_map, const char *gid_map,
			  const char *const *uid_helper, const char *const *gid_helper, int deny_groups,
			  int messages_fd);

/* run(data) with all rights in the user namespace and id 0 of it; returns what that returns, or -errno when it was not
 * run.  It runs in another process with this one's memory and descriptors, while the calling thread waits. */
int ck_within(int user_namespace, int flags, int (*run)(void *), void *data);

/* What CK_NEW_MOUNTS does, for work that has begun already. */
int ck_new_mounts(void);
