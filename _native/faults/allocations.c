/* Allocations that fail when a test says so; linked into the address sanitizer's build only (see build.py).
 *
 * Counted are those of the calling thread's process as a whole: the n-th from now on fails, once or for good. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);

static atomic_long left; /* 0: none fails */
static atomic_int sticky, failed;

/* Let the nth allocation fail, with all_after also those that follow; 0 for none. */
__attribute__((visibility("default"))) void ck_fail_allocation(long nth, int all_after)
{
	atomic_store(&sticky, all_after);
	atomic_store(&failed, 0);
	atomic_store(&left, nth);
}

/* How many have failed since then. */
__attribute__((visibility("default"))) int ck_failed_allocations(void)
{
	return atomic_load(&failed);
}

static int fails(void)
{
	long now = atomic_load(&left);

	if (now <= 0)
		return 0;
	if (now > 1 || !atomic_load(&sticky))
		now = atomic_fetch_sub(&left, 1);
	if (now > 1)
		return 0;
	atomic_fetch_add(&failed, 1);
	return 1;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = __wrap_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}
