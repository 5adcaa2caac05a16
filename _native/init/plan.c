/* The role `init`: read the plan, carry out its steps in order, report what failed. */
#include "init.h"

#define SEND_NO_SIGNAL 0x4000

struct init init = { .root_fd = -1, .proc_fd = -1, .null_fd = -1, .mask_dir_fd = -1, .mask_file_fd = -1 };

/* Two plans at most: that of a parked process, and the one it goes on with. */
static char plans[2][PLAN_MAX_BYTES + 8] __attribute__((aligned(8)));
static char *plan = plans[0];

static long (*const operation[OP_COUNT])(const struct plan_step *) = {
	[OP_JOIN_CGROUP] = op_join_cgroup,
	[OP_OVERLAY] = op_overlay,
	[OP_OPEN_TREE] = op_open_tree,
	[OP_OPEN_NAMESPACE] = op_open_namespace,
	[OP_ID_MAP_TREE] = op_id_map_tree,
	[OP_USER_NAMESPACE] = op_user_namespace,
	[OP_SET_NAMESPACE] = op_set_namespace,
	[OP_UNSHARE] = op_unshare,
	[OP_BECOME_ROOT] = op_become_root,
	[OP_FORK] = op_fork,
	[OP_PROPAGATION] = op_propagation,
	[OP_ATTACH_ROOT] = op_attach_root,
	[OP_MOUNT] = op_mount,
	[OP_MOUNT_TREE] = op_mount_tree,
	[OP_SET_ATTRIBUTES] = op_set_attributes,
	[OP_DEVICE] = op_device,
	[OP_SYMLINK] = op_symlink,
	[OP_MAKE_DIRECTORY] = op_make_directory,
	[OP_CONSOLE] = op_console,
	[OP_MASK] = op_mask,
	[OP_READ_ONLY] = op_read_only,
	[OP_PIVOT] = op_pivot,
	[OP_ROOT_READ_ONLY] = op_root_read_only,
	[OP_HOSTNAME] = op_hostname,
	[OP_DOMAINNAME] = op_domainname,
	[OP_SYSCTL] = op_sysctl,
	[OP_LOOPBACK_UP] = op_loopback_up,
	[OP_RLIMIT] = op_rlimit,
	[OP_OOM_SCORE] = op_oom_score,
	[OP_KEYRING] = op_keyring,
	[OP_PERSONALITY] = op_personality,
	[OP_IO_PRIORITY] = op_io_priority,
	[OP_SCHEDULER] = op_scheduler,
	[OP_UMASK] = op_umask,
	[OP_CREDENTIALS] = op_credentials,
	[OP_NO_NEW_PRIVS] = op_no_new_privs,
	[OP_SECCOMP] = op_seccomp,
	[OP_LANDLOCK] = op_landlock,
	[OP_SESSION] = op_session,
	[OP_DIRECTORY] = op_directory,
	[OP_HOOK] = op_hook,
	[OP_SYNC] = op_sync,
	[OP_FIND_PROGRAM] = op_find_program,
	[OP_WAIT_START] = op_wait_start,
	[OP_INIT] = op_init,
	[OP_EXEC] = op_exec,
	[OP_TIME_OFFSETS] = op_time_offsets,
	[OP_PARK] = op_park,
	[OP_OPEN_FILE_SYSTEM] = op_open_file_system,
};

uint32_t plan_text_count(const struct plan_step *step)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < step->size; i++)
		count += !step->payload[i];
	return count;
}

const char *plan_text(const struct plan_step *step, int index)
{
	const char *at = step->payload, *end = at + step->size;

	while (index-- > 0 && at < end)
		at += ck_strlen(at) + 1;
	return at < end ? at : "";
}

/* One record to the launcher; with a descriptor unless fd is -1. */
static void status_write(const struct status_record *record, int fd)
{
	struct {
		unsigned long length;
		int level, type;
		int fd, padding;
	} rights = { 20, 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, fd, 0 };
	struct {
		void *base;
		unsigned long length;
	} iov = { (void *)record, sizeof *record };
	struct {
		void *name;
		unsigned int name_length;
		void *iov;
		unsigned long iov_length;
		void *control;
		unsigned long control_length;
		unsigned int flags;
	} message = { NULL, 0, &iov, 1, fd < 0 ? NULL : &rights, fd < 0 ? 0 : sizeof rights, 0 };

	sys(sendmsg, init.status_fd, &message, SEND_NO_SIGNAL);
}

void status_send(uint32_t kind, uint64_t value, int fd)
{
	struct status_record record = { .kind = kind, .value = value };
	status_write(&record, fd);
}

void status_fail(const struct plan_step *step, uint32_t index, long error)
{
	struct status_record record = { .kind = STATUS_ERROR, .error = -error, .step = index };

	record.op = step ? step->op : 0;
	if (init.about)
		ck_append(record.text, record.text + sizeof record.text, init.about);
	status_write(&record, -1);
}

static const struct plan_step *plan_next(const struct plan_step *step)
{
	return (const void *)((const char *)(step + 1) + ((step->size + 7) & ~7U));
}

void *plan_next_room(void)
{
	return plan = plans[1];
}

uint64_t plan_streams(void)
{
	return ((const struct plan_header *)(const void *)plan)->streams;
}

/* The plan comes as messages on the status socket; `have` bytes of it are there. */
long plan_continue(uint32_t have)
{
	const struct plan_header *header = (const void *)plan;
	uint32_t want = sizeof *header;

	for (;;) {
		long n;
		if (have >= sizeof *header)
			want = header->size;
		if (have >= sizeof *header && (want > PLAN_MAX_BYTES || header->magic != PLAN_MAGIC))
			return -EBADMSG;
		if (have >= want)
			return 0;
		RETRY(n, sys(recvfrom, init.status_fd, plan + have, PLAN_MAX_BYTES - have, 0, NULL, NULL));
		if (n <= 0)
			return n ? n : -EPIPE;
		have += n;
	}
}

/* Whether a step lies within the plan and its texts end within it. */
static int plan_step_valid(const struct plan_step *step)
{
	const struct plan_header *header = (const void *)plan;
	const char *end = plan + header->size, *at = (const char *)step;

	if (at + sizeof *step > end || step->size > (size_t)(end - step->payload))
		return 0;
	return step->op < OP_COUNT && operation[step->op] && step->slot < PLAN_SLOTS;
}

static long plan_run(void)
{
	const struct plan_header *header = (const void *)plan;
	const struct plan_step *step = (const void *)(header + 1);
	long result;

	for (uint32_t i = 0; i < header->count; i++, step = plan_next(step)) {
		init.about = NULL;
		result = plan_step_valid(step) ? operation[step->op](step) : -EBADMSG;
		if (result < 0) {
			status_fail(step, i, result);
			return result;
		}
		if (step->op == OP_PARK) /* `plan` is the one to go on with now */
			return plan_run();
	}
	status_fail(NULL, header->count, -EBADMSG);
	return -EBADMSG;
}

static int number_of(const char *text)
{
	int value = 0;
	while (*text >= '0' && *text <= '9' && value < 10000)
		value = value * 10 + *text++ - '0';
	return value;
}

/* argv[1]: the number of the status socket; everything below it is for the program, the slots come after. */
int init_main(int argc, char **argv)
{
	const struct plan_header *header = (const void *)plan;
	long result;

	if (argc < 2)
		return 125;
	init.status_fd = number_of(argv[1]);
	init.preserve_fds = init.status_fd - 3;
	sys(close_range, init.status_fd, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
	result = plan_continue(0);
	if (result < 0) {
		status_fail(NULL, 0, result);
		return 125;
	}
	init.own_fds = init.status_fd + 1 + header->slots;
	for (uint32_t i = 0; i < PLAN_SLOTS; i++)
		init.slot[i] = i < header->slots ? init.status_fd + 1 + (int)i : -1;
	sys(umask, 0);
	plan_run();
	return 125;
}
