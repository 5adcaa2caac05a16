/* Layers: unpack a compressed tar in one pass, pack a tree, regenerate a tar from its recipe. */

enum ck_fault_kind {
	CK_FAULT_NONE,
	CK_FAULT_KERNEL,      /* a system call failed: error is its errno */
	CK_FAULT_CORRUPT,     /* the bytes are not what their format promises */
	CK_FAULT_REFUSED,     /* a well-formed entry that would leave the tree, or has no single meaning */
	CK_FAULT_LIMIT,       /* a budget would be exceeded */
	CK_FAULT_UNSUPPORTED, /* this build, or this file system, cannot */
	CK_FAULT_CANCELLED
};

struct ck_fault {
	int kind;
	int error;
	char what[256];
	char entry[512]; /* the path of the entry, cut if need be; raw bytes */
};

/* Ask work that another thread does to end: the address of its job's member cancelled. */
void ck_cancel(int *cancelled);

enum ck_compression { CK_AUTO, CK_PLAIN, CK_GZIP, CK_ZSTD };

enum ck_form {
	CK_FORM_OVERLAY, /* whiteouts as overlay wants them: char 0:0 and the opaque attribute */
	CK_FORM_PLAIN,   /* whiteouts carried out: several layers go into one tree, in order */
	CK_FORM_ARCHIVE  /* no layer at all: a name that starts with .wh. is a name like any other */
};

struct ck_limits {
	uint64_t entries;
	uint64_t tar_size;     /* bytes of the plain tar */
	uint64_t tree_size;    /* bytes of all files, holes counted */
	uint64_t ratio;        /* plain to compressed bytes, */
	uint64_t ratio_grace;  /* once the tar is larger than this */
	uint64_t path_size;    /* bytes of one path */
	uint64_t path_depth;   /* components of one path */
	uint64_t header_size;  /* bytes of the extended headers of one entry */
	uint64_t extents;      /* data regions of one sparse file */
};

struct ck_unpack {
	/* What to do; -1 where a descriptor or a number is absent. */
	int source_fd;
	int64_t offset; /* -1 reads from the current position */
	int64_t size;   /* -1 reads to the end */
	int compression;
	int tree_fd;
	int blob_fd;
	int recipe_fd;
	int tar_fd;   /* takes the plain tar, instead of files in the tree, */
	int image_fd; /* and this an EROFS image whose files lie in that tar */
	int form;
	int keep_owner;
	int user_xattrs; /* user.overlay.* instead of trusted.overlay.*, for mounts without privileges */
	int sync;        /* wait until the tree is on the disk */
	struct ck_limits limits;
	/* Set to 1 by another thread to stop early. */
	int cancelled;
	/* What came out. */
	unsigned char blob_digest[32];
	unsigned char diff_id[32];
	uint64_t blob_size;
	uint64_t tar_size;
	uint64_t entries;
	uint64_t files_size;
	uint64_t inodes;
	uint64_t dropped_xattrs;
	int unfit; /* the tar was written, but has what no such image can hold: unpack it into a tree */
	struct ck_fault fault;
};

int ck_unpack(struct ck_unpack *job);

struct ck_pack {
	int tree_fd;
	int out_fd; /* -1 for the digests only */
	int compression;
	int form; /* overlay: the upper directory of a container, whose whiteouts become markers */
	int user_xattrs;
	int nanoseconds;  /* times with their fractions, at the price of a header for each entry */
	int with_root;    /* the directory itself gets an entry, "./" */
	int fixed_time;   /* 1: every entry gets mtime; 2: every entry that is later */
	int64_t mtime;
	int fixed_owner;  /* 1: every entry gets uid and gid */
	uint32_t uid;
	uint32_t gid;
	const char *exclude; /* paths that are left out with all below, each ended by NUL, then an empty one */
	int cancelled;
	unsigned char blob_digest[32];
	unsigned char diff_id[32];
	uint64_t blob_size;
	uint64_t tar_size;
	uint64_t entries;
	struct ck_fault fault;
};

int ck_pack(struct ck_pack *job);

struct ck_replay {
	int recipe_fd; /* read from its start, whatever its position */
	int tree_fd;
	int out_fd; /* takes the plain tar; -1 only verifies */
	int cancelled;
	unsigned char diff_id[32];
	uint64_t tar_size;
	struct ck_fault fault;
};

/* The digest is compared with the one in the recipe: a difference is CK_FAULT_CORRUPT. */
int ck_replay(struct ck_replay *job);

/* Bits: 1 ISA-L, 2 zlib, 4 zstd. */
int ck_layer_features(void);
