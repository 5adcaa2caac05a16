"""Seccomp: the verdict of every filter on every call, worked out on a model of the kernel's machine."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall
from container_kit.runtime import capabilities, seccomp_profiles, syscalls
from container_kit.runtime.profiles import profile
from container_kit.runtime.seccomp import compile_seccomp, named_filter, named_profile
from container_kit.runtime.seccomp_bpf import Rule, Table, assemble
from tests.runtime.bpf_machine import ALLOW, ENOSYS, EPERM, X32_BIT, run

DEFAULT_CAPABILITIES = capabilities.to_mask(profile("default").capabilities)
# What no container of ours may call without a capability that it does not have, and why it is on the list.
DANGEROUS = """
io_uring_setup io_uring_enter io_uring_register bpf userfaultfd kexec_load keyctl add_key request_key mount
umount2 pivot_root unshare setns move_mount open_tree open_tree_attr fsopen fsmount fsconfig fspick
mount_setattr swapon swapoff reboot init_module finit_module delete_module perf_event_open quotactl acct
settimeofday clock_settime open_by_handle_at lookup_dcookie nfsservctl syslog sethostname setdomainname
pidfd_getfd process_madvise kcmp vhangup mbind set_mempolicy move_pages migrate_pages fanotify_init
"""
MACHINES = ("x86_64", "aarch64")


def _seccomp(*entries: SeccompSyscall, default: str = "SCMP_ACT_ERRNO", **fields: Any) -> Seccomp:
    return Seccomp(default, syscalls=entries, **fields)


def verdict(
    name: str, call: str, *arguments: int, machine: str = "x86_64", held: int = DEFAULT_CAPABILITIES
) -> int:
    program = named_filter(name, held, machine).program
    return run(program, machine, syscalls.numbers(machine)[call], arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", seccomp_profiles.NAMES)
def test_every_call_has_the_verdict_of_the_profiles_list(name: str, machine: str) -> None:
    """Without exception: a call that the list names passes, any other known one fails with EPERM."""
    program = named_filter(name, DEFAULT_CAPABILITIES, machine).program
    entries = named_profile(name, DEFAULT_CAPABILITIES, machine).syscalls
    allowed = {
        call
        for entry in entries
        if not entry.args and entry.action == "SCMP_ACT_ALLOW"
        for call in entry.names
    }
    special = {
        call for entry in entries if entry.args or entry.action != "SCMP_ACT_ALLOW" for call in entry.names
    }
    for call, number in syscalls.numbers(machine).items():
        if call not in special:
            assert run(program, machine, number) == (ALLOW if call in allowed else EPERM), call


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["default", "sandbox"])
def test_dangerous_calls_are_refused(name: str, machine: str) -> None:
    """New kernel surface, keys, mounts, modules and clocks stay closed without their capability."""
    here = [call for call in DANGEROUS.split() if call in syscalls.numbers(machine)]
    assert len(here) > 40
    assert {call: verdict(name, call, machine=machine) for call in here} == dict.fromkeys(here, EPERM)


def test_a_capability_opens_what_it_is_for() -> None:
    """With CAP_SYS_ADMIN the kernel's own check decides about mounts; with CAP_BPF about bpf."""
    admin = DEFAULT_CAPABILITIES | capabilities.to_mask(["SYS_ADMIN"])
    assert verdict("default", "mount", held=admin) == ALLOW
    assert verdict("default", "clone3", held=admin) == ALLOW
    assert verdict("default", "bpf", held=DEFAULT_CAPABILITIES | capabilities.to_mask(["BPF"])) == ALLOW
    assert verdict("default", "io_uring_setup", held=admin) == EPERM


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_clone_makes_threads_and_processes_but_no_namespaces(flag: int) -> None:
    """Each CLONE_NEW flag alone is enough to be refused; the C library's own flags pass."""
    assert verdict("default", "clone", flag | 17) == EPERM
    assert verdict("default", "clone", 0x3D0F00) == ALLOW
    assert verdict("default", "clone3") == ENOSYS


@pytest.mark.parametrize("high", [0, 1, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("family", [38, 40])
def test_no_bit_of_the_family_opens_af_alg_or_af_vsock(family: int, high: int) -> None:
    """The kernel looks at the low half of the family only, so the high half must not matter."""
    assert verdict("default", "socket", high << 32 | family) == EPERM
    assert verdict("sandbox", "socket", high << 32 | family) == EPERM


def test_docker_leaves_what_ours_closes() -> None:
    """The control: under Docker's rules AF_ALG opens, and AF_VSOCK with a high bit set."""
    assert verdict("docker", "socket", 38) == ALLOW
    assert verdict("docker", "socket", 40) == EPERM
    assert verdict("docker", "socket", 1 << 32 | 40) == ALLOW
    assert verdict("docker", "keyctl") == ALLOW


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17])
def test_usual_sockets_open(family: int) -> None:
    """Unix, internet, netlink and packet sockets (the kernel asks for a capability for those)."""
    assert verdict("default", "socket", family) == ALLOW
    assert verdict("sandbox", "socket", family) == (EPERM if family == 17 else ALLOW)


def test_personality_only_tells_and_sets_the_usual() -> None:
    """ADDR_NO_RANDOMIZE, which weakens every later program, is refused; asking is not."""
    assert verdict("default", "personality", 0xFFFFFFFF) == ALLOW
    assert verdict("default", "personality", 0) == ALLOW
    assert verdict("default", "personality", 0x0040000) == EPERM


@pytest.mark.parametrize("machine", ["i386", "ppc64le", "aarch64"])
def test_another_abi_is_no_way_round_the_filter(machine: str) -> None:
    """Every call of another ABI fails with ENOSYS, the multiplexer socketcall among them."""
    program = named_filter("default", DEFAULT_CAPABILITIES, "x86_64").program
    assert {run(program, machine, number) for number in range(500)} == {ENOSYS}


@pytest.mark.parametrize("name", seccomp_profiles.NAMES)
def test_the_x32_abi_is_refused(name: str) -> None:
    """Its calls carry x86_64's machine number and a bit of their own."""
    program = named_filter(name, DEFAULT_CAPABILITIES, "x86_64", True).program
    assert {run(program, "x86_64", X32_BIT | number) for number in range(600)} == {ENOSYS}
    assert run(program, "x86_64", -1) == ENOSYS


def test_32bit_programs_pass_where_they_are_asked_for() -> None:
    """With the 32-bit ABI listed, its calls are judged by their own numbers."""
    program = named_filter("docker", DEFAULT_CAPABILITIES, "x86_64", True).program
    numbers = syscalls.numbers("i386")
    assert run(program, "i386", numbers["socketcall"]) == ALLOW
    assert run(program, "i386", numbers["mount"]) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_newer_than_the_tables_fail_as_on_an_older_kernel(machine: str) -> None:
    """ENOSYS, so that programs fall back to what they used before."""
    program = named_filter("default", DEFAULT_CAPABILITIES, machine).program
    newest = max(syscalls.numbers(machine).values())
    assert run(program, machine, newest) == ALLOW
    assert {run(program, machine, newest + more) for more in (1, 2, 100, 1 << 20)} == {ENOSYS}


def test_a_machine_without_tables_has_no_filter_rather_than_an_empty_one() -> None:
    """A wall that cannot be built is an error."""
    with pytest.raises(UnsupportedFeature, match="riscv64"):
        named_filter("default", 0, "riscv64")


OPERATORS = {
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
}
EDGES = st.sampled_from([0, 1, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 63), (1 << 64) - 1])
WORDS = st.one_of(EDGES, st.integers(0, (1 << 64) - 1))


@given(WORDS, WORDS, st.integers(0, 5), st.sampled_from(sorted(OPERATORS)))
def test_comparisons_hold_on_all_64_bits(argument: int, value: int, index: int, operator: str) -> None:
    """Each operator decides as on whole numbers, wherever the halves of the two differ."""
    condition = SeccompArg(index, value, f"SCMP_CMP_{operator}")
    seccomp = Seccomp(
        "SCMP_ACT_ERRNO", syscalls=(SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=(condition,)),)
    )
    arguments = [7, 7, 7, 7, 7, 7]
    arguments[index] = argument
    expected = ALLOW if OPERATORS[operator](argument, value) else EPERM
    assert run(compile_seccomp(seccomp, "x86_64").program, "x86_64", 0, arguments) == expected


@given(WORDS, WORDS, WORDS)
def test_a_masked_comparison_sees_only_the_mask(argument: int, mask: int, value: int) -> None:
    """`value` is the mask and `valueTwo` what must be left, as libseccomp has it."""
    condition = SeccompArg(0, mask, "SCMP_CMP_MASKED_EQ", value)
    seccomp = Seccomp(
        "SCMP_ACT_ERRNO", syscalls=(SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=(condition,)),)
    )
    expected = ALLOW if argument & mask == value else EPERM
    assert run(compile_seccomp(seccomp, "x86_64").program, "x86_64", 0, (argument,)) == expected


@given(st.dictionaries(st.integers(0, 2000), st.integers(0, 40), max_size=700))
def test_the_search_tree_finds_every_number(actions: dict[int, int]) -> None:
    """Whatever the set of numbers, small or too large for short jumps, each has its own action."""
    rules = {number: (Rule(0x50000 | action),) for number, action in actions.items()}
    program = assemble({"x86_64": Table(rules, EPERM, ENOSYS)})
    top = max(actions, default=-1)
    for number in {0, 1, 1000, 2000, 2001, *actions, *(n + 1 for n in actions)}:
        unnamed = EPERM if number <= top else ENOSYS
        expected = 0x50000 | actions[number] if number in actions else unnamed
        assert run(program, "x86_64", number) == expected


ACTIONS = [
    ("SCMP_ACT_KILL", None, 0),
    ("SCMP_ACT_KILL_THREAD", None, 0),
    ("SCMP_ACT_KILL_PROCESS", None, 0x80000000),
    ("SCMP_ACT_TRAP", None, 0x30000),
    ("SCMP_ACT_ERRNO", None, 0x50001),
    ("SCMP_ACT_ERRNO", 13, 0x5000D),
    ("SCMP_ACT_TRACE", 7, 0x7FF00007),
    ("SCMP_ACT_LOG", None, 0x7FFC0000),
    ("SCMP_ACT_NOTIFY", None, 0x7FC00000),
]


@pytest.mark.parametrize(("action", "errno", "value"), ACTIONS)
def test_every_action_of_the_specification_is_known(action: str, errno: int | None, value: int) -> None:
    """Each becomes the kernel's value, with its number where it has one."""
    compiled = compile_seccomp(_seccomp(SeccompSyscall(("read",), action, errno)), "x86_64")
    assert run(compiled.program, "x86_64", 0) == value
    assert compiled.notifies == (action == "SCMP_ACT_NOTIFY")


def test_a_permissive_default_is_not_tightened() -> None:
    """Where everything is allowed but some, a call that nobody knew is allowed as well."""
    program = compile_seccomp(
        _seccomp(SeccompSyscall(("read",), "SCMP_ACT_ERRNO"), default="SCMP_ACT_ALLOW"), "x86_64"
    ).program
    assert [run(program, "x86_64", number) for number in (0, 1, 5000)] == [EPERM, ALLOW, ALLOW]


def test_conditions_on_one_argument_are_alternatives_and_on_several_are_not() -> None:
    """As all runtimes read them."""
    same = SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=(_equal(0, 1), _equal(0, 2)))
    both = SeccompSyscall(("write",), "SCMP_ACT_ALLOW", args=(_equal(0, 1), _equal(1, 2)))
    program = compile_seccomp(_seccomp(same, both), "x86_64").program
    assert [run(program, "x86_64", 0, (first,)) for first in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]
    assert [run(program, "x86_64", 1, pair) for pair in ((1, 2), (1, 3), (2, 2))] == [ALLOW, EPERM, EPERM]


def _equal(index: int, value: int) -> SeccompArg:
    return SeccompArg(index, value, "SCMP_CMP_EQ")


def test_names_of_other_machines_are_passed_over() -> None:
    """A profile for many machines is usable on each; an unknown name opens nothing."""
    program = compile_seccomp(
        _seccomp(SeccompSyscall(("s390_pci_mmio_read", "read"), "SCMP_ACT_ALLOW")), "x86_64"
    )
    assert run(program.program, "x86_64", 0) == ALLOW


def test_flags_become_bits() -> None:
    """Those of seccomp(2), each once."""
    flags = ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG")
    assert compile_seccomp(_seccomp(flags=flags), "x86_64").flags == 3


BROKEN = [
    (_seccomp(default="SCMP_ACT_MAYBE"), "SCMP_ACT_MAYBE"),
    (_seccomp(SeccompSyscall(("read",), "ALLOW")), "ALLOW"),
    (_seccomp(SeccompSyscall(("read",), "SCMP_ACT_ALLOW", 1)), "errnoRet"),
    (_seccomp(SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=(SeccompArg(0, 1, "EQ"),))), "operator"),
    (
        _seccomp(SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=(SeccompArg(0, 1, "SCMP_CMP_X"),))),
        "operator",
    ),
    (_seccomp(flags=("NEW",)), "flag"),
]


@pytest.mark.parametrize(("seccomp", "words"), BROKEN)
def test_a_filter_that_cannot_be_understood_is_refused(seccomp: Seccomp, words: str) -> None:
    """An unknown action, operator or flag is an error that names it, never a filter without it."""
    with pytest.raises(InvalidInput, match=re.escape(words)):
        compile_seccomp(seccomp, "x86_64")


def test_a_filter_longer_than_the_kernel_takes_is_refused() -> None:
    """It says so before anything is started."""
    many = tuple(
        SeccompSyscall(("read",), "SCMP_ACT_ALLOW", args=tuple(_equal(i, value) for i in range(6)))
        for value in range(200)
    )
    with pytest.raises(InvalidInput, match="4096"):
        compile_seccomp(_seccomp(*many), "x86_64")


def test_a_profile_as_oci_document_compiles_to_the_same_filter() -> None:
    """What is published for other runtimes is what ours runs."""
    document = named_profile("default", DEFAULT_CAPABILITIES, "x86_64")
    filter = named_filter("default", DEFAULT_CAPABILITIES, "x86_64")
    assert compile_seccomp(attrs.evolve(document), "x86_64") == filter
    assert len(filter.program) // 8 < 4096


def test_the_tables_agree_with_this_machines_headers() -> None:
    """Numbers that the C headers of this machine have are the same in the table."""
    import platform
    from pathlib import Path

    machine = platform.machine()
    header = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"}.get(machine, "")
    if not Path(header).exists():
        pytest.skip("no kernel headers of this machine here")
    defined = re.findall(r"#define __NR_(\w+) (\d+)", Path(header).read_text())
    ours = syscalls.numbers(machine)
    assert len(defined) > 300
    assert {name: ours.get(name) for name, _ in defined} == {name: int(number) for name, number in defined}
