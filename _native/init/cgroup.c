/* The end of a container's cgroups: kill what runs in them, thaw, count kernel kills, remove the directories.
 *
 * The directories were made by the library; here they are only used and taken away. */
#include "daemon.h"

#include "listing.h"

#define KILL_ROUNDS 1000
#define REMOVE_TRIES 12 /* waits 1, 2, 4, ... ms: 4 s in all */
#define PATH_SIZE 512

static int path_of(char *path, const char *directory, const char *file)
{
	char *at = ck_append(path, path + PATH_SIZE, directory);

	at = ck_append(at, path + PATH_SIZE, "/");
	ck_append(at, path + PATH_SIZE, file);
	return ck_strlen(directory) + ck_strlen(file) + 2 <= PATH_SIZE;
}

static long write_control(const char *directory, const char *file, const char *text)
{
	char path[PATH_SIZE];

	return path_of(path, directory, file) ? write_small_file(AT_HERE, path, text) : -ENAMETOOLONG;
}

/* Only what ends with a newline is a whole number: a list longer than one read may be cut within one. */
static int kill_listed(const char *text)
{
	int killed = 0;

	for (const char *at = text; *at; at++) {
		long pid = 0;
		for (; *at >= '0' && *at <= '9'; at++)
			pid = pid * 10 + (*at - '0');
		if (!*at)
			break;
		if (pid > 0)
			killed += sys(kill, pid, KILL_SIGNAL) == 0;
	}
	return killed;
}

/* Version 1 has no kill file: repeat until the list is empty, so that a process that forks is caught too. */
static void kill_members(const char *directory)
{
	char path[PATH_SIZE], list[4096];

	if (!path_of(path, directory, "cgroup.procs"))
		return;
	for (int round = 0; round < KILL_ROUNDS; round++) {
		long n = read_small_file(AT_HERE, path, list, sizeof list);
		if (n <= 0 || kill_listed(list) == 0)
			return;
		sleep_ms(1);
	}
}

static uint64_t count_after(const char *text, const char *key)
{
	uint64_t value = 0;

	for (; *text; text++)
		if (ck_starts(text, key)) {
			for (text += ck_strlen(key); *text >= '0' && *text <= '9'; text++)
				value = value * 10 + (*text - '0');
			return value;
		}
	return 0;
}

static int is_empty(const char *v2)
{
	char path[PATH_SIZE], text[256];
	long n = path_of(path, v2, "cgroup.events") ? read_small_file(AT_HERE, path, text, sizeof text) : 0;

	return n > 0 && count_after(text, "populated ") == 0;
}

void cgroups_kill(const struct cgroups *groups)
{
	if (!groups->v2 || write_control(groups->v2, "cgroup.kill", "1") < 0)
		cgroups_kill_members(groups);
}

/* Process by process: a group that was once killed by its kill file takes in no process that is born into it from
 * outside (Linux 6.18 compares its count of kills with that of the parent's group), so it could not start again. */
void cgroups_kill_members(const struct cgroups *groups)
{
	if (groups->v2 && is_empty(groups->v2))
		return;
	if (groups->v2)
		kill_members(groups->v2);
	if (groups->v1_count)
		kill_members(groups->v1[0]);
}

void cgroups_thaw(const struct cgroups *groups)
{
	if (groups->v2)
		write_control(groups->v2, "cgroup.freeze", "0");
	for (uint32_t i = 0; i < groups->v1_count; i++)
		write_control(groups->v1[i], "freezer.state", "THAWED");
}

static uint64_t oom_kills_in(const char *directory, const char *file)
{
	char path[PATH_SIZE], text[1024];

	if (!path_of(path, directory, file) || read_small_file(AT_HERE, path, text, sizeof text) <= 0)
		return 0;
	return count_after(text, "oom_kill ");
}

uint64_t cgroups_oom_kills(const struct cgroups *groups)
{
	uint64_t kills = groups->v2 ? oom_kills_in(groups->v2, "memory.events") : 0;

	for (uint32_t i = 0; i < groups->v1_count; i++)
		kills += oom_kills_in(groups->v1[i], "memory.oom_control");
	return kills;
}

/* A program that manages cgroups itself leaves directories below its own. */
static void remove_children(int dir_fd, int depth)
{
	struct listing listing;
	struct listed *entry;

	listing_begin(&listing, dir_fd);
	while ((entry = listing_next(&listing))) {
		if (entry->type != LISTED_DIRECTORY)
			continue;
		long fd = depth ? sys(openat, dir_fd, entry->name, DIRECTORY_FLAGS, 0) : -1;
		if (fd >= 0) {
			remove_children(fd, depth - 1);
			sys(close, fd);
		}
		sys(unlinkat, dir_fd, entry->name, AT_REMOVE_DIRECTORY);
	}
}

static long remove_one(const char *directory)
{
	long result = sys(unlinkat, AT_HERE, directory, AT_REMOVE_DIRECTORY);
	long fd;

	if (result != -EBUSY && result != -ENOTEMPTY)
		return result;
	fd = sys(openat, AT_HERE, directory, DIRECTORY_FLAGS, 0);
	if (fd >= 0) {
		remove_children(fd, 16);
		sys(close, fd);
	}
	return sys(unlinkat, AT_HERE, directory, AT_REMOVE_DIRECTORY);
}

/* Busy while the kernel finishes with a process that has just ended: there is no event for that to wait for. */
static void remove_with_parent(const char *directory)
{
	char parent[PATH_SIZE];
	char *slash = NULL;

	for (int i = 0; remove_one(directory) == -EBUSY && i < REMOVE_TRIES; i++)
		sleep_ms(1LL << i);
	ck_append(parent, parent + sizeof parent, directory);
	for (char *at = parent; *at; at++)
		if (*at == '/')
			slash = at;
	if (slash == NULL || slash == parent)
		return;
	*slash = 0;
	sys(unlinkat, AT_HERE, parent, AT_REMOVE_DIRECTORY); /* fails while others are in it */
}

void cgroups_remove(const struct cgroups *groups)
{
	for (uint32_t i = 0; i < groups->v1_count; i++)
		remove_with_parent(groups->v1[i]);
	if (groups->v2)
		remove_with_parent(groups->v2);
}
