/* Device filters of cgroup v2: a BPF program, loaded and attached to one cgroup.
 *
 * The program is made in Python (container_kit/runtime/cgroups/device_filter.py). */
#include "ckit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(int command, union bpf_attr *attr) {
    return syscall(__NR_bpf, command, attr, sizeof *attr);
}

static int load(const void *instructions, unsigned count, char *log, unsigned log_size) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)instructions;
    attr.insn_cnt = count;
    attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
    if (log_size > 0) {
        attr.log_buf = (uint64_t)(uintptr_t)log;
        attr.log_size = log_size;
        attr.log_level = 1;
    }
    long fd = bpf(BPF_PROG_LOAD, &attr);
    return fd < 0 ? -errno : (int)fd;
}

/* The programs attached to the cgroup itself (not to its parents); at most `room` ids. */
static int attached(int cgroup_fd, uint32_t *ids, uint32_t room) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.query.target_fd = (uint32_t)cgroup_fd;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attr.query.prog_cnt = room;
    return bpf(BPF_PROG_QUERY, &attr) < 0 ? -errno : (int)attr.query.prog_cnt;
}

static int open_program(uint32_t id) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_id = id;
    long fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
    return fd < 0 ? -errno : (int)fd;
}

static int detach(int cgroup_fd, uint32_t id) {
    union bpf_attr attr;
    int program_fd = open_program(id);
    if (program_fd < 0) {
        return program_fd;
    }
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup_fd;
    attr.attach_bpf_fd = (uint32_t)program_fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    int result = bpf(BPF_PROG_DETACH, &attr) < 0 ? -errno : 0;
    close(program_fd);
    return result;
}

/* All attached programs must agree, so the new one is added before the old ones go:
 * at no moment is a device open that one of the two forbids. */
int ck_device_filter_replace(int cgroup_fd, const void *instructions, unsigned count, char *log,
                             unsigned log_size) {
    uint32_t old[64];
    int old_count = attached(cgroup_fd, old, 64);
    if (old_count < 0) {
        return old_count;
    }
    int program_fd = load(instructions, count, log, log_size);
    if (program_fd < 0) {
        return program_fd;
    }
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)cgroup_fd;
    attr.attach_bpf_fd = (uint32_t)program_fd;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    int result = bpf(BPF_PROG_ATTACH, &attr) < 0 ? -errno : 0;
    close(program_fd);
    for (int i = 0; result == 0 && i < old_count; i++) {
        result = detach(cgroup_fd, old[i]);
    }
    return result;
}

int ck_device_filter_count(int cgroup_fd) {
    uint32_t ids[64];
    return attached(cgroup_fd, ids, 64);
}
