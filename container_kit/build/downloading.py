"""Files from the network for ADD, and archives from it as contexts: fetched once, checked, within limits.

Source: moby/buildkit, source/http; Dockerfile reference, "ADD".
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from hashlib import sha256, sha512
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import attrs

from container_kit.build.trees import Tree
from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded, TimedOut
from container_kit.oci import Digest

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["Download", "downloaded", "is_url", "without_password"]

_MAX_BYTES = 16 << 30
_MAX_REDIRECTS = 10
_CHUNK = 1 << 18
_TIMEOUT_S = 60.0
_USER_IN_URL = re.compile(r"\b(https?://)[^/\s@]*@")


@attrs.frozen
class Download:
    """A file that was fetched: the only one of *tree*."""

    tree: Tree
    name: str


def without_password(text: str) -> str:
    """*text* with ``***`` for the user and password of every URL in it: it is shown, or kept in a history."""
    return _USER_IN_URL.sub(r"\1***@", text)


def is_url(text: str) -> bool:
    """Whether *text* is a file on the web."""
    return text.startswith(("http://", "https://"))


@contextlib.contextmanager
def downloaded(
    url: str, *, checksum: str = "", scratch: str | None = None, max_bytes: int = _MAX_BYTES
) -> Iterator[Download]:
    """The file at *url*, mode 0600, with the time that the server says; removed at the end.

    Args:
        checksum: ``sha256:…`` or ``sha512:…`` that it must have; empty takes what comes.
        scratch: Where to keep it; None for the system's directory for temporary files.
        max_bytes: Of the file.

    Raises:
        CorruptData: It has another digest.
        LimitExceeded: It is larger.
        InvalidInput: The URL or the checksum makes no sense, or there is no such file.
        TimedOut: The server stopped answering.
        ContainerKitError: It could not be fetched; says from which host and why.
    """
    expected = _digest(checksum)
    name = _name(url)
    with tempfile.TemporaryDirectory(prefix="ckit-download-", dir=scratch) as directory:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=root)
            try:
                modified = _fetch(url, fd, expected, max_bytes)
                os.utime(fd, ns=(modified, modified))
            finally:
                os.close(fd)
            yield Download(Tree(root, without_password(url), owner=(0, 0), time_ns=modified), name)
        finally:
            os.close(root)


def _digest(checksum: str) -> Digest | None:
    if not checksum:
        return None
    try:
        return Digest.parse(checksum)
    except ValueError as error:
        raise InvalidInput(f"--checksum={checksum}: {error}") from None


def _name(url: str) -> str:
    """The last part of the URL's path: what the file is called in a directory."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise InvalidInput(f"{url!r} names no host")
    name = posixpath.basename(unquote(parts.path))
    if not name or name in (".", "..") or "\0" in name or "/" in name or len(os.fsencode(name)) > 255:
        return "__unnamed__"
    return name


def _fetch(url: str, fd: int, expected: Digest | None, max_bytes: int) -> int:
    """Write what *url* gives to *fd*; when it was changed, in nanoseconds (0 if the server does not say)."""
    import urllib3

    shown = without_password(url)
    pool = urllib3.PoolManager(retries=urllib3.Retry(total=4, redirect=_MAX_REDIRECTS, backoff_factor=0.2))
    host = urlsplit(url).hostname
    try:
        timeout = urllib3.Timeout(connect=20.0, read=_TIMEOUT_S)
        answer = pool.request("GET", url, preload_content=False, timeout=timeout, headers=_HEADERS)
        try:
            if answer.status != 200:
                raise InvalidInput(f"cannot fetch {shown}: {host} answers {answer.status} {answer.reason}")
            _keep(answer, fd, url, expected, max_bytes)
            return _last_modified(answer.headers.get("Last-Modified"))
        finally:
            answer.close()  # what was not read is not wanted
    except urllib3.exceptions.TimeoutError:
        raise TimedOut(f"cannot fetch {shown}: {host} stopped answering") from None
    except urllib3.exceptions.HTTPError as error:
        raise ContainerKitError(f"cannot fetch {shown} from {host}: {_reason(error)}") from None
    finally:
        pool.clear()


def _reason(error: BaseException) -> str:
    """What the system says, without the words of those that passed it on."""
    error = getattr(error, "reason", None) or error
    while not isinstance(error, OSError) and error.__cause__ is not None:
        error = error.__cause__
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


_HEADERS = {"User-Agent": "container-kit", "Accept-Encoding": "identity"}


def _keep(answer: BaseHTTPResponse, fd: int, url: str, expected: Digest | None, max_bytes: int) -> None:
    hasher = sha512() if expected is not None and expected.algorithm == "sha512" else sha256()
    size = 0
    for chunk in answer.stream(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > max_bytes:
            raise LimitExceeded(f"{without_password(url)} has more than {max_bytes} bytes")
        hasher.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
    if expected is not None and hasher.hexdigest() != expected.hex:
        found = f"{expected.algorithm}:{hasher.hexdigest()}"
        raise CorruptData(f"{without_password(url)} has the digest {found}, not {expected}")


def _last_modified(text: str | None) -> int:
    try:
        return int(parsedate_to_datetime(text or "").timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0
