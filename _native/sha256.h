/* The two ways to run SHA-256's compression function over whole 64-byte blocks. */
#ifndef CK_SHA256_H
#define CK_SHA256_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t ck_sha256_constants[64];

void ck_sha256_blocks_portable(uint32_t *state, const unsigned char *data, size_t blocks);
/* x86 SHA extensions; call only when ck_sha256_have_ni() says 1. */
void ck_sha256_blocks_ni(uint32_t *state, const unsigned char *data, size_t blocks);
int ck_sha256_have_ni(void);

#endif
