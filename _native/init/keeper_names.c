/* The tables of endpoints, kept as the files in the networks' directories come and go.
 *
 * The kernel tells of a file (inotify) before the call that made it returns, and the tables are brought up to date
 * after a question has been received: whoever was attached before a question was sent is found by it. */
#include "keeper.h"

#include <linux/stat.h>

#include "listing.h"

#define WATCH_NEW 04000 /* IN_NONBLOCK */
#define EVENT_CREATED_OR_GONE 0x2c0 /* IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE */
#define EVENT_OVERFLOW 0x4000
#define EVENT_NO_WATCH 0x8000 /* IN_IGNORED: the directory itself is gone */
#define CLOCK_STEP_NS 20000000 /* changes that follow each other this fast may have the same time */

struct watch_event {
	int watch;
	uint32_t mask, cookie, size;
	char name[];
};

static int is_owner(const char *name)
{
	size_t n = 0;

	while ((name[n] >= '0' && name[n] <= '9') || (name[n] >= 'a' && name[n] <= 'f'))
		n++;
	return n == OWNER_SIZE && name[n] == 0;
}

static void load_endpoint(struct table *table, const char *owner)
{
	static char text[ENDPOINT_ROOM];
	static union {
		struct endpoint endpoint;
		char room[ENDPOINT_ROOM];
	} parsed;
	long size = read_small_file(table->dir_fd, owner, text, sizeof text);

	if (size < 0) {
		endpoints_forget(&table->endpoints, owner);
		return;
	}
	endpoint_parse(&parsed.endpoint, owner, text, size);
	endpoints_put(&table->endpoints, &parsed.endpoint);
}

static void load_all(struct table *table)
{
	struct listing listing;
	struct listed *entry;

	endpoints_clear(&table->endpoints);
	sys(lseek, table->dir_fd, 0, 0);
	listing_begin(&listing, table->dir_fd);
	while ((entry = listing_next(&listing)))
		if (is_owner(entry->name))
			load_endpoint(table, entry->name);
}

static int64_t changed_ns(int dir_fd)
{
	struct statx status = { 0 };

	if (sys(statx, dir_fd, "", AT_EMPTY_PATH, STATX_MTIME, &status) < 0)
		return 0;
	return status.stx_mtime.tv_sec * ONE_SECOND_NS + status.stx_mtime.tv_nsec;
}

static void path_for_watch(char *path, size_t size, int fd)
{
	char *at = ck_append(path, path + size, "/proc/self/fd/");

	ck_append_number(at, path + size, fd);
}

/* Watched before it is read, so that nothing comes between. */
static long table_open(struct keeper *k, struct table *table, const char *id)
{
	char path[OWNER_SIZE + 16], *at = ck_append(path, path + sizeof path, id);
	long fd;

	ck_append(at, path + sizeof path, "/endpoints");
	fd = sys(openat, k->networks_fd, path, DIRECTORY_FLAGS, 0);
	if (fd < 0)
		return fd;
	ck_append(table->id, table->id + sizeof table->id, id);
	table->dir_fd = fd;
	table->watch = -1;
	path_for_watch(path, sizeof path, fd);
	if (k->watch_fd >= 0)
		table->watch = sys(inotify_add_watch, k->watch_fd, path, EVENT_CREATED_OR_GONE);
	table->changed_ns = changed_ns(fd);
	load_all(table);
	return 0;
}

static void table_close(struct table *table)
{
	endpoints_clear(&table->endpoints);
	close_fd(&table->dir_fd);
	table->id[0] = 0;
}

static const char *last_component(const char *path)
{
	const char *last = path;

	for (; *path; path++)
		if (*path == '/' && path[1])
			last = path + 1;
	return last;
}

long names_open(struct keeper *k)
{
	const char *id = last_component(k->config.directory);

	/* Without a watch (a user may have few of them) the directories' times are looked at. */
	k->watch_fd = sys(inotify_init1, WATCH_NEW | O_CLOEXEC);
	k->networks_fd = sys(openat, k->dir_fd, "..", DIRECTORY_FLAGS, 0);
	if (k->networks_fd < 0)
		return k->networks_fd;
	return is_owner(id) ? table_open(k, &k->tables[0], id) : -EINVAL;
}

static struct table *watched(struct keeper *k, int watch)
{
	for (int i = 0; i < MAX_TABLES; i++)
		if (k->tables[i].id[0] && k->tables[i].watch == watch)
			return &k->tables[i];
	return NULL;
}

static void take_event(struct keeper *k, const struct watch_event *event)
{
	struct table *table = watched(k, event->watch);

	if (event->mask & EVENT_OVERFLOW) {
		for (int i = 0; i < MAX_TABLES; i++)
			if (k->tables[i].id[0])
				load_all(&k->tables[i]);
	} else if (table && event->mask & EVENT_NO_WATCH) {
		if (table == k->tables)
			endpoints_clear(&table->endpoints);
		else
			table_close(table);
	} else if (table && event->size && is_owner(event->name)) {
		load_endpoint(table, event->name);
	}
}

static void take_events(struct keeper *k)
{
	char data[2048] __attribute__((aligned(8)));
	long size;

	while ((size = sys(read, k->watch_fd, data, sizeof data)) > 0)
		for (long at = 0; at < size;) {
			const struct watch_event *event = (const void *)(data + at);
			take_event(k, event);
			at += sizeof *event + event->size;
		}
}

static void look_at_time(struct table *table)
{
	int64_t changed = changed_ns(table->dir_fd);

	if (changed != table->changed_ns || changed == 0)
		load_all(table);
	/* A change that is so young may be followed by one of the same time: look once more. */
	table->changed_ns = changed > wall_clock_ns() - CLOCK_STEP_NS ? 0 : changed;
}

void names_refresh(struct keeper *k)
{
	if (k->watch_fd >= 0)
		take_events(k);
	for (int i = 0; i < MAX_TABLES; i++)
		if (k->tables[i].id[0] && k->tables[i].watch < 0)
			look_at_time(&k->tables[i]);
	if (k->tables[0].endpoints.count)
		k->empty_ms = NEVER;
	else if (k->empty_ms == NEVER)
		k->empty_ms = now_ms();
}

/* Whether the files themselves, not what we know of them, are gone. */
int names_is_empty(struct keeper *k)
{
	struct listing listing;
	struct listed *entry;

	sys(lseek, k->tables[0].dir_fd, 0, 0);
	listing_begin(&listing, k->tables[0].dir_fd);
	while ((entry = listing_next(&listing)))
		if (is_owner(entry->name))
			return 0;
	return 1;
}

static struct table *table_of(struct keeper *k, const char *id)
{
	struct table *free = NULL;

	for (int i = 1; i < MAX_TABLES; i++) {
		if (ck_streq(k->tables[i].id, id))
			return &k->tables[i];
		if (!k->tables[i].id[0] && !free)
			free = &k->tables[i];
	}
	return free && table_open(k, free, id) == 0 ? free : NULL;
}

static int is_member(struct keeper *k, const char *id, const struct endpoint *client)
{
	char path[2 * OWNER_SIZE + 16], *end = path + sizeof path;
	char *at = ck_append(ck_append(path, end, id), end, "/endpoints/");

	memcpy(at, client->owner, OWNER_SIZE);
	at[OWNER_SIZE] = 0;
	return sys(faccessat, k->networks_fd, path, 0) == 0;
}

/* The network's own table, and those of the other networks that the client is in; returns how many. */
uint32_t names_tables(struct keeper *k, const struct endpoint *client, const struct endpoints **tables)
{
	struct listing listing;
	struct listed *entry;
	uint32_t count = 0;

	tables[count++] = &k->tables[0].endpoints;
	if (!client)
		return count;
	sys(lseek, k->networks_fd, 0, 0);
	listing_begin(&listing, k->networks_fd);
	while (count < MAX_TABLES && (entry = listing_next(&listing))) {
		struct table *table;

		if (!is_owner(entry->name) || ck_streq(entry->name, k->tables[0].id))
			continue;
		if (is_member(k, entry->name, client) && (table = table_of(k, entry->name)))
			tables[count++] = &table->endpoints;
	}
	return count;
}
