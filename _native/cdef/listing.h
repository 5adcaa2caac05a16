/* What stands in a directory, and the digests of many files at once. */

struct ck_listed {
	uint64_t device, inode, rdev;
	int64_t size, modified_ns, changed_ns;
	uint32_t mode, uid, gid, links;
};

struct ck_listing {
	struct ck_listed *entries;
	size_t count;
	char *names; /* of each entry: its name, NUL, the target of a symbolic link or nothing, NUL */
	size_t names_size;
};

/* Everything in a directory but "." and "..", in no order, links not followed; returns 0 or -errno. */
int ck_list_directory(int dir_fd, struct ck_listing *listing);
void ck_listing_free(struct ck_listing *listing);

struct ck_file_digest {
	unsigned char sha256[32];
	uint64_t device, inode;
	int64_t size, modified_ns, changed_ns; /* before the reading; error is -EAGAIN when they differ after it */
	int32_t error;
	uint32_t has_xattrs; /* security.capability or user.* */
};

/* Regular files by NUL-ended paths one after another, below root_fd and through no link; in two threads. */
int ck_digest_files(int root_fd, const char *paths, size_t count, struct ck_file_digest *out);

/* SHA-256 of the names, types and states of everything below a directory, no content read; *newest_ns takes the
 * newest change of any of it.  Equal ones mean that no file was changed, but within a tick of the clock.
 * -ELOOP when it is deeper than 256 directories. */
int ck_tree_state(int dir_fd, unsigned char *out, int64_t *newest_ns);
