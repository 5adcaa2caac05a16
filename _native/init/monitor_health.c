/* The health check: runs the command in the container now and then and keeps the verdict in the state.
 *
 * The rules are Docker's: failures count after the start period only, the first success ends it, and so many
 * failures in a row make the container unhealthy. */
#include "monitor.h"
#include "spawn.h"

#define TIMED_OUT_CODE (-1)
#define START_LIMIT_MS 3000 /* nothing else is served meanwhile */

static int is_starting(const struct monitor *m)
{
	return ck_streq(m->state.health, "starting");
}

static int64_t interval(const struct monitor *m)
{
	const struct health_timing *timing = &m->config.health;
	int early = is_starting(m) && now_ms() - m->started_ms < (int64_t)timing->start_period_ms;

	return early ? timing->start_interval_ms : timing->interval_ms;
}

void health_begin(struct monitor *m)
{
	if (!m->config.health_plan)
		return;
	m->state.health = "starting";
	m->state.health_failures = 0;
	m->health.next_ms = now_ms() + interval(m);
}

void health_end(struct monitor *m)
{
	if (m->health.pidfd >= 0) {
		sys(pidfd_send_signal, m->health.pidfd, KILL_SIGNAL, NULL, 0);
		reap(m->health.pidfd);
	}
	close_fd(&m->health.pidfd);
	close_fd(&m->health.output_fd);
	m->health.next_ms = m->health.timeout_ms = NEVER;
}

static void change(struct monitor *m, const char *health)
{
	char action[40];

	if (ck_streq(m->state.health, health))
		return;
	m->state.health = health;
	ck_append(ck_append(action, action + sizeof action, "health_status: "), action + sizeof action, health);
	event_append(m, action, "");
}

static void judge(struct monitor *m, int exit_code)
{
	const struct health_timing *timing = &m->config.health;
	int early = is_starting(m) && now_ms() - m->started_ms < (int64_t)timing->start_period_ms;

	if (exit_code == 0) {
		m->state.health_failures = 0;
		change(m, "healthy");
	} else if (!early && ++m->state.health_failures >= timing->retries) {
		change(m, "unhealthy");
	}
	state_publish(m);
	clients_tell_state(m);
}

/* A JSON string of what a container wrote, each byte as the character of its number. */
static char *append_json(char *at, const char *end, const char *text, uint32_t size)
{
	static const char HEX[] = "0123456789abcdef";

	for (uint32_t i = 0; i < size && at + 8 < end; i++) {
		unsigned char c = text[i];
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			*at++ = c;
		} else {
			at = ck_append(at, end, "\\u00");
			*at++ = HEX[c >> 4];
			*at++ = HEX[c & 15];
		}
	}
	*at = 0;
	return at;
}

static char *append_probe(const struct monitor *m, char *at, const char *end, int exit_code)
{
	char time[TIME_TEXT + 1];

	format_time(time, wall_clock_ns());
	at = ck_append(at, end, "{\"start\":\"");
	at = ck_append(at, end, m->health.start);
	at = ck_append(at, end, "\",\"end\":\"");
	at = ck_append(at, end, time);
	at = ck_append(at, end, exit_code < 0 ? "\",\"exit_code\":-" : "\",\"exit_code\":");
	at = ck_append_number(at, end, exit_code < 0 ? -exit_code : exit_code);
	at = ck_append(at, end, ",\"output\":\"");
	at = append_json(at, end - 4, m->health.output, m->health.output_size);
	return ck_append(at, end, "\"}\n");
}

/* The start of the last `keep` lines. */
static const char *last_lines(const char *text, long size, int keep)
{
	const char *at = text + size;

	for (; at > text; at--)
		if (at[-1] == '\n' && at != text + size && --keep == 0)
			return at;
	return keep > 0 ? text : at;
}

/* The last five checks are kept, as lines of JSON. */
static void record(struct monitor *m, int exit_code)
{
	static char text[KEPT_PROBES * (PROBE_OUTPUT * 6 + 256)], line[PROBE_OUTPUT * 6 + 256];
	long size = read_small_file(m->dir_fd, "health", text, sizeof text);
	const char *kept = last_lines(text, size > 0 ? size : 0, KEPT_PROBES - 1);
	char *end = append_probe(m, line, line + sizeof line, exit_code);
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
	long fd = sys(openat, m->dir_fd, "health.new", flags, 0600);

	if (fd < 0)
		return;
	if (size > 0)
		sys(write, fd, kept, text + size - kept);
	if (sys(write, fd, line, end - line) == end - line)
		sys(renameat, m->dir_fd, "health.new", m->dir_fd, "health");
	sys(close, fd);
}

static void conclude(struct monitor *m, int exit_code)
{
	record(m, exit_code);
	judge(m, exit_code);
	m->health.timeout_ms = NEVER;
	m->health.next_ms = now_ms() + interval(m);
}

static long launch_probe(struct monitor *m, int output_fd)
{
	struct launch launch = {
		.init_fd = m->init_fd,
		.cgroup_fd = -1,
		.plan = m->config.health_plan,
		.plan_size = m->config.health_plan_size,
		.stdio = { 0 /* /dev/null */, output_fd, output_fd },
		.slots = &m->pidfd,
		.slot_count = 1,
		.timeout_ms = START_LIMIT_MS,
	};
	long result;

	if (m->config.cgroups.v2)
		launch.cgroup_fd = sys(openat, AT_HERE, m->config.cgroups.v2, DIRECTORY_FLAGS, 0);
	result = launch_begin(&launch);
	close_fd(&launch.cgroup_fd);
	if (result != 0)
		launch_abandon(&launch);
	close_fd(&launch.terminal_fd);
	close_fd(&launch.listener_fd);
	close_fd(&launch.mount_ns_fd);
	m->health.pidfd = result == 0 ? launch.pidfd : -1;
	return result;
}

void health_probe(struct monitor *m)
{
	int pair[2];

	m->health.next_ms = NEVER;
	if (m->phase != PHASE_RUNNING)
		return;
	if (ck_streq(m->state.status, "paused")) { /* a frozen cgroup would freeze the check too */
		m->health.next_ms = now_ms() + interval(m);
		return;
	}
	format_time(m->health.start, wall_clock_ns());
	m->health.output_size = m->health.timed_out = 0;
	if (sys(pipe2, pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return conclude(m, 125);
	m->health.output_fd = pair[0];
	sys(fcntl, pair[1], F_SETFL, 0);
	if (launch_probe(m, pair[1]) != 0) {
		close_fd(&m->health.output_fd);
		conclude(m, 126);
	} else {
		m->health.timeout_ms = now_ms() + m->config.health.timeout_ms;
	}
	sys(close, pair[1]);
}

void health_read(struct monitor *m)
{
	struct health *health = &m->health;
	char excess[512];
	uint32_t room = sizeof health->output - health->output_size;
	long n;

	if (health->output_fd < 0)
		return;
	if (room)
		n = sys(read, health->output_fd, health->output + health->output_size, room);
	else
		n = sys(read, health->output_fd, excess, sizeof excess);
	if (n == 0)
		close_fd(&health->output_fd);
	else if (n > 0 && room)
		health->output_size += n;
}

void health_expire(struct monitor *m)
{
	m->health.timeout_ms = NEVER;
	m->health.timed_out = 1;
	if (m->health.pidfd >= 0)
		sys(pidfd_send_signal, m->health.pidfd, KILL_SIGNAL, NULL, 0);
}

void health_reap(struct monitor *m)
{
	int exit_code;

	if (m->health.pidfd < 0)
		return;
	exit_code = reap(m->health.pidfd);
	close_fd(&m->health.pidfd);
	health_read(m);
	close_fd(&m->health.output_fd);
	conclude(m, m->health.timed_out ? TIMED_OUT_CODE : exit_code);
}
