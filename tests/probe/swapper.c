/* Exchanges two names in a directory as fast as can be, until SIGTERM; then prints how often. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number)
{
	(void)number;
	ended = 1;
}

int main(int argc, char **argv)
{
	int dir = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	long swaps = 0;

	signal(SIGTERM, end);
	if (dir < 0)
		return 2;
	while (!ended)
		swaps += renameat2(dir, argv[2], dir, argv[3], RENAME_EXCHANGE) == 0;
	printf("%ld\n", swaps);
	return 0;
}
