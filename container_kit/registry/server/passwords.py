"""Passwords: given in Python, or in an htpasswd file with bcrypt hashes.

Comparing takes the same time for a user who exists and for one who does not.  bcrypt is slow on purpose,
and clients send the password with every request: one that was right is remembered under a keyed hash.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol

from container_kit.errors import InvalidInput, UnsupportedFeature

__all__ = ["Htpasswd", "KnownPasswords", "Passwords"]

_REMEMBERED: Final = 1024
_MAX_FILE: Final = 4 << 20
_MAX_PASSWORD: Final = 72  # bcrypt reads no further
_is_hash: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}").fullmatch
# Of a password that nobody has: what an unknown user is compared with.
_NOBODY: Final = "$2b$10$" + "." * 21 + "O" + "." * 31


class Passwords(Protocol):
    """Says whether a user and a password belong together; may be slow, from any thread."""

    def verify(self, user: str, password: str) -> bool: ...

    def remembers(self, user: str, password: str) -> bool:
        """Whether `verify` would say yes at once."""


class KnownPasswords:
    """Passwords that the caller gave; kept as keyed hashes only."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._key = secrets.token_bytes(32)
        self._hashes = {user: self._hash(password) for user, password in users.items()}

    def verify(self, user: str, password: str) -> bool:
        given = self._hash(password)
        known = self._hashes.get(user)
        return hmac.compare_digest(given, known or bytes(len(given))) and known is not None

    def remembers(self, user: str, password: str) -> bool:
        return True  # no answer of `verify` is slow

    def _hash(self, password: str) -> bytes:
        return hmac.digest(self._key, password.encode(), "sha256")


class Htpasswd:
    """The users of an htpasswd file, which is read again when it has changed.

    Raises:
        InvalidInput: A line is no user with a bcrypt hash; names the line.
        UnsupportedFeature: The library ``bcrypt`` is not installed.
    """

    def __init__(self, path: str) -> None:
        try:
            import bcrypt  # noqa: F401
        except ImportError as error:
            raise UnsupportedFeature(
                "cannot read bcrypt hashes: install the extra with `pip install container-kit[server]`"
            ) from error
        self._path = path
        self._key = secrets.token_bytes(32)
        self._mutex = threading.Lock()
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._seen: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._refresh()

    def verify(self, user: str, password: str) -> bool:
        import bcrypt

        if self.remembers(user, password):
            return True
        known = self._hashes.get(user)
        secret = password.encode()
        if len(secret) > _MAX_PASSWORD:
            return False
        # A user who does not exist costs as much as one who does.
        fits = bcrypt.checkpw(secret, (known or next(iter(self._hashes.values()), _NOBODY)).encode())
        if not fits or known is None:
            return False
        with self._mutex:
            self._right[self._note(user, password, known)] = None
            if len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return True

    def remembers(self, user: str, password: str) -> bool:
        self._refresh()
        known = self._hashes.get(user)
        with self._mutex:
            return known is not None and self._note(user, password, known) in self._right

    def _note(self, user: str, password: str, known: str) -> bytes:
        """What is remembered of a right password; it counts only while the file says the same."""
        return hmac.digest(self._key, "\0".join((user, known, password)).encode(), "sha256")

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                with open(self._path, encoding="utf-8") as file:
                    self._hashes = _parse(file.read(_MAX_FILE), self._path)
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read the passwords in {self._path!r}: {error}") from error


def _parse(text: str, path: str) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, hashed = line.strip().partition(":")
        if not colon or not user or not _is_hash(hashed):
            raise InvalidInput(f"{path!r} line {number} is no user with a bcrypt hash: use `htpasswd -B`")
        hashes[user] = hashed
    return hashes
