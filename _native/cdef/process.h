/* Starting programs through ckit-init, feeding them, waiting for them. */

/* A start in progress or done.  Descriptors are -1 where there is none; ck_launch_drop closes them. */
struct ck_started {
	int maker; /* the process whose child it is and whose end it shall be to drop this; 0: nobody's */
	int pid, pidfd, status_fd, terminal_fd, listener_fd, mount_ns_fd;
	int interrupted; /* the last call gave -EINTR: a second process may be born that nobody has heard of */
	int error;	     /* of the last record: an errno, */
	unsigned int op, step; /* where it happened */
	unsigned long long value;
	char text[232];
};

/* A sealed copy in memory of the program at path; a descriptor. */
int ck_seal_init(const char *path);

/* Begin a plan.  0: the program runs.  STATUS_* (see init/plan.h) when the caller must act: 1 failed, 4 meet
 * (answer, then ck_launch_next), 5 waits for its start, 7 is parked.  -EBADF: init_fd is not a sealed copy.
 * -ETIMEDOUT: nothing was heard of it for timeout_ms (0: no limit).  user_namespace is for plans that are to be begun
 * in it (PLAN_WITHIN); 0 for none. */
int ck_launch(int init_fd, int user_namespace, const char *plan, unsigned int plan_size, int cgroup_fd, const int *stdio,
	      const int *preserve, int preserve_count, const int *slots, int slot_count, int timeout_ms,
	      struct ck_started *started);
int ck_launch_next(struct ck_started *started);
int ck_launch_answer(struct ck_started *started, const char *answer, unsigned int size);
/* Let a parked start (7) go on with another plan, and with those of stdio that are not -1; then ck_launch_next tells
 * what came of it.  -EPIPE or -ECONNRESET: it is no more. */
int ck_launch_go(struct ck_started *started, const char *plan, unsigned int plan_size, const int *stdio);
void ck_launch_abandon(struct ck_started *started);
/* Close every descriptor; the program goes on. */
void ck_launch_close(struct ck_started *started);
/* For who forgets it: abandon in its maker, close in a forked child. */
void ck_launch_drop(struct ck_started *started);

/* A conversation with a child: feed it, keep what it says, learn how it ended. */
struct ck_talk {
	int pidfd, stdin_fd, stdout_fd, stderr_fd; /* -1: not there; stdin_fd is closed when all is written */
	const char *input;
	size_t input_size, written;
	char *output[2];
	size_t size[2], room[2];
	int ended, code; /* 0 to 255, or 128+n for signal n */
	int known_code;	 /* when somebody else has reaped it; else -1 */
	int stop_fd;	 /* -1: none */
	size_t most;	 /* bytes of output, both streams together; 0: no limit */
};

/* 0 when it ended (and was reaped), -ETIMEDOUT at deadline_ns (CLOCK_MONOTONIC; negative for none), -ECANCELED when
 * stop_fd can be read, -EFBIG when more was written than most, -EINTR when a signal came: call again with the same
 * talk. */
int ck_communicate(struct ck_talk *talk, long long deadline_ns);
void ck_talk_free(struct ck_talk *talk);

/* The exit code of a child (0 to 255, or 128+n), reaping it; -EAGAIN if it runs and flags has 1. */
int ck_reap(int pidfd, int flags);
int ck_signal(int pidfd, int number);
