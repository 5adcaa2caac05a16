/* The state file and the event log: what others see of the container when they do not ask the monitor. */
#include <linux/stat.h>

#include "monitor.h"

#define STATE_SIZE 1024
#define EVENTS_SIZE (1 << 20)
#define LOCK_ALONE 6 /* LOCK_EX | LOCK_NB */

struct writer {
	char *at, *end;
};

static void put(struct writer *w, const char *key, const char *value)
{
	w->at = ck_append(w->at, w->end, key);
	w->at = ck_append(w->at, w->end, value);
	w->at = ck_append(w->at, w->end, "\n");
}

static void put_number(struct writer *w, const char *key, uint64_t value)
{
	char text[24];

	ck_append_number(text, text + sizeof text, value);
	put(w, key, text);
}

uint32_t state_text(const struct state *state, char *text, uint32_t size)
{
	struct writer w = { text, text + size };

	put(&w, "status=", state->status);
	put_number(&w, "pid=", state->pid);
	put_number(&w, "start_ticks=", state->start_ticks);
	put(&w, "boot_id=", state->boot_id);
	put_number(&w, "monitor_pid=", sys(getpid));
	put(&w, "started_at=", state->started_at);
	put(&w, "finished_at=", state->finished_at);
	if (state->exit_code >= 0)
		put_number(&w, "exit_code=", state->exit_code);
	put_number(&w, "oom_killed=", state->oom_killed);
	put_number(&w, "restarts=", state->restarts);
	put(&w, "health=", state->health);
	put_number(&w, "health_failures=", state->health_failures);
	put(&w, "error=", state->error);
	put(&w, "end=", "1"); /* tells a whole state from one that a power failure cut off */
	return w.at - text;
}

/* When the disk is full: a file that is there keeps its block, so its content can still be replaced. */
static void overwrite(struct monitor *m, const char *text, uint32_t size)
{
	long fd = sys(openat, m->dir_fd, "state", O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);

	if (fd < 0)
		return;
	if (sys(write, fd, text, size) == (long)size)
		sys(ftruncate, fd, size);
	sys(close, fd);
}

/* Before the program runs, which may fill the disk at once: from then on there is a file to overwrite. */
void state_reserve(struct monitor *m)
{
	char text[STATE_SIZE];
	uint32_t size = state_text(&m->state, text, sizeof text);
	long fd = sys(openat, m->dir_fd, "state", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return; /* it has run before */
	sys(write, fd, text, size);
	sys(close, fd);
}

void state_publish(struct monitor *m)
{
	char text[STATE_SIZE];
	uint32_t size = state_text(&m->state, text, sizeof text);
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
	long fd = sys(openat, m->dir_fd, "state.new", flags, 0600);

	int written = fd >= 0 && sys(write, fd, text, size) == (long)size;

	if (fd >= 0)
		sys(close, fd);
	if (!written || sys(renameat, m->dir_fd, "state.new", m->dir_fd, "state") < 0)
		overwrite(m, text, size);
}

/* Field 22 of /proc/<pid>/stat; the name in field 2 may contain anything, so count from the last parenthesis. */
static uint64_t start_ticks(const char *stat)
{
	const char *at = stat, *after = stat;
	uint64_t ticks = 0;

	for (; *at; at++)
		if (*at == ')')
			after = at;
	for (int field = 2; *after && field < 22; after++)
		field += *after == ' ';
	for (; *after >= '0' && *after <= '9'; after++)
		ticks = ticks * 10 + (*after - '0');
	return ticks;
}

void state_note_process(struct state *state, int pid)
{
	char path[40], stat[1024];
	char *at = ck_append(path, path + sizeof path, "/proc/");
	long n;

	at = ck_append_number(at, path + sizeof path, pid);
	ck_append(at, path + sizeof path, "/stat");
	state->pid = pid;
	state->start_ticks = read_small_file(AT_HERE, path, stat, sizeof stat) > 0 ? start_ticks(stat) : 0;
	n = read_small_file(AT_HERE, "/proc/sys/kernel/random/boot_id", state->boot_id, sizeof state->boot_id);
	if (n > 0 && state->boot_id[n - 1] == '\n')
		state->boot_id[n - 1] = 0;
}

static uint64_t inode_of(int dir_fd, const char *path, int flags)
{
	struct statx found = { 0 };

	sys(statx, dir_fd, path, flags, STATX_INO, &found);
	return found.stx_ino;
}

/* Begin a new event log when this one is full.  Whoever gets the lock on the full file renames it. */
static void rotate_events(const char *path, int fd)
{
	char old[512];
	char *at = ck_append(old, old + sizeof old, path);
	int64_t size = sys(lseek, fd, 0, 2 /* SEEK_END */);

	if (size < EVENTS_SIZE || at + 3 > old + sizeof old || sys(flock, fd, LOCK_ALONE) < 0)
		return;
	ck_append(at, old + sizeof old, ".1");
	if (inode_of(fd, "", AT_EMPTY_PATH) == inode_of(AT_HERE, path, 0))
		sys(renameat, AT_HERE, path, AT_HERE, old);
}

void event_append(const struct monitor *m, const char *action, const char *more)
{
	char line[8192], time[TIME_TEXT + 1];
	struct writer w = { line, line + sizeof line };
	long fd;

	if (!m->config.events)
		return;
	format_time(time, wall_clock_ns());
	w.at = ck_append(w.at, w.end, "{\"time\":\"");
	w.at = ck_append(w.at, w.end, time);
	w.at = ck_append(w.at, w.end, "\",\"type\":\"container\",\"action\":\"");
	w.at = ck_append(w.at, w.end, action);
	w.at = ck_append(w.at, w.end, "\",");
	w.at = ck_append(w.at, w.end, m->config.event_fields);
	w.at = ck_append(w.at, w.end, more);
	put(&w, "}", "");
	fd = sys(openat, AT_HERE, m->config.events, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	sys(write, fd, line, w.at - line); /* one write: lines of several writers never mix */
	rotate_events(m->config.events, fd);
	sys(close, fd);
}
