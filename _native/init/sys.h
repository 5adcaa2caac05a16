/* System calls without a C library, for x86_64 and aarch64.
 *
 * Used by ckit-init (freestanding) and by the extension's spawn code, where the child shares the memory of
 * the caller and must touch neither errno nor any lock.  `sys(openat, fd, path, flags)` returns the
 * kernel's own value: 0 or more, or -errno. */
#ifndef CKIT_SYS_H
#define CKIT_SYS_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

static inline long ck_sys6(long n, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

static inline long ck_sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "ckit-init knows x86_64 and aarch64; add the system call convention of this processor to sys.h"
#endif

/* Arguments that are not given are 0, so that a forgotten one is never an address by chance. */
#define CK_SYS_0(n) ck_sys6(__NR_##n, 0, 0, 0, 0, 0, 0)
#define CK_SYS_1(n, a) ck_sys6(__NR_##n, (long)(a), 0, 0, 0, 0, 0)
#define CK_SYS_2(n, a, b) ck_sys6(__NR_##n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CK_SYS_3(n, a, b, c) ck_sys6(__NR_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CK_SYS_4(n, a, b, c, d) ck_sys6(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CK_SYS_5(n, a, b, c, d, e) \
	ck_sys6(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define CK_SYS_6(n, a, b, c, d, e, f) \
	ck_sys6(__NR_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CK_PICK(_0, _1, _2, _3, _4, _5, _6, macro, ...) macro
/* sys(name, up to six arguments) */
#define sys(...) \
	CK_PICK(__VA_ARGS__, CK_SYS_6, CK_SYS_5, CK_SYS_4, CK_SYS_3, CK_SYS_2, CK_SYS_1, CK_SYS_0, 0) \
	(__VA_ARGS__)

/* Calls that are newer than some distributions' headers; the numbers are the same on every processor. */
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif

#define RETRY(result, call)                                \
	do {                                               \
		(result) = (call);                         \
	} while ((result) == -4 /* EINTR */)

static inline size_t ck_strlen(const char *text)
{
	size_t n = 0;
	while (text[n])
		n++;
	return n;
}

static inline int ck_streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static inline int ck_starts(const char *text, const char *prefix)
{
	while (*prefix && *text == *prefix)
		text++, prefix++;
	return !*prefix;
}

/* Copy text into a buffer of a given size, always terminated; returns the end. */
static inline char *ck_append(char *at, const char *end, const char *text)
{
	while (*text && at + 1 < end)
		*at++ = *text++;
	*at = 0;
	return at;
}

/* Decimal digits of a number, appended like ck_append. */
static inline char *ck_append_number(char *at, const char *end, unsigned long value)
{
	char digits[24];
	int i = sizeof digits - 1;

	digits[i] = 0;
	do {
		digits[--i] = '0' + value % 10;
		value /= 10;
	} while (value);
	return ck_append(at, end, digits + i);
}

#endif
