/* The monitor's main loop: one poll over everything that can happen to the container. */
#include "monitor.h"

#define MAP_READABLE 1 /* PROT_READ */
#define MAP_OWN 2      /* MAP_PRIVATE */

enum {
	ON_LISTENER,
	ON_PROCESS,
	ON_OWNER,
	ON_STREAM,
	ON_STDIN = ON_STREAM + STREAM_COUNT,
	ON_PROBE,
	ON_PROBE_OUTPUT,
	ON_CLIENT,
	POLL_COUNT = ON_CLIENT + MAX_CLIENTS
};

static struct monitor the_monitor;

static long map_config(struct config *config)
{
	int64_t size = sys(lseek, CONFIG_FD, 0, 2 /* SEEK_END */);
	long data;

	if (size <= 0)
		return -EINVAL;
	data = sys(mmap, NULL, size, MAP_READABLE, MAP_OWN, CONFIG_FD, 0);
	sys(close, CONFIG_FD);
	/* The kernel returns addresses as they are and errors as the last page of them. */
	if (data < 0 && data > -4096)
		return data;
	return config_parse(config, (const char *)data, size);
}

static long set_up(struct monitor *m)
{
	long error = map_config(&m->config);

	m->init_fd = sys(openat, AT_HERE, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	m->owner_fd = m->config.owned ? OWNER_FD : -1;
	m->listen_fd = m->pidfd = m->mount_ns_fd = m->stdin_fd = m->terminal_fd = m->log.fd = -1;
	m->streams[STREAM_OUT].fd = m->streams[STREAM_ERR].fd = -1;
	m->health.pidfd = m->health.output_fd = -1;
	m->restart_ms = m->kill_ms = m->drained_ms = m->health.next_ms = m->health.timeout_ms = NEVER;
	m->state.status = "created";
	m->state.health = "none";
	m->state.exit_code = -1;
	if (error == 0)
		error = m->init_fd < 0 ? m->init_fd : 0;
	if (error == 0)
		error = m->dir_fd = sys(openat, AT_HERE, m->config.directory, DIRECTORY_FLAGS, 0);
	if (error >= 0)
		error = socket_open(m);
	if (error >= 0)
		log_open(m);
	return error < 0 ? error : 0;
}

static void watch(struct pollfd *poll, int fd, int events)
{
	*poll = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void watch_streams(const struct monitor *m, struct pollfd *polls)
{
	for (int i = 0; i < STREAM_COUNT; i++)
		/* While a lossless client owes us its attention the program waits, as at any full pipe. */
		watch(&polls[ON_STREAM + i], m->streams[i].fd, stream_owed(m, i) ? 0 : POLLIN);
	watch(&polls[ON_STDIN], m->stdin_fd, m->stdin_have > m->stdin_sent ? POLLOUT : 0);
}

static void watch_client(const struct monitor *m, struct pollfd *poll, const struct client *client)
{
	int input_waits = m->stdin_have > m->stdin_sent && (client->wants & WANTS_STDIN);

	watch(poll, client->fd, (input_waits ? 0 : POLLIN) | (client->owed ? POLLOUT : 0));
}

static int watch_all(const struct monitor *m, struct pollfd *polls)
{
	watch(&polls[ON_LISTENER], m->listen_fd, m->client_count < MAX_CLIENTS ? POLLIN : 0);
	watch(&polls[ON_PROCESS], m->pidfd, POLLIN);
	watch(&polls[ON_OWNER], m->owner_fd, POLLIN);
	watch_streams(m, polls);
	watch(&polls[ON_PROBE], m->health.pidfd, POLLIN);
	watch(&polls[ON_PROBE_OUTPUT], m->health.output_fd, POLLIN);
	for (uint32_t i = 0; i < m->client_count; i++)
		watch_client(m, &polls[ON_CLIENT + i], &m->clients[i]);
	return ON_CLIENT + m->client_count;
}

static int64_t earliest(const struct monitor *m)
{
	const int64_t times[] = { m->restart_ms, m->kill_ms, m->drained_ms, m->health.next_ms, m->health.timeout_ms };
	int64_t first = NEVER;

	for (uint32_t i = 0; i < sizeof times / sizeof *times; i++)
		if (times[i] < first)
			first = times[i];
	return first;
}

static void wait_for_something(struct pollfd *polls, int count, int64_t until_ms)
{
	int64_t left = until_ms == NEVER ? 0 : until_ms - now_ms();
	struct timespec_raw timeout = { left / 1000, left % 1000 * 1000000 };

	if (left < 0)
		timeout = (struct timespec_raw){ 0, 0 };
	for (int i = 0; i < count; i++)
		polls[i].revents = 0;
	sys(ppoll, polls, count, until_ms == NEVER ? NULL : &timeout, NULL, 0);
}

static void serve_clients(struct monitor *m, const struct pollfd *polls, uint32_t polled)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < polled; i++) {
		if (polls[i].revents & POLLOUT)
			stream_settle(m, &m->clients[i]);
		if (polls[i].revents & (POLLIN | POLLHUP | POLLERR))
			client_serve(m, &m->clients[i]);
	}
	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].fd >= 0)
			m->clients[kept++] = m->clients[i];
	m->client_count = kept;
}

static void on_owner_death(struct monitor *m)
{
	close_fd(&m->owner_fd);
	m->config.auto_remove = 1;
	container_stop(m, KILL_SIGNAL, 0);
}

static void check_times(struct monitor *m)
{
	int64_t now = now_ms();

	if (m->kill_ms <= now)
		container_kill(m);
	if (m->health.timeout_ms <= now)
		health_expire(m);
	if (m->health.next_ms <= now)
		health_probe(m);
	if (m->restart_ms <= now && m->phase == PHASE_WAITING)
		container_restart(m);
}

static void check_drained(struct monitor *m)
{
	int open = m->streams[STREAM_OUT].fd >= 0 || m->streams[STREAM_ERR].fd >= 0;

	if (m->phase == PHASE_DRAINING && (!open || m->drained_ms <= now_ms()))
		container_drained(m);
}

static void serve_once(struct monitor *m, struct pollfd *polls)
{
	int count = watch_all(m, polls);
	uint32_t polled = m->client_count;

	wait_for_something(polls, count, earliest(m));
	for (int i = 0; i < STREAM_COUNT; i++)
		if (polls[ON_STREAM + i].revents)
			stream_read(m, i);
	if (polls[ON_STDIN].revents)
		stdin_write(m);
	serve_clients(m, polls + ON_CLIENT, polled);
	if (polls[ON_LISTENER].revents)
		socket_accept(m);
	if (polls[ON_PROBE_OUTPUT].revents)
		health_read(m);
	if (polls[ON_PROBE].revents)
		health_reap(m);
	if (polls[ON_OWNER].revents)
		on_owner_death(m);
	if (polls[ON_PROCESS].revents)
		container_ended(m);
	check_times(m);
	check_drained(m);
}

static void report(struct monitor *m, const void *data, uint32_t size, char kind)
{
	struct client starter = { .fd = STARTER_FD };

	client_send(&starter, &kind, 1, data, size, kind == 'S' ? m->pidfd : -1);
}

/* The first start; its failure is told to the starter, who knows how to put it in words. */
static long first_start(struct monitor *m)
{
	struct status_record record = { 0 };
	long result = set_up(m);
	int32_t error;

	if (result == 0) {
		state_reserve(m);
		result = container_start(m, &record);
	}
	if (result == 0) {
		health_begin(m);
		state_publish(m);
		event_append(m, "start", "");
		report(m, &m->state.pid, sizeof m->state.pid, 'S');
		return 0;
	}
	note_failed_start(m, result, &record);
	error = result;
	if (result > 0)
		report(m, &record, sizeof record, 'I');
	else
		report(m, &error, sizeof error, 'F');
	return result;
}

/* Nothing has been read from the container yet, so a starter that stays attached misses nothing. */
static void dismiss_starter(struct monitor *m)
{
	if (m->config.attach)
		m->clients[m->client_count++] = (struct client){ .fd = STARTER_FD, .wants = m->config.attach & ATTACH_BITS };
	else
		sys(close, STARTER_FD);
}

int monitor_main(int argc, char **argv)
{
	struct pollfd polls[POLL_COUNT];
	struct monitor *m = &the_monitor;

	(void)argc, (void)argv;
	become_daemon("ckit-monitor");
	if (first_start(m) == 0) {
		dismiss_starter(m);
		while (m->phase != PHASE_ENDED)
			serve_once(m, polls);
	}
	monitor_finish(m);
	return 0;
}
