"""Who a program runs as: a user and group by name or number, looked up inside the container's root."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from container_kit.containers.building import Identity
from container_kit.containers.roots import open_process_root
from container_kit.native.mounts import detached_overlay
from container_kit.oci.rootfs import Directory, RootFs
from container_kit.runtime.users import resolve_user

__all__ = ["resolve_identity", "resolve_in_process"]

_ROOT = ("", "0", "0:0")


def resolve_identity(root: RootFs, user: str, groups: tuple[str, ...]) -> Identity:
    """Who *user* (``user``, ``user:group``, names or numbers) is in *root*, with further *groups*.

    Raises:
        InvalidInput, NotFound: The user cannot be had; says why.
    """
    if user in _ROOT and not groups:
        return Identity()
    with _opened(root) as fd:
        return _resolve(fd, user, groups)


def resolve_in_process(pid: int, ticks: int, user: str, groups: tuple[str, ...]) -> Identity:
    """The same in the root that a running process sees."""
    if user in _ROOT and not groups:
        return Identity()
    fd = open_process_root(pid, ticks)
    try:
        return _resolve(fd, user, groups)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened(root: RootFs) -> Iterator[int]:
    if isinstance(root, Directory):
        fd = os.open(root.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        fd = detached_overlay(root.lowers, root.upper, root.work)
    try:
        yield fd
    finally:
        os.close(fd)


def _resolve(root_fd: int, user: str, groups: tuple[str, ...]) -> Identity:
    found = resolve_user(root_fd, user, groups)
    return Identity(uid=found.uid, gid=found.gid, groups=found.groups, home=found.home)
