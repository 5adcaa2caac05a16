/* Time, small files and fields for the daemons. */
#include "daemon.h"

#define CLOCK_REAL 0
#define CLOCK_STEADY 1
#define PR_NAME 15
#define PR_DUMPABLE 4

static int64_t clock_ns(int clock)
{
	struct timespec_raw now = { 0, 0 };

	sys(clock_gettime, clock, &now);
	return now.seconds * ONE_SECOND_NS + now.nanoseconds;
}

int64_t now_ms(void)
{
	return clock_ns(CLOCK_STEADY) / 1000000;
}

int64_t wall_clock_ns(void)
{
	return clock_ns(CLOCK_REAL);
}

void sleep_ms(int64_t ms)
{
	struct timespec_raw time = { ms / 1000, ms % 1000 * 1000000 };

	sys(nanosleep, &time, NULL);
}

static char *digits(char *at, int64_t value, int count, char after)
{
	for (int i = count - 1; i >= 0; i--, value /= 10)
		at[i] = '0' + value % 10;
	at[count] = after;
	return at + count + 1;
}

/* Civil date from days since 1970: years begin in March, so that the leap day comes last.
 * Source: the proleptic Gregorian calendar; 400 years have 146097 days. */
static char *format_date(char *at, int64_t days)
{
	int64_t shifted = days + 719468;
	int64_t era = shifted / 146097, day = shifted % 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	at = digits(at, year + era * 400 + (month >= 10), 4, '-');
	at = digits(at, month < 10 ? month + 3 : month - 9, 2, '-');
	return digits(at, day_of_year - (153 * month + 2) / 5 + 1, 2, 'T');
}

void format_time(char *text, int64_t ns)
{
	int64_t seconds = ns / ONE_SECOND_NS;
	char *at = format_date(text, seconds / 86400);

	at = digits(at, seconds / 3600 % 24, 2, ':');
	at = digits(at, seconds / 60 % 60, 2, ':');
	at = digits(at, seconds % 60, 2, '.');
	at = digits(at, ns % ONE_SECOND_NS, 9, 'Z');
	*at = 0;
}

long read_small_file(int dir_fd, const char *path, char *data, size_t size)
{
	long fd = sys(openat, dir_fd, path, O_RDONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	RETRY(n, sys(read, fd, data, size - 1));
	sys(close, fd);
	data[n > 0 ? n : 0] = 0;
	return n;
}

long write_small_file(int dir_fd, const char *path, const char *text)
{
	long fd = sys(openat, dir_fd, path, O_WRONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	RETRY(n, sys(write, fd, text, ck_strlen(text)));
	sys(close, fd);
	return n;
}

void become_daemon(const char *name)
{
	uint64_t all = ~0ULL;

	/* No signal but SIGKILL ends a daemon: what it guards must not be lost to a Ctrl-C. */
	sys(rt_sigprocmask, 0 /* SIG_BLOCK */, &all, NULL, 8);
	sys(setsid);
	sys(umask, 077);
	sys(chdir, "/");
	sys(prctl, PR_NAME, name);
	sys(prctl, PR_DUMPABLE, 0);
}

int next_field(const char **at, const char *end, struct field *field)
{
	const uint32_t *head = (const void *)*at;

	if (*at == end)
		return 0;
	if (end - *at < 8 || head[1] > (uint64_t)(end - *at - 8))
		return -EINVAL;
	*field = (struct field){ head[0], head[1], *at + 8 };
	*at += 8 + ((head[1] + 7) & ~7U);
	if (*at > end)
		*at = end;
	return 1;
}
