/* The plan: what ckit-init does, step by step, as bytes (little endian, every step 8-byte aligned).
 *
 * container_kit/runtime/plan.py writes it and has the same list of operations; a test compares the two. */
#ifndef CKIT_PLAN_H
#define CKIT_PLAN_H

#include <stdint.h>

#define PLAN_MAGIC 0x31504b43 /* "CKP1" */
#define PLAN_MAX_BYTES (1 << 20)
#define PLAN_SLOTS 256

struct plan_header {
	uint32_t magic;
	uint32_t size;	       /* of the whole plan, this header included */
	uint32_t count;	       /* of steps */
	uint32_t slots;	       /* the first slots, filled by the launcher with open descriptors */
	uint64_t clone_flags;  /* namespaces that begin with the first process */
	uint64_t streams;      /* of a plan for a parked process: which of 0, 1 and 2 come with it, as bits */
};

/* Among the clone flags, where no kernel has one: to be begun in the launcher's own user namespace. */
#define PLAN_WITHIN (1ULL << 62)

struct plan_step {
	uint16_t op;
	uint16_t slot;
	uint32_t size; /* of the payload, without padding */
	uint64_t a, b;
	char payload[];
};

enum plan_op {
	/* With the host's file system in view. */
	OP_JOIN_CGROUP = 1, /* text: a v1 tasks (or v2 cgroup.procs) file */
	OP_OVERLAY,	    /* slot; a: OVERLAY_*; b: 1 + slot of a user namespace for the ids, or 0;
			     * texts: upper, work, lowers... */
	OP_OPEN_TREE,	    /* slot; a: TREE_*; texts: host path, and if not all of it, the part that is meant;
			     * the detached copy of a mount */
	OP_OPEN_NAMESPACE,  /* slot; text: path */
	OP_ID_MAP_TREE,	    /* slot: tree; a: slot of a user namespace */
	OP_USER_NAMESPACE,  /* slot; texts: uid_map, gid_map, setgroups ("" to leave it) */
	/* Entering. */
	OP_SET_NAMESPACE, /* slot; a: CLONE_NEW* bits, several when the slot is a pidfd */
	OP_UNSHARE,	  /* a: CLONE_NEW* */
	OP_BECOME_ROOT,	  /* id 0 of the user namespace just entered */
	OP_FORK,	  /* a: CLONE_NEW*; the child goes on, as a child of the launcher */
	OP_PROPAGATION,	  /* a: MS_* */
	OP_ATTACH_ROOT,	  /* slot */
	/* Within the new root, every path resolved there. */
	OP_MOUNT,	   /* a: MOUNT_ATTR_*; b: propagation, MOUNT_COPY_UP; texts: type, source, target,
			    * options... */
	OP_MOUNT_TREE,	   /* slot; a: attributes to set; b: propagation, TREE_*_BELOW; text: target */
	OP_SET_ATTRIBUTES, /* a: set; b: propagation, high half: clear; text: target */
	OP_DEVICE,	   /* a: mode; b: device number; payload: uid, gid, text: path */
	OP_SYMLINK,	   /* texts: target, path */
	OP_MAKE_DIRECTORY, /* a: mode; text: path, with its parents */
	OP_CONSOLE,	   /* a: rows << 16 | columns; b: uid; slot 1: bind on /dev/console */
	OP_MASK,	   /* texts: paths */
	OP_READ_ONLY,	   /* texts: paths */
	OP_PIVOT,
	OP_ROOT_READ_ONLY,
	OP_HOSTNAME,   /* text */
	OP_DOMAINNAME, /* text */
	OP_SYSCTL,     /* texts: path below /proc/sys, value */
	OP_LOOPBACK_UP,
	/* The process itself. */
	OP_RLIMIT,    /* a: resource; payload: soft, hard as uint64 */
	OP_OOM_SCORE, /* a: value + 1000 */
	OP_KEYRING,
	OP_PERSONALITY,	 /* a */
	OP_IO_PRIORITY,	 /* a */
	OP_SCHEDULER,	 /* payload: struct sched_attr */
	OP_UMASK,	 /* a */
	OP_CREDENTIALS,	 /* payload: struct plan_credentials, then the groups */
	OP_NO_NEW_PRIVS,
	OP_SECCOMP,  /* a: flags; payload: instructions */
	OP_LANDLOCK, /* a: handled file accesses; b: handled net accesses; payload: struct plan_landlock_rule... */
	OP_SESSION,  /* a new session; a: 1 to take stdin as its terminal */
	OP_DIRECTORY, /* text: working directory */
	OP_HOOK,     /* a: timeout in seconds or 0; b: number of arguments; texts: path, args..., env... */
	OP_SYNC,     /* a: number; wait for the launcher's answer, which later hooks get as their input */
	OP_FIND_PROGRAM, /* text: name; texts: PATH directories */
	OP_WAIT_START,	 /* slot: a listening socket */
	OP_INIT,	 /* stay as PID 1: forward signals, reap; the child goes on */
	OP_EXEC,	 /* a: number of arguments; texts: arguments, environment */
	OP_TIME_OFFSETS, /* text: lines for /proc/self/timens_offsets */
	OP_PARK,	 /* wait for another plan, whose steps follow these */
	OP_OPEN_FILE_SYSTEM, /* slot; a: MOUNT_ATTR_*; texts: type, source, "", options... */
	OP_COUNT
};

#define OVERLAY_VOLATILE 1
#define OVERLAY_USERXATTR 2
#define TREE_RECURSIVE 1
#define TREE_NO_FOLLOW 2
#define TREE_OF_SLOT 4 /* the part is one of what is in the slot */
#define MOUNT_COPY_UP (1ULL << 32)
#define TREE_ATTRIBUTES_BELOW (1ULL << 32)
#define TREE_PROPAGATE_BELOW (1ULL << 33)
#define CONSOLE_BIND 1

/* The standard streams that come with a plan, as ancillary data (a cmsghdr with SCM_RIGHTS). */
struct plan_stream_rights {
	unsigned long length;
	int level, type;
	int fds[4]; /* three at most; padded to 8 bytes */
};
#define PLAN_RIGHTS_HEAD 16

struct plan_credentials {
	uint32_t uid, gid;
	uint32_t groups; /* how many follow */
	uint32_t flags;	 /* CREDENTIALS_* */
	uint64_t bounding, effective, permitted, inheritable, ambient;
	uint32_t group[];
};
#define CREDENTIALS_KEEP_GROUPS 1
#define CREDENTIALS_KEEP_CAPS 2

struct plan_landlock_rule {
	uint32_t size; /* of this rule with its text and padding */
	uint32_t kind; /* 1: beneath a path, 2: a TCP port */
	uint64_t access;
	uint64_t port;
	char path[];
};

/* What ckit-init says on its status socket, one record a message. */
enum status_kind {
	STATUS_ERROR = 1, /* error, op, step, text */
	STATUS_CHILD,	  /* value: pid; with its pidfd: this one is the container's process from here */
	STATUS_TERMINAL,  /* with the master side */
	STATUS_SYNC,	  /* value: number; an answer is awaited */
	STATUS_READY,	  /* waits for its start */
	STATUS_LISTENER,  /* with the seccomp listener */
	STATUS_PARKED,	  /* waits for another plan */
};

struct status_record {
	uint32_t kind;
	int32_t error;
	uint32_t op;
	uint32_t step;
	uint64_t value;
	char text[232];
};

#endif
