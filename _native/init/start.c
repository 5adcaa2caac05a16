/* The first instructions, the four functions that a compiler may call on its own, and which role to play. */
#include "sys.h"

int init_main(int argc, char **argv);
/* The other roles stand in files of their own. */
__attribute__((weak)) int monitor_main(int argc, char **argv);
__attribute__((weak)) int guardian_main(int argc, char **argv);
__attribute__((weak)) int keeper_main(int argc, char **argv);
__attribute__((weak)) int holder_main(int argc, char **argv);
__attribute__((weak)) int reaper_main(int argc, char **argv);

/* Without this the compiler would turn the loops below into calls of themselves; clang does not with -fno-builtin. */
#if defined(__clang__)
#define NO_LOOP_IDIOMS
#else
#define NO_LOOP_IDIOMS __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

NO_LOOP_IDIOMS void *memset(void *to, int value, size_t n)
{
	unsigned char *p = to;
#if defined(__x86_64__)
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(value) : "memory");
#endif
	while (n--)
		*p++ = value;
	return to;
}

NO_LOOP_IDIOMS void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	unsigned char *p = to;
	const unsigned char *q = from;
#if defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(p), "+S"(q), "+c"(n) : : "memory");
#endif
	while (n--)
		*p++ = *q++;
	return to;
}

NO_LOOP_IDIOMS void *memmove(void *to, const void *from, size_t n)
{
	unsigned char *p = to;
	const unsigned char *q = from;
	if (p < q)
		while (n--)
			*p++ = *q++;
	else
		while (n--)
			p[n] = q[n];
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *p = a, *q = b;
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

static int main_of(int argc, char **argv)
{
	/* Nobody may look into this process, not even through /proc/PID: it still has the host's rights. */
	sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);
	if (argc < 1)
		return 125;
	if (ck_starts(argv[0], "ckit-monitor") && monitor_main)
		return monitor_main(argc, argv);
	if (ck_starts(argv[0], "ckit-guardian") && guardian_main)
		return guardian_main(argc, argv);
	if (ck_starts(argv[0], "ckit-keeper") && keeper_main)
		return keeper_main(argc, argv);
	if (ck_starts(argv[0], "ckit-holder") && holder_main)
		return holder_main(argc, argv);
	if (ck_starts(argv[0], "ckit-reaper") && reaper_main)
		return reaper_main(argc, argv);
	return init_main(argc, argv);
}

__attribute__((noreturn, used)) void start_c(long *stack)
{
	sys(exit_group, main_of((int)stack[0], (char **)(stack + 1)));
	__builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start_c\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl start_c\n");
#endif
