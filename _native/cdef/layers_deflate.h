/* A stream into gzip: plain layers on their way to a registry.  Equal bytes give equal bytes. */

struct ck_deflate_file {
	/* What to do: from the current position of one (a file or a pipe) to that of the other. */
	int source_fd;
	int out_fd;
	/* Set to 1 by another thread to stop early. */
	int cancelled;
	/* What came out. */
	unsigned char digest[32]; /* of what was written */
	uint64_t read;
	uint64_t written;
	struct ck_fault fault;
};

int ck_deflate_file(struct ck_deflate_file *job);
