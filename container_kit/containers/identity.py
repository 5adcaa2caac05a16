"""Who a program runs as: a user and group by name or number, looked up inside the container's root."""

from __future__ import annotations

import os

from container_kit.containers.roots import open_process_root
from container_kit.native.descriptors import open_path
from container_kit.oci.rootfs import Directory, RootFs
from container_kit.runtime.users import (
    ResolvedUser,
    layers_reader,
    resolve_in_layers,
    resolve_user,
    root_reader,
)

__all__ = ["resolve_in_process", "resolve_in_root"]


def resolve_in_root(
    root: RootFs, user: str, groups: tuple[str, ...], *, is_new: bool = False
) -> ResolvedUser:
    """Who *user* (``user``, ``user:group``, names or numbers) is in *root*, with further *groups*.

    A root that *is_new* has only what its image has, and the answer is kept.

    Raises:
        InvalidInput: The user cannot be had; says why.
    """
    if isinstance(root, Directory):
        with open_path(root.path, os.O_PATH | os.O_DIRECTORY) as folder:
            return resolve_user(user, root_reader(folder.fileno()), groups)
    if is_new:
        return resolve_in_layers(root.lowers, user, groups)
    return resolve_user(user, layers_reader((root.upper, *root.lowers)), groups)


def resolve_in_process(pid: int, ticks: int, user: str, groups: tuple[str, ...]) -> ResolvedUser:
    """The same in the root that a running process sees."""
    with open_process_root(pid, ticks) as root:
        return resolve_user(user, root_reader(root.fileno()), groups)
