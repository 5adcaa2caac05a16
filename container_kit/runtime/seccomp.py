"""OCI ``linux.seccomp`` values to filter programs, and the filters of the named profiles.

Source: OCI runtime-spec, config-linux.md, "Seccomp"; seccomp(2).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from container_kit._values import frozen
from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall
from container_kit.runtime import capabilities, seccomp_profiles, syscalls
from container_kit.runtime.seccomp_bpf import ENOSYS, Condition, Rule, Table, assemble, errno_action

__all__ = ["Filter", "compile_seccomp", "named_filter", "named_profile"]

_EPERM = 1
_FIXED_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_TRACE = 0x7FF00000
# A call that the author did not know is let through by these, so it must not become "no such call".
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_COMPATIBLE = {"x86_64": {"SCMP_ARCH_X86": "i386"}, "aarch64": {}}
_LARGEST = (1 << 64) - 1


@frozen
class Filter:
    """A compiled filter.

    Args:
        program: BPF instructions of 8 bytes, for ``struct sock_fprog``.
        flags: For ``seccomp(2)``, without the listener's.
        notifies: Whether a listener is needed, because a rule hands calls to one.
    """

    program: bytes
    flags: int = 0
    notifies: bool = False


@functools.lru_cache(maxsize=64)
def compile_seccomp(seccomp: Seccomp, machine: str) -> Filter:
    """The filter that an OCI configuration describes, for *machine* (``os.uname().machine``).

    Names that this machine does not have are passed over, as the specification allows.  Calls with
    a number above every number named fail with ENOSYS instead of the default error, so that
    programs fall back to older calls.  The machine's own ABI is always filtered; another ABI
    (i386) only works when it is listed, the x32 ABI never.

    Raises:
        InvalidInput: An unknown action, operator, flag or a missing part; names it.
        UnsupportedFeature: There are no system call numbers for *machine*.
    """
    if machine not in _NATIVE:
        raise UnsupportedFeature(f"there is no seccomp filter for {machine}: x86_64 and aarch64 have one")
    default = _action(seccomp.default_action, seccomp.default_errno_ret)
    beyond = default if seccomp.default_action in _PERMISSIVE else ENOSYS
    tables = {name: _table(seccomp, name, default, beyond) for name in _abis(seccomp, machine)}
    try:
        program = assemble(tables)
    except ValueError as error:
        raise InvalidInput(f"linux.seccomp: {error}") from None
    actions = {rule.action for rule in seccomp.syscalls} | {seccomp.default_action}
    return Filter(program, _flags(seccomp.flags), "SCMP_ACT_NOTIFY" in actions)


def _abis(seccomp: Seccomp, machine: str) -> list[str]:
    """The native table and those of listed ABIs that run on this machine; others never fit here."""
    return [
        machine,
        *(table for name, table in _COMPATIBLE[machine].items() if name in seccomp.architectures),
    ]


def _flags(names: Iterable[str]) -> int:
    unknown = [name for name in names if name not in _FLAGS]
    if unknown:
        raise InvalidInput(f"linux.seccomp.flags: there is no flag {unknown[0]!r}")
    return sum(_FLAGS[name] for name in set(names))


def _action(name: str, errno: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return errno_action(_EPERM if errno is None else errno)
    if name == "SCMP_ACT_TRACE":
        return _TRACE | (_EPERM if errno is None else errno) & 0xFFFF
    if name not in _FIXED_ACTIONS:
        raise InvalidInput(f"linux.seccomp: there is no action {name!r}")
    if errno is not None:
        raise InvalidInput(f"linux.seccomp: errnoRet goes with ERRNO and TRACE, not with {name}")
    return _FIXED_ACTIONS[name]


def _table(seccomp: Seccomp, abi: str, default: int, beyond: int) -> Table:
    numbers = syscalls.numbers(abi)
    rules: dict[int, tuple[Rule, ...]] = {}
    for entry in seccomp.syscalls:
        made = _rules(entry)
        for name in entry.names:
            number = numbers.get(name)
            if number is not None:
                rules[number] = _merged(rules.get(number, ()), made)
    return Table(rules, default, beyond)


def _merged(old: tuple[Rule, ...], new: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Both in order; but a rule without conditions decides alone, as in libseccomp."""
    for rule in (*old, *new):
        if not rule.conditions:
            return (rule,)
    return old + new


def _rules(entry: SeccompSyscall) -> tuple[Rule, ...]:
    action = _action(entry.action, entry.errno_ret)
    conditions = tuple(_condition(argument) for argument in entry.args)
    # Several conditions on one argument are alternatives, for all other runtimes too (a limit of
    # libseccomp that profiles have come to rely on).
    if len({condition.index for condition in conditions}) < len(conditions):
        return tuple(Rule(action, (condition,)) for condition in conditions)
    return (Rule(action, conditions),)


def _condition(argument: SeccompArg) -> Condition:
    match argument.op.removeprefix("SCMP_CMP_"):
        case "MASKED_EQ":
            # The kernel's mask is `value`, what must remain is `valueTwo`.
            return Condition(argument.index, "MASKED_EQ", argument.value_two, argument.value)
        case "EQ" | "NE" | "LT" | "LE" | "GT" | "GE" as operator if argument.op.startswith("SCMP_CMP_"):
            return Condition(argument.index, operator, argument.value & _LARGEST)
    raise InvalidInput(f"linux.seccomp: there is no operator {argument.op!r}")


@functools.lru_cache(maxsize=64)
def named_profile(name: str, held: int, machine: str, allow_32bit: bool = False) -> Seccomp:
    """A named profile as an OCI value, for a container with the capabilities *held* (a bit set).

    Raises:
        InvalidInput: There is no profile of this name.
        UnsupportedFeature: There are no system call numbers for *machine*.
    """
    if machine not in _NATIVE:
        raise UnsupportedFeature(f"there is no seccomp profile for {machine}: x86_64 and aarch64 have one")
    entries = seccomp_profiles.entries(name, frozenset(capabilities.from_mask(held)), machine)
    architectures = [_NATIVE[machine], *(_COMPATIBLE[machine] if allow_32bit else ())]
    return Seccomp("SCMP_ACT_ERRNO", _EPERM, tuple(architectures), syscalls=entries)


@functools.lru_cache(maxsize=64)
def named_filter(name: str, held: int, machine: str, allow_32bit: bool = False) -> Filter:
    """The compiled filter of a named profile; errors as in `named_profile`."""
    return compile_seccomp(named_profile(name, held, machine, allow_32bit), machine)
