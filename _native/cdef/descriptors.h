/* Descriptors that belong to a cell of memory before the system call that makes them: a cell that is freed
 * closes what is in it.  Each function returns 0 or -errno, and closes first what was in the cells it fills. */

struct ck_descriptor {
	int number; /* -1: none */
};

/* May be repeated. */
void ck_descriptor_close(struct ck_descriptor *held);
/* Moves *number into the cell and leaves -1 there. */
void ck_descriptor_take(struct ck_descriptor *held, int *number);
/* The other way: *number must be -1 before. */
void ck_descriptor_give(struct ck_descriptor *held, int *number);

/* All close-on-exec. */
int ck_descriptor_open(struct ck_descriptor *held, int folder, const char *path, int flags, unsigned int mode);
int ck_descriptor_open_beneath(struct ck_descriptor *held, int root_fd, const char *path, int flags,
			       unsigned int mode, int in_root, int no_symlinks);
int ck_descriptor_mkdirs_beneath(struct ck_descriptor *held, int root_fd, const char *path, unsigned int mode);
int ck_descriptor_duplicate(struct ck_descriptor *held, int fd);
int ck_descriptor_memory(struct ck_descriptor *held, const char *name, unsigned int flags);
int ck_descriptor_process(struct ck_descriptor *held, int pid);
int ck_descriptor_init(struct ck_descriptor *held, const char *path); /* see ck_seal_init */
/* Any call that gives a descriptor; a pointer is passed as a number. */
int ck_descriptor_call(struct ck_descriptor *held, long number, size_t a, size_t b, size_t c);
int ck_descriptor_watch(struct ck_descriptor *held); /* inotify, which does not block */
int ck_descriptor_event(struct ck_descriptor *held, unsigned int value);
int ck_descriptor_pipe(struct ck_descriptor *reading, struct ck_descriptor *writing, int flags);
/* One message of at most size bytes and at most `room` descriptors with it (more are closed); the length. */
int ck_descriptor_receive(struct ck_descriptor **held, int room, int *count, int socket, char *data, size_t size);

/* The `opener` of a Python file: the number leaves the cell and becomes the file's within one call of C. */
int ck_descriptor_hand_over(struct ck_descriptor *held, const char *name, int flags);

/* A pair of sockets under two numbers that somebody owns already: what was under them is closed. */
int ck_socket_pair_over(int first, int second, int kind);
