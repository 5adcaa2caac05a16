/* The monitor: parent of one container, from its start until it has ended for good.
 *
 * One thread, one poll; every file of this role gets the one `struct monitor`.  What it is told stands in
 * container_kit/containers/monitor_config.py, what it answers in container_kit/containers/monitor_client.py. */
#ifndef CKIT_MONITOR_H
#define CKIT_MONITOR_H

#include "daemon.h"
#include "plan.h"

/* Descriptors it is born with; the last ones only with a network, or with namespaces that it shares with others. */
enum {
	STARTER_FD = 3,
	CONFIG_FD,
	LOCK_FD,
	OWNER_FD,
	NETWORK_FD, /* the container's network namespace, for every start of it */
	USER_FD,    /* the user namespace that owns that */
	HELD_FD,    /* a socket with the published ports in it: what is sent and not received stays open */
	SHARED_FD,  /* IPC, UTS and PID namespaces of a pod */
	SHARED_END = SHARED_FD + 3
};

enum {
	FIELD_PLAN = 4,
	FIELD_STDIO = 7,
	FIELD_LOG,
	FIELD_RESTART,
	FIELD_STOP,
	FIELD_HEALTH,
	FIELD_HEALTH_PLAN,
	FIELD_AUTO_REMOVE,
	FIELD_EVENTS = 15,
	FIELD_EVENT_FIELDS,
	FIELD_OWNED,
	FIELD_ATTACH,
	FIELD_DISK = 21,
	FIELD_SHARED, /* how many of the namespaces are in SHARED_FD and after it */
};

enum { MOST_DISKS = 8 };

/* The file system of a volume in a file, and the file that orders those who mount it. */
struct disk {
	const char *file, *lock;
};

enum { STDIO_TTY = 1, STDIO_STDIN = 2, STDIO_STDIN_ONCE = 4 };
enum { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_UNLESS_STOPPED };

struct health_timing {
	uint64_t interval_ms, timeout_ms, start_period_ms, start_interval_ms;
	uint32_t retries, padding;
};

struct config {
	const char *id, *directory, *name_file, *events, *event_fields;
	const char *plan, *health_plan;
	uint32_t plan_size, health_plan_size;
	struct cgroups cgroups;
	struct disk disks[MOST_DISKS];
	uint32_t disk_count;
	uint32_t stdio;
	uint64_t log_max_size;
	uint32_t log_max_files, log_enabled;
	uint32_t restart_mode, restart_retries;
	uint32_t stop_signal, stop_timeout_ms;
	struct health_timing health;
	uint32_t attach; /* what the starter wants from its connection */
	int auto_remove, owned;
	int namespaces; /* how many of those from NETWORK_FD on the plan wants */
	uint32_t shared; /* and of those from SHARED_FD on */
	const char *undo; /* fields, among them what is to be taken back in the end */
	uint64_t undo_size;
};

/* What the state file says; see container_kit/containers/state_file.py. */
struct state {
	const char *status;
	int pid;
	uint64_t start_ticks;
	char boot_id[40];
	char started_at[TIME_TEXT + 1], finished_at[TIME_TEXT + 1];
	int exit_code; /* -1: none yet */
	int oom_killed;
	uint32_t restarts;
	const char *health;
	uint32_t health_failures;
	char error[280];
};

#define CHUNK (32 * 1024)
#define MAX_CLIENTS 96

enum { STREAM_OUT, STREAM_ERR, STREAM_COUNT };

/* One output stream: the bytes that were read last, as long as a lossless client has not got them. */
struct stream {
	int fd; /* -1: closed */
	uint32_t have;
	char data[CHUNK];
};

/* What a client asked for. */
enum {
	WANTS_STDIN = 1,
	WANTS_OUT = 2,
	WANTS_ERR = 4,
	LOSSLESS = 8,
	ATTACH_BITS = 15,
	WITH_LOG = 16, /* first the log so far */
	SUBSCRIBED = 32,
	FOLLOWS_LOG = 64,
	AWAITS_END = 128, /* asked for a stop */
};

struct client {
	int fd;
	uint32_t wants;
	uint32_t owed; /* bit per stream: its present chunk is still to be sent */
	uint64_t dropped[STREAM_COUNT];
};

struct log {
	int fd; /* of the current file, -1: none */
	uint64_t size;
	uint32_t pending; /* bytes in data */
	char data[48 * 1024];
};

#define PROBE_OUTPUT 4096
#define KEPT_PROBES 5

struct health {
	int pidfd, output_fd;
	int64_t next_ms, timeout_ms; /* NEVER: none */
	int timed_out;
	char start[TIME_TEXT + 1];
	uint32_t output_size;
	char output[PROBE_OUTPUT];
};

enum phase { PHASE_RUNNING, PHASE_DRAINING, PHASE_WAITING, PHASE_ENDED };

struct monitor {
	struct config config;
	struct state state;
	enum phase phase;
	int dir_fd, init_fd, listen_fd, owner_fd;
	int pidfd, mount_ns_fd, stdin_fd, terminal_fd;
	int stay_down; /* stopped on request: the restart policy does not apply */
	int stdin_closing;
	uint32_t quick_restarts; /* since it last stayed up */
	uint64_t oom_kills_before;
	int64_t started_ms, restart_ms, kill_ms, drained_ms;
	uint32_t stdin_have, stdin_sent;
	uint32_t client_count;
	struct client clients[MAX_CLIENTS];
	struct health health;
	struct log log;
	struct stream streams[STREAM_COUNT];
	char stdin_data[CHUNK];
	char message[CHUNK + 16];
};

/* monitor_config.c */
int config_parse(struct config *config, const char *data, uint64_t size);

/* monitor_start.c */
long container_start(struct monitor *m, struct status_record *record);
void note_failed_start(struct monitor *m, long result, const struct status_record *record);

/* monitor_run.c: what happens to the container after it was started. */
void container_ended(struct monitor *m);
void container_drained(struct monitor *m);
void container_restart(struct monitor *m);
void container_stop(struct monitor *m, uint32_t signal, int64_t timeout_ms);
void container_kill(struct monitor *m);
void monitor_finish(struct monitor *m);
int reap(int pidfd); /* the exit code, 128+n for signal n */

/* monitor_restart.c */
int64_t restart_delay_ms(const struct config *config, int exit_code, uint32_t restarts);

/* monitor_state.c */
void state_reserve(struct monitor *m);
void state_publish(struct monitor *m);
uint32_t state_text(const struct state *state, char *text, uint32_t size);
void state_note_process(struct state *state, int pid);
void event_append(const struct monitor *m, const char *action, const char *more);

/* monitor_log.c */
void log_open(struct monitor *m);
void log_write(struct monitor *m, int stream, const char *data, uint32_t size);
void log_send_all(struct monitor *m, struct client *client);

/* monitor_socket.c: who asks. */
long socket_open(struct monitor *m);
void socket_accept(struct monitor *m);
void client_serve(struct monitor *m, struct client *client);
void client_drop(struct monitor *m, struct client *client);
long client_send(const struct client *client, const void *head, uint32_t head_size, const void *body,
		 uint32_t body_size, int fd);
void client_answer(struct monitor *m, struct client *client, int32_t result);
void clients_tell_state(struct monitor *m);

/* monitor_stream.c: the bytes. */
void stream_read(struct monitor *m, int stream);
void stream_settle(struct monitor *m, struct client *client);
int stream_owed(const struct monitor *m, int stream);
void streams_drain(struct monitor *m);
void streams_close(struct monitor *m);
void stdin_write(struct monitor *m);
void stdin_close(struct monitor *m);

/* monitor_health.c */
void health_begin(struct monitor *m);
void health_end(struct monitor *m);
void health_probe(struct monitor *m);
void health_read(struct monitor *m);
void health_reap(struct monitor *m);
void health_expire(struct monitor *m);

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		sys(close, *fd);
	*fd = -1;
}

#endif
