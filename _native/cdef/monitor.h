/* Start of the helper's daemons: monitor and guardian; in a user namespace unless that is 0. */
int ck_spawn_daemon(int exe_fd, int user_namespace, const char *const *argv, const int *fds, int count);

/* Watch open files for growth (inotify). */
int ck_watch_new(void);
int ck_watch_file(int watch_fd, int fd);
