"""The device allow-list of cgroup v2: `DeviceRule` values as a BPF program.

The kernel runs the program at each open and mknod; 1 allows, 0 refuses.

Source: Linux, include/uapi/linux/bpf.h (struct bpf_cgroup_dev_ctx), Documentation/bpf/standardization.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from container_kit.runtime.devices import DeviceRule

__all__ = ["assemble"]

# Instruction classes and operations that the program needs, by their names in linux/bpf.h.
_LDX_MEM_W = 0x61
_ALU64_MOV_K, _ALU64_MOV_X, _ALU64_AND_K, _ALU64_RSH_K = 0xB7, 0xBF, 0x57, 0x77
_JMP32_JNE_K, _JMP_JNE_X = 0x56, 0x5D
_EXIT = 0x95
_R0, _R1, _R2, _R3, _R4, _R5, _R6 = range(7)

_TYPE = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
_INSTRUCTION = struct.Struct("<BBhi")


def _op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, target | source << 4, offset, value)


def assemble(rules: Iterable[DeviceRule]) -> bytes:
    """A program that allows what *rules* allow, and nothing else."""
    listed = tuple(rules)
    if any(rule.covers(DeviceRule("a")) for rule in listed):
        # The verifier refuses a program with instructions that are never reached.
        return b"".join(_ALLOW)
    return b"".join((*_PROLOGUE, *(_match(rule) for rule in listed), *_REFUSE))


# r2 = device type, r3 = wanted access, r4 = major, r5 = minor; the context packs type and access.
_PROLOGUE = (
    _op(_LDX_MEM_W, _R2, _R1, 0),
    _op(_ALU64_MOV_X, _R3, _R2),
    _op(_ALU64_AND_K, _R2, value=0xFFFF),
    _op(_ALU64_RSH_K, _R3, value=16),
    _op(_LDX_MEM_W, _R4, _R1, 4),
    _op(_LDX_MEM_W, _R5, _R1, 8),
)
_REFUSE = (_op(_ALU64_MOV_K, _R0, value=0), _op(_EXIT))
_ALLOW = (_op(_ALU64_MOV_K, _R0, value=1), _op(_EXIT))


def _match(rule: DeviceRule) -> bytes:
    """Allow if the request fits *rule*, else fall through to what follows."""
    # Each test names the register and what it must equal; None stands for "copy of r3 in r6".
    checks: list[tuple[int, int | None]] = []
    if rule.type != "a":
        checks.append((_R2, _TYPE[rule.type]))
    if rule.access != "rwm":
        checks.append((_R3, None))
    if rule.major != -1:
        checks.append((_R4, rule.major))
    if rule.minor != -1:
        checks.append((_R5, rule.minor))
    mask = sum(_ACCESS[letter] for letter in rule.access)
    return _with_jumps(checks, mask)


def _with_jumps(checks: list[tuple[int, int | None]], mask: int) -> bytes:
    """The checks from last to first, each jumping over all that follows when it fails."""
    code = [*_ALLOW]
    for register, wanted in reversed(checks):
        if wanted is not None:
            code.insert(0, _op(_JMP32_JNE_K, register, offset=len(code), value=wanted))
            continue
        # Nothing may be wanted that the rule does not give: (access & mask) == access.
        jump = _op(_JMP_JNE_X, _R6, _R3, offset=len(code))
        code = [_op(_ALU64_MOV_X, _R6, _R3), _op(_ALU64_AND_K, _R6, value=mask), jump, *code]
    return b"".join(code)
