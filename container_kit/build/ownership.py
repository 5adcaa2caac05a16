"""``--chown`` and ``--chmod`` of COPY and ADD: what they mean for a file.

Source: moby/buildkit, solver/llbsolver/file; POSIX, chmod, "EXTENDED DESCRIPTION".
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from typing import TypeAlias

from container_kit.errors import InvalidInput
from container_kit.runtime.users import Reader, resolve_user

__all__ = ["ModeChange", "parse_chmod", "resolve_owner"]

ModeChange: TypeAlias = Callable[[int, bool], int]  # (mode, is a directory) -> mode

_UMASK = 0o022
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}


def resolve_owner(chown: str, read: Reader) -> tuple[int, int]:
    """User and group id that ``--chown=``*chown* means in the image that *read* reads files of.

    A number without a group is that group, too; a name without a group has the group of its account.

    Raises:
        InvalidInput: A name is unknown, or a number out of range.
        LimitExceeded: The image's file to look it up in is too large.
    """
    user, _, group = chown.partition(":")
    if user.isascii() and user.isdigit() and not group:
        group = user
    found = resolve_user(f"{user or '0'}:{group}" if group else user, read)
    return found.uid, found.gid


def parse_chmod(text: str) -> ModeChange | None:
    """What ``--chmod=``*text* does to a mode; None where it is empty.

    Raises:
        InvalidInput: It is neither octal up to 7777 nor a list like ``u=rwX,go=r``.
    """
    if not text:
        return None
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        fixed = int(text, 8)
        return lambda mode, is_dir: fixed
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    actions: list[tuple[str, str, str]] = []
    for clause in clauses:
        if clause is None or len(text) > 256:
            raise InvalidInput(
                f"--chmod={text[:64]}: a mode is octal such as 0755, or a list such as u=rwX,go=r"
            )
        actions += [(clause[1], sign, what) for sign, what in _ACTION.findall(clause[2])]

    def change(mode: int, is_dir: bool) -> int:
        for who, sign, what in actions:
            mode = _applied(mode, is_dir, who, sign, what)
        return mode

    return change


def _applied(mode: int, is_dir: bool, who: str, sign: str, what: str) -> int:
    classes = [*"ugo"] if not who or "a" in who else [*who]
    reach = 0
    for name in classes:
        reach |= _CLASSES[name]
    if not who or "a" in who or "o" in who:
        reach |= stat.S_ISVTX
    bits = _wanted(mode, is_dir, what) & reach
    if not who:
        bits &= ~_UMASK
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    kept = 0o6000 & mode if is_dir else 0  # as chmod does: "=" leaves the set-id bits of a directory
    return (mode & ~reach) | bits | kept


def _wanted(mode: int, is_dir: bool, what: str) -> int:
    if what in _SHIFTS and what:
        three = mode >> _SHIFTS[what] & 7
        return three << 6 | three << 3 | three
    bits = 0
    for letter in what:
        if letter == "X":
            bits |= 0o111 if is_dir or mode & 0o111 else 0
        else:
            bits |= _BITS[letter]
    return bits
