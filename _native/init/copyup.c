/* The mount option `tmpcopyup`: a new file system begins with what the image has in that directory.
 *
 * The source is below an open descriptor of the image's directory and no link in it is followed; the
 * destination is a file system that nobody else sees yet. */
#include "init.h"

#define MAX_DEPTH 64
#define ENTRIES_BYTES 8192

struct entry {
	uint64_t inode, next;
	unsigned short length;
	unsigned char type;
	char name[];
};

static long copy_bytes(int from, int to)
{
	static char buffer[32768];
	long n;

	while ((n = sys(read, from, buffer, sizeof buffer)) > 0)
		for (long done = 0; done < n;) {
			long written = sys(write, to, buffer + done, n - done);
			if (written < 0)
				return written;
			done += written;
		}
	return n;
}

static long copy_file(int from, int to, const char *name)
{
	long source = sys(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), target, result;

	if (source < 0)
		return source;
	target = sys(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	result = target < 0 ? target : copy_bytes(source, target);
	if (target >= 0)
		sys(close, target);
	sys(close, source);
	return result;
}

static long copy_link(int from, int to, const char *name)
{
	char text[PATH_LIMIT];
	long n = sys(readlinkat, from, name, text, sizeof text - 1);

	if (n < 0)
		return n;
	text[n] = 0;
	return sys(symlinkat, text, to, name);
}

static long copy_directory(int from, int to, const char *name, int depth)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	long source, target, result = sys(mkdirat, to, name, 0700);

	if (result < 0)
		return result;
	source = sys(openat, from, name, flags);
	target = sys(openat, to, name, flags);
	result = source < 0 ? source : target < 0 ? target : copy_up(source, target, depth + 1);
	if (source >= 0)
		sys(close, source);
	if (target >= 0)
		sys(close, target);
	return result;
}

static long copy_entry(int from, int to, const char *name, int depth)
{
	struct statx found;
	long result = sys(statx, from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found);
	unsigned kind = found.stx_mode & S_IFMT;

	if (result < 0)
		return result;
	if (kind == S_IFDIR)
		result = copy_directory(from, to, name, depth);
	else if (kind == S_IFREG)
		result = copy_file(from, to, name);
	else if (kind == S_IFLNK)
		result = copy_link(from, to, name);
	else
		return 0; /* sockets, pipes and devices belong to what runs, not to an image's directory */
	if (result >= 0)
		result = sys(fchownat, to, name, found.stx_uid, found.stx_gid, AT_SYMLINK_NOFOLLOW);
	if (result >= 0 && kind != S_IFLNK)
		result = sys(fchmodat, to, name, found.stx_mode & 07777);
	return result;
}

long copy_up(int from, int to, int depth)
{
	char entries[ENTRIES_BYTES] __attribute__((aligned(8)));
	long n, result = 0;

	if (depth > MAX_DEPTH)
		return -ELOOP;
	while (result >= 0 && (n = sys(getdents64, from, entries, sizeof entries)) > 0)
		for (long at = 0; at < n && result >= 0;) {
			const struct entry *entry = (const void *)(entries + at);
			if (!ck_streq(entry->name, ".") && !ck_streq(entry->name, ".."))
				result = copy_entry(from, to, entry->name, depth);
			at += entry->length;
		}
	return result < 0 ? result : n;
}
