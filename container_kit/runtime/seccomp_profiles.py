"""The system calls that each named profile allows, as data.

The semantics are those of Docker's default profile; where ours is narrower, the reason stands beside it.
A call that no table names fails with EPERM, and one that is newer than the tables with ENOSYS.

Source: moby/profiles, seccomp/default.json; syscalls(2).
"""

from __future__ import annotations

from container_kit.errors import InvalidInput
from container_kit.oci.runtime_spec import SeccompArg, SeccompSyscall

__all__ = ["BY_CAPABILITY", "NAMES", "NOT_IN_SANDBOX", "entries"]

NAMES = ("default", "docker", "sandbox")

_FILES = """
access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsetxattr
fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl lchown lchown32 lgetxattr link
linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir
mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx
symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
utimensat_time64 utimes vmsplice write writev
"""

_MEMORY = """
brk get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
process_mrelease remap_file_pages rseq set_thread_area
"""

_PROCESSES = """
capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
futex_wake get_robust_list getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid
setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
setsid setuid setuid32 sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill ugetrlimit
uretprobe vfork wait4 waitid waitpid
"""

_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
"""

_COMMUNICATION = """
accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 getpeername getsockname getsockopt ipc listen mq_getsetattr
mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
msgget msgrcv msgsnd _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 recv recvfrom recvmmsg
recvmmsg_time64 recvmsg select semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto
setsockopt shmat shmctl shmdt shmget shutdown socketpair
"""

_MACHINE = "getrandom sysinfo uname"

_BY_ARCHITECTURE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "sync_file_range2",
}

# Allowed beside the rest when the container holds the capability: then the kernel's own check decides.
BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr
        perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

# Safe since Linux 4.8, where tracing can no longer get round the filter.
_DEBUGGING = "process_vm_readv process_vm_writev ptrace"

# Docker also lets keys be used; keyrings are not namespaced, so ours does not.
_KEYS = "add_key keyctl request_key"

# The multiplexer of the 32-bit ABI: no filter sees what it is asked for.  Only where that ABI is allowed.
_MULTIPLEXER = "socketcall"

# What a program that only computes does not need, and what has brought down kernels before.
NOT_IN_SANDBOX = """
adjtimex clock_adjtime clock_adjtime64 fanotify_mark listmount memfd_secret modify_ldt name_to_handle_at
remap_file_pages statmount uretprobe vmsplice
"""

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_AF_ALG, _AF_NFC, _AF_VSOCK, _AF_KCM, _AF_MCTP = 38, 39, 40, 41, 45
# New mount, pid, net, ipc, uts, user and cgroup namespaces (sched.h).
_CLONE_NEW = 0x7E020000
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, its 32-bit forms, and "tell me"
_ENOSYS = 38


def entries(name: str, held: frozenset[str], machine: str) -> tuple[SeccompSyscall, ...]:
    """The rules of profile *name* for a container that holds the capabilities *held* on *machine*.

    Raises:
        InvalidInput: There is no such profile.
    """
    if name not in NAMES:
        raise InvalidInput(f"there is no seccomp profile named {name!r}: choose one of {', '.join(NAMES)}")
    return (
        _allow(_unconditional(name, held, machine)),
        *_sockets(name),
        *(_allow("personality", SeccompArg(0, value, "SCMP_CMP_EQ")) for value in _PERSONALITIES),
        *_clones(held),
    )


def _unconditional(name: str, held: frozenset[str], machine: str) -> str:
    parts = [_FILES, _MEMORY, _PROCESSES, _TIME, _COMMUNICATION, _MACHINE, _BY_ARCHITECTURE[machine]]
    parts += [calls for capability, calls in sorted(BY_CAPABILITY.items()) if capability in held]
    if name == "docker":
        parts += [_KEYS, _MULTIPLEXER]
    if name != "sandbox" or "CAP_SYS_PTRACE" in held:
        parts.append(_DEBUGGING)
    words = " ".join(parts).split()
    dropped = NOT_IN_SANDBOX.split() if name == "sandbox" else ()
    return " ".join(word for word in dict.fromkeys(words) if word not in dropped)


def _allow(names: str, *args: SeccompArg) -> SeccompSyscall:
    return SeccompSyscall(tuple(names.split()), "SCMP_ACT_ALLOW", args=args)


def _sockets(name: str) -> list[SeccompSyscall]:
    """Which address families a socket may have.

    The kernel looks at the low 32 bits of the family and a filter at all 64, so only rules that
    name what is allowed hold; "not equal" could be passed with a high bit set.
    """
    if name == "docker":
        return [_allow("socket", SeccompArg(0, _AF_VSOCK, "SCMP_CMP_NE"))]
    if name == "sandbox":
        families = [_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK]
        return [_allow("socket", SeccompArg(0, family, "SCMP_CMP_EQ")) for family in families]
    above = [_AF_NFC, *range(_AF_KCM, _AF_MCTP + 1)]
    return [
        _allow("socket", SeccompArg(0, _AF_ALG, "SCMP_CMP_LT")),
        *(_allow("socket", SeccompArg(0, family, "SCMP_CMP_EQ")) for family in above),
    ]


def _clones(held: frozenset[str]) -> list[SeccompSyscall]:
    """Without CAP_SYS_ADMIN, no new namespaces.

    A filter cannot look into the structure that clone3 is given; "no such call" makes the C
    library fall back to clone, whose flags it can see.
    """
    if "CAP_SYS_ADMIN" in held:
        return []
    return [
        _allow("clone", SeccompArg(0, _CLONE_NEW, "SCMP_CMP_MASKED_EQ", 0)),
        SeccompSyscall(("clone3",), "SCMP_ACT_ERRNO", _ENOSYS),
    ]
