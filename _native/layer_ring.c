/* A ring of buffers between two threads: one fills, one empties. */
#include "layer_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ck_ring_open(struct ck_ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	ring->memory = malloc((size_t)RING_SLOTS * SLOT_SIZE);
	return ring->memory ? 0 : -ENOMEM;
}

void ck_ring_close(struct ck_ring *ring)
{
	free(ring->memory);
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
}

unsigned char *ck_ring_free_slot(struct ck_ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	while (ring->filled - ring->emptied == RING_SLOTS && !ring->abandoned)
		pthread_cond_wait(&ring->changed, &ring->lock);
	int abandoned = ring->abandoned;

	pthread_mutex_unlock(&ring->lock);
	return abandoned ? NULL : ring->memory + (size_t)(ring->filled % RING_SLOTS) * SLOT_SIZE;
}

void ck_ring_publish(struct ck_ring *ring, size_t size)
{
	pthread_mutex_lock(&ring->lock);
	ring->sizes[ring->filled++ % RING_SLOTS] = size;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

static void set_flag(struct ck_ring *ring, int *flag)
{
	pthread_mutex_lock(&ring->lock);
	__atomic_store_n(flag, 1, __ATOMIC_RELAXED); /* read without the lock where the source is waited for */
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ck_ring_end(struct ck_ring *ring)
{
	set_flag(ring, &ring->ended);
}

void ck_ring_abandon(struct ck_ring *ring)
{
	set_flag(ring, &ring->abandoned);
}

const unsigned char *ck_ring_take(struct ck_ring *ring, int first, size_t *size)
{
	const unsigned char *slot = NULL;

	pthread_mutex_lock(&ring->lock);
	if (!first) {
		ring->emptied++;
		pthread_cond_signal(&ring->changed);
	}
	while (ring->filled == ring->emptied && !ring->ended)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (ring->filled != ring->emptied) {
		slot = ring->memory + (size_t)(ring->emptied % RING_SLOTS) * SLOT_SIZE;
		*size = ring->sizes[ring->emptied % RING_SLOTS];
	}
	pthread_mutex_unlock(&ring->lock);
	return slot;
}
