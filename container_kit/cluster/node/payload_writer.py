"""Writes a payload so that its readers see all of the old or all of the new, never a mixture.

The files lie in a directory of their own; ``..data`` is a link to it that is replaced in one step, and each
name that a reader uses is a link through ``..data``.

Source: Kubernetes pkg/volume/util/atomic_writer.go, which describes this layout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import PurePosixPath

from container_kit.cluster.node.errors import VolumeNotReady
from container_kit.cluster.node.projection import Payload

__all__ = ["is_written", "write_payload"]

_DATA, _NEW_DATA = "..data", "..data_tmp"
_LONGEST_PATH = 1024


def write_payload(directory: str, payload: Payload, *, group: int | None = None) -> bool:
    """Make *directory* show *payload*; returns whether anything changed.

    Args:
        group: The pod's ``fsGroup``: files get it and are readable for it.

    Raises:
        VolumeNotReady: A path leads out of the volume, or begins with two dots.
    """
    for path in payload:
        _check(path)
    if is_written(directory, payload):
        return False
    fresh = _fresh_directory(directory)
    try:
        _write_files(fresh, payload, group)
        old = _current(directory)
        new_link = os.path.join(directory, _NEW_DATA)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new_link)
        os.symlink(os.path.basename(fresh), new_link)
        os.rename(new_link, os.path.join(directory, _DATA))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _name_files(directory, payload)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or len(path) > _LONGEST_PATH or "\0" in path:
        raise VolumeNotReady(f"file {path!r} cannot be in a volume: it is no relative path")
    if any(part == ".." for part in parts) or parts[0].startswith(".."):
        raise VolumeNotReady(f"file {path!r} cannot be in a volume: its path has or begins with '..'")


def is_written(directory: str, payload: Payload) -> bool:
    """Whether *directory* shows exactly *payload* already."""
    current = _current(directory)
    if current is None:
        return False
    found: set[str] = set()
    for folder, _, names in os.walk(current):
        found.update(os.path.relpath(os.path.join(folder, name), current) for name in names)
    if found != set(payload):
        return False
    return all(_has(os.path.join(current, path), one.content, one.mode) for path, one in payload.items())


def _has(path: str, content: bytes, mode: int) -> bool:
    if os.stat(path).st_size != len(content) or os.stat(path).st_mode & mode != mode:
        return False
    with open(path, "rb") as file:
        return file.read() == content


def _current(directory: str) -> str | None:
    try:
        return os.path.join(directory, os.readlink(os.path.join(directory, _DATA)))
    except FileNotFoundError:
        return None


def _fresh_directory(directory: str) -> str:
    """A new directory whose name begins with two dots, so that no file of a payload can have it."""
    number = 0
    while True:
        path = os.path.join(directory, f"..v{number}")
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            number += 1
            continue
        os.chmod(path, 0o755)  # noqa: S103  a volume is read by whoever the container's user is
        return path


def _write_files(fresh: str, payload: Payload, group: int | None) -> None:
    for path, one in payload.items():
        full = os.path.join(fresh, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(one.content)
            if group is not None:
                os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), one.mode | (0o040 if group is not None else 0))


def _name_files(directory: str, payload: Payload) -> None:
    """Links for the first part of each path; those that lead nowhere any more go."""
    wanted = {PurePosixPath(path).parts[0] for path in payload}
    for name in wanted:
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.join(_DATA, name), os.path.join(directory, name))
    for entry in os.listdir(directory):
        if not entry.startswith("..") and entry not in wanted:
            os.unlink(os.path.join(directory, entry))
