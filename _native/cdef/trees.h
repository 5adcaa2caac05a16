/* Directory trees, reached by file descriptor and never left. */

/* openat2 with RESOLVE_IN_ROOT (in_root) or RESOLVE_BENEATH; returns a close-on-exec fd or -errno. */
int ck_open_beneath(int root_fd, const char *path, int flags, unsigned int mode, int in_root, int no_symlinks);
/* For tests: 1 walks paths as on a host that refuses openat2. */
void ck_beneath_force_walk(int walk);
/* Creates what is missing of path; returns an fd of the last directory or -errno. */
int ck_mkdirs_beneath(int root_fd, const char *path, unsigned int mode);
/* The magic number of the file system that a descriptor, also an O_PATH one, lies on; or -errno. */
long long ck_file_system(int fd);
/* rm -rf of one entry: links and mount points are not followed; -EBUSY for a mount point. */
int ck_remove_tree(int parent_fd, const char *name);
/* Everything in one directory into another, an empty one; on an error path, an empty string, takes the entry's. */
int ck_copy_tree(int from_fd, int to_fd, int keep_owner, unsigned int first_id, unsigned int ids, char *path,
		 size_t path_size);
