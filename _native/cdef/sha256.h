/* SHA-256 with the processor's instructions where it has them. */
struct ck_sha256 {
	uint32_t state[8];
	uint64_t length;
	unsigned char block[64];
};

void ck_sha256_start(struct ck_sha256 *hash);
void ck_sha256_update(struct ck_sha256 *hash, const void *data, size_t size);
/* Leaves *hash as it was, so that more may follow. */
void ck_sha256_digest(const struct ck_sha256 *hash, unsigned char *out);

/* From the current position of fd to its end; returns 0 or -errno. */
int ck_sha256_fd(int fd, unsigned char *out);
/* Exactly size bytes from offset, the position untouched; -ENODATA when there are fewer. */
int ck_sha256_range(int fd, int64_t offset, int64_t size, unsigned char *out);
/* 1 when the processor's SHA instructions are used. */
int ck_sha256_accelerated(void);
/* For tests: 1 forbids the processor's instructions, 0 allows them. */
void ck_sha256_force_portable(int portable);
