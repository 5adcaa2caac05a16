/* What happens to a container after its start: its end, its restart, a stop on request, and what is left to do
 * when it has ended for good. */
#include "monitor.h"

#define DRAIN_MS 100
#define STAYED_UP_MS 10000
#define SIGNAL_BASE 128
#define CHILD_EXITED 1
#define WAIT_BY_PIDFD 3
#define WAIT_ENDED 0x40000004 /* __WALL | WEXITED */

/* The beginning of the kernel's siginfo_t for a child. */
struct ended {
	int signal, error, code, padding;
	int pid, uid, status;
	char rest[100];
};

int reap(int pidfd)
{
	struct ended info = { 0 };

	sys(waitid, WAIT_BY_PIDFD, pidfd, &info, WAIT_ENDED, NULL);
	return info.code == CHILD_EXITED ? info.status : SIGNAL_BASE + info.status;
}

/* Decide between a restart and the end. */
static void settle(struct monitor *m)
{
	int64_t delay = m->stay_down ? -1 : restart_delay_ms(&m->config, m->state.exit_code, m->quick_restarts);

	m->kill_ms = m->drained_ms = NEVER;
	m->state.pid = 0;
	m->state.start_ticks = 0;
	if (delay < 0) {
		m->phase = PHASE_ENDED;
		return;
	}
	close_fd(&m->mount_ns_fd);
	m->phase = PHASE_WAITING;
	m->restart_ms = now_ms() + delay;
	m->state.status = "restarting";
	state_publish(m);
	clients_tell_state(m);
}

static void tell_of_end(struct monitor *m)
{
	char code[32];
	char *at = ck_append(code, code + sizeof code, ",\"exit_code\":");

	ck_append_number(at, code + sizeof code, m->state.exit_code);
	if (m->state.oom_killed)
		event_append(m, "oom", "");
	event_append(m, "die", code);
}

void container_drained(struct monitor *m)
{
	streams_close(m);
	m->state.oom_killed = cgroups_oom_kills(&m->config.cgroups) > m->oom_kills_before;
	tell_of_end(m);
	if (m->started_ms + STAYED_UP_MS <= now_ms())
		m->quick_restarts = 0;
	settle(m);
}

void container_ended(struct monitor *m)
{
	m->state.exit_code = reap(m->pidfd);
	format_time(m->state.finished_at, wall_clock_ns());
	close_fd(&m->pidfd);
	health_end(m);
	/* What shares the host's pid namespace outlives its parent, and may hold the pipes open. */
	cgroups_kill_members(&m->config.cgroups);
	m->phase = PHASE_DRAINING;
	m->drained_ms = now_ms() + DRAIN_MS;
	streams_drain(m);
}

void container_restart(struct monitor *m)
{
	struct status_record record = { 0 };
	long result;

	m->restart_ms = NEVER;
	m->state.restarts++;
	m->quick_restarts++;
	result = container_start(m, &record);
	if (result != 0) {
		note_failed_start(m, result, &record);
		format_time(m->state.finished_at, wall_clock_ns());
		tell_of_end(m);
		settle(m);
		return;
	}
	health_begin(m);
	state_publish(m);
	event_append(m, "start", "");
	clients_tell_state(m);
}

void container_kill(struct monitor *m)
{
	m->kill_ms = NEVER;
	if (m->phase != PHASE_RUNNING)
		return;
	cgroups_kill(&m->config.cgroups);
	sys(pidfd_send_signal, m->pidfd, KILL_SIGNAL, NULL, 0);
	cgroups_thaw(&m->config.cgroups); /* a frozen v1 process takes its signal when it thaws */
}

void container_stop(struct monitor *m, uint32_t signal, int64_t timeout_ms)
{
	int64_t kill_ms = now_ms() + timeout_ms;

	m->stay_down = 1;
	if (m->phase == PHASE_WAITING)
		m->phase = PHASE_ENDED;
	if (m->phase != PHASE_RUNNING)
		return;
	if (timeout_ms == 0)
		return container_kill(m);
	sys(pidfd_send_signal, m->pidfd, signal, NULL, 0);
	if (ck_streq(m->state.status, "paused"))
		cgroups_thaw(&m->config.cgroups);
	if (kill_ms < m->kill_ms)
		m->kill_ms = kill_ms;
}

/* Open the first byte of the lock: the container is down.  The second stays locked until this process has
 * cleared away, so that a next start or a removal waits for that. */
static void unlock(void)
{
	struct {
		short type, whence;
		int padding;
		int64_t start, length;
		int pid;
	} range = { 2 /* F_UNLCK */, 0, 0, 0, 1, 0 };

	sys(fcntl, LOCK_FD, 37 /* F_OFD_SETLK */, &range);
}

static void answer_stops(struct monitor *m)
{
	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].wants & AWAITS_END)
			client_answer(m, &m->clients[i], 0);
}

/* Now, or under an earlier monitor. */
static int has_run(const struct monitor *m)
{
	char state[20];
	long n = read_small_file(m->dir_fd, "state", state, sizeof state);

	return m->state.started_at[0] || (n > 0 && !ck_starts(state, "status=created"));
}

/* Its addresses and ports are free when its end is told: whoever waits for that may want them at once. */
static void leave_network(struct monitor *m)
{
	int end = SHARED_FD + (int)m->config.shared;

	undo(m->config.undo, m->config.undo_size);
	for (int fd = NETWORK_FD; (m->config.namespaces || m->config.shared) && fd < end; fd++)
		sys(close, fd);
}

void monitor_finish(struct monitor *m)
{
	leave_network(m);
	m->state.status = has_run(m) ? "exited" : "created";
	state_publish(m);
	if (m->config.auto_remove && m->config.name_file)
		sys(unlinkat, AT_HERE, m->config.name_file, 0);
	unlock();
	clients_tell_state(m);
	/* From here on nobody waits but those who asked for a stop, or want to start it again. */
	close_fd(&m->mount_ns_fd);
	cgroups_remove(&m->config.cgroups);
	if (m->config.auto_remove) {
		remove_tree(m->config.directory);
		event_append(m, "destroy", "");
	} else {
		sys(unlinkat, m->dir_fd, "monitor.sock", 0);
	}
	answer_stops(m);
}
