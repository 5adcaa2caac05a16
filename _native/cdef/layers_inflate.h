/* A whole file out of its compression: archives that were compressed around everything in them. */

struct ck_inflate_file {
	/* What to do: from the current position of one to that of the other. */
	int source_fd;
	int out_fd;
	int compression; /* CK_GZIP or CK_ZSTD */
	uint64_t ratio;  /* plain to compressed bytes, */
	uint64_t ratio_grace; /* once there are more plain bytes than this */
	/* Set to 1 by another thread to stop early. */
	int cancelled;
	/* What came out. */
	uint64_t read;
	uint64_t written;
	struct ck_fault fault;
};

int ck_inflate_file(struct ck_inflate_file *job);
