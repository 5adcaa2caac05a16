"""A machine that runs classic BPF on a system call, as the kernel does: for tests of filters."""

from __future__ import annotations

import struct
from collections.abc import Sequence

MACHINES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "ppc64le": 0xC0000015}
X32_BIT = 0x40000000
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026


def run(program: bytes, machine: str, number: int, arguments: Sequence[int] = ()) -> int:
    """The action for one call; fails as the kernel's checker would on a jump or load out of bounds."""
    six = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, MACHINES[machine], 0, *six)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    for _ in range(len(code) + 1):
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                assert constant % 4 == 0 and constant <= len(data) - 4
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                accumulator &= constant
            case 0x05:
                at += constant
            case 0x15 | 0x25 | 0x35:
                tests = {
                    0x15: accumulator == constant,
                    0x25: accumulator > constant,
                    0x35: accumulator >= constant,
                }
                at += if_true if tests[operation] else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")
    raise AssertionError("a program that does not end")
