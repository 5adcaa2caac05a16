/* Loads `count` BPF instructions of 8 bytes as the only device filter of the cgroup; what the
 * verifier says about a refused program goes to `log`. */
int ck_device_filter_replace(int cgroup_fd, const void *instructions, unsigned count, char *log, unsigned log_size);

/* How many device filters are attached to the cgroup itself. */
int ck_device_filter_count(int cgroup_fd);
