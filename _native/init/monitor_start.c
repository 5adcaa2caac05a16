/* Starting the container from its plan: the first time and at every restart the same. */
#include "monitor.h"
#include "disk.h"
#include "spawn.h"

#define SET_NONBLOCKING(fd) sys(fcntl, fd, F_SETFL, O_NONBLOCK)

#define NOTHING_FD 0 /* the monitor's own stdin: /dev/null */

/* The program's ends of its streams; -1 is /dev/null to it. */
struct ends {
	int fds[3];
};

static long make_pipe(int *reader, int *writer)
{
	int pair[2];
	long error = sys(pipe2, pair, O_CLOEXEC);

	if (error == 0) {
		*reader = pair[0];
		*writer = pair[1];
	}
	return error;
}

static long make_pipes(struct monitor *m, struct ends *ends)
{
	long error = 0;

	if (m->config.stdio & STDIO_TTY)
		return 0; /* the plan makes a terminal, whose master side comes back */
	if (m->config.stdio & STDIO_STDIN)
		error = make_pipe(&ends->fds[0], &m->stdin_fd);
	if (error == 0)
		error = make_pipe(&m->streams[STREAM_OUT].fd, &ends->fds[1]);
	if (error == 0)
		error = make_pipe(&m->streams[STREAM_ERR].fd, &ends->fds[2]);
	return error;
}

static void close_ends(struct ends *ends)
{
	for (int i = 0; i < 3; i++)
		close_fd(&ends->fds[i]);
}

static long take_terminal(struct monitor *m, int terminal_fd)
{
	if (terminal_fd < 0)
		return -ENOTTY;
	m->streams[STREAM_OUT].fd = terminal_fd;
	m->terminal_fd = sys(fcntl, terminal_fd, F_DUPFD_CLOEXEC, 0);
	m->stdin_fd = sys(fcntl, terminal_fd, F_DUPFD_CLOEXEC, 0);
	return m->stdin_fd < 0 ? m->stdin_fd : 0;
}

static void become_nonblocking(struct monitor *m)
{
	for (int i = 0; i < STREAM_COUNT; i++)
		if (m->streams[i].fd >= 0)
			SET_NONBLOCKING(m->streams[i].fd);
	if (m->stdin_fd >= 0)
		SET_NONBLOCKING(m->stdin_fd);
}

static void note_start(struct monitor *m, int pid)
{
	struct state *state = &m->state;

	state_note_process(state, pid);
	state->status = "running";
	state->exit_code = -1;
	state->oom_killed = 0;
	state->error[0] = state->finished_at[0] = 0;
	format_time(state->started_at, wall_clock_ns());
	m->started_ms = now_ms();
	m->phase = PHASE_RUNNING;
}

/* What the plan is passed: the namespaces, which the monitor keeps, and disks, mounted for this start. */
struct passed {
	int fds[SHARED_END - NETWORK_FD + MOST_DISKS];
	int count, first_disk;
};

static void close_disks(struct passed *passed)
{
	while (passed->count > passed->first_disk)
		close_fd(&passed->fds[--passed->count]);
}

static long fill_slots(struct monitor *m, struct passed *passed)
{
	for (int i = 0; i < m->config.namespaces; i++)
		passed->fds[passed->count++] = NETWORK_FD + i;
	for (uint32_t i = 0; i < m->config.shared; i++)
		passed->fds[passed->count++] = SHARED_FD + (int)i;
	passed->first_disk = passed->count;
	for (uint32_t i = 0; i < m->config.disk_count; i++) {
		long disk = disk_mount(m->config.disks[i].file, m->config.disks[i].lock);

		if (disk < 0)
			return disk;
		passed->fds[passed->count++] = (int)disk;
	}
	return 0;
}

static long launch_passing(struct monitor *m, struct ends *ends, struct launch *launch, struct passed *passed)
{
	long result;

	launch->init_fd = m->init_fd;
	launch->plan = m->config.plan;
	launch->plan_size = m->config.plan_size;
	for (int i = 0; i < 3; i++)
		launch->stdio[i] = ends->fds[i] < 0 ? NOTHING_FD : ends->fds[i];
	launch->slots = passed->fds;
	launch->slot_count = passed->count;
	launch->cgroup_fd = -1;
	if (m->config.cgroups.v2) {
		launch->cgroup_fd = sys(openat, AT_HERE, m->config.cgroups.v2, DIRECTORY_FLAGS, 0);
		if (launch->cgroup_fd < 0)
			return launch->cgroup_fd;
	}
	result = launch_begin(launch);
	close_fd(&launch->cgroup_fd);
	if (result > 0)
		launch_abandon(launch);
	/* Hooks that run beside the container, and a start on request, need a caller that stays. */
	return result > 0 && launch->record.kind != STATUS_ERROR ? -EOPNOTSUPP : result;
}

static long launch_plan(struct monitor *m, struct ends *ends, struct launch *launch)
{
	struct passed passed = { 0 };
	long result = fill_slots(m, &passed);

	if (result == 0)
		result = launch_passing(m, ends, launch, &passed);
	close_disks(&passed);
	return result;
}

/* 0: it runs.  Positive: init's record says why not.  Negative: a system call of ours failed. */
long container_start(struct monitor *m, struct status_record *record)
{
	struct ends ends = { { -1, -1, -1 } };
	struct launch launch = { 0 };
	long result = make_pipes(m, &ends);

	m->oom_kills_before = cgroups_oom_kills(&m->config.cgroups);
	if (result == 0)
		result = launch_plan(m, &ends, &launch);
	close_ends(&ends);
	if (result == 0) {
		m->pidfd = launch.pidfd;
		m->mount_ns_fd = launch.mount_ns_fd;
		close_fd(&launch.listener_fd);
		if (m->config.stdio & STDIO_TTY)
			result = take_terminal(m, launch.terminal_fd);
		note_start(m, launch.pid);
		become_nonblocking(m);
	}
	if (result != 0) {
		*record = launch.record;
		streams_close(m);
	}
	return result;
}

/* What a shell would say of a program that could not be started. */
static int start_exit_code(const struct status_record *record)
{
	if (record->op != OP_FIND_PROGRAM && record->op != OP_EXEC)
		return 125;
	return record->error == ENOENT || record->error == ENOTDIR ? 127 : 126;
}

/* The name of a program comes from an image: in the state file, no byte of it may begin a line of its own. */
static void keep_to_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void note_failed_start(struct monitor *m, long result, const struct status_record *record)
{
	char *at = m->state.error, *end = at + sizeof m->state.error;

	m->state.exit_code = result > 0 ? start_exit_code(record) : 125;
	at = ck_append(at, end, "cannot start: ");
	if (result > 0 && record->text[0]) {
		at = ck_append(at, end, record->text);
		at = ck_append(at, end, ": ");
	}
	at = ck_append(at, end, "error ");
	at = ck_append_number(at, end, result > 0 ? record->error : -result);
	at = ck_append(at, end, " in step ");
	ck_append_number(at, end, result > 0 ? record->op : 0);
	keep_to_one_line(m->state.error);
}
