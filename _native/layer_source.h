/* The first half of unpacking: source -> digest and copy -> inflate -> ring. */
#ifndef CK_LAYER_SOURCE_H
#define CK_LAYER_SOURCE_H

#include <pthread.h>

#include "layer.h"

enum { RING_SLOTS = 32, SLOT_SIZE = 256 * 1024 };

/* Plain bytes on their way from the reading to the extracting thread. */
struct ck_ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *memory;
	size_t sizes[RING_SLOTS];
	unsigned int filled, emptied; /* how many slots ever were */
	int ended;                    /* nothing more will be filled */
	int abandoned;                /* nobody will empty */
	int taker_hashes;             /* the emptying thread computes the diff id */
};

int ck_ring_open(struct ck_ring *ring);
void ck_ring_close(struct ck_ring *ring);
/* The next slot to fill; NULL when the other side gave up. */
unsigned char *ck_ring_free_slot(struct ck_ring *ring);
void ck_ring_publish(struct ck_ring *ring, size_t size);
void ck_ring_end(struct ck_ring *ring);
/* Gives back the slot taken before and takes the next; NULL at the end. */
const unsigned char *ck_ring_take(struct ck_ring *ring, int first, size_t *size);
void ck_ring_abandon(struct ck_ring *ring);

/* Runs until the source is exhausted; 0 or -errno with the fault recorded.  Sets the blob's digest, which is the
 * diff id too when the layer is not compressed. */
int ck_source_run(struct ck_unpack *job, struct ck_ring *ring, struct ck_fault *fault);

#endif
