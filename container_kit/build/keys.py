"""Keys of steps: one digest of everything that a step's result depends on.

A key is made of contents (diff ids, digests), words and numbers: never of paths of this host, of times of
files, or of the values of secrets.  Each input has a name in a JSON object, so that none can be taken for
another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from container_kit.oci import Digest, Platform
from container_kit.oci.json_document import encode

__all__ = ["FORMAT", "MountInput", "copy_key", "directory_key", "run_key", "source_key"]

FORMAT = 1
"""Raise it when the same inputs give another result: entries of earlier versions are then never found."""


@attrs.frozen(kw_only=True)
class MountInput:
    """What a key knows of one mount of RUN.

    Args:
        content: Key of what is mounted, for a bind and the first content of a cache.
        id: Of a cache, secret or agent: never a value.
        detail: Whatever else the program in the step may notice: mode, owner, size, name of a variable.
    """

    type: str
    target: str
    content: str = ""
    id: str = ""
    read_only: bool = True
    detail: Mapping[str, Any] = attrs.field(factory=dict, hash=False)


def run_key(
    *,
    layers: Sequence[Digest],
    command: Sequence[str],
    env: Mapping[str, str],
    user: str,
    working_dir: str,
    mounts: Sequence[MountInput],
    network: str,
    security: str,
    hostname: str,
    platform: Platform,
    epoch: int,
) -> Digest:
    """The key of a RUN.

    Args:
        layers: Diff ids of the root it runs in, lowest first.
        command: The whole command line; the text of a heredoc is part of it.
        env: All that it sees, the arguments too; but neither secrets nor proxies.
        epoch: The time that its changes get at most.
    """
    return _key(
        "run",
        layers=[str(layer) for layer in layers],
        command=list(command),
        env=sorted(env.items()),
        user=user,
        working_dir=working_dir,
        mounts=[attrs.asdict(mount) for mount in mounts],
        network=network,
        security=security,
        hostname=hostname,
        platform=str(platform),
        epoch=epoch,
    )


def copy_key(
    *,
    layers: Sequence[Digest] | None,
    content: Digest,
    destination: str = "",
    chown: str = "",
    owners: Sequence[Digest] = (),
    epoch: int,
) -> Digest:
    """The key of a COPY or ADD.

    Args:
        layers: Diff ids of the root that it is copied into; None with ``--link``, which never looks there.
        content: The key of what is copied and how, from `CopyPlan.key` or :func:`source_key`.
        destination, chown: As the instruction has them.
        owners: Diff ids of the root that names of users are looked up in, where *layers* is None.
    """
    below = None if layers is None else [str(layer) for layer in layers]
    return _key(
        "copy",
        layers=below,
        content=str(content),
        destination=destination,
        chown=chown,
        owners=[str(layer) for layer in owners],
        epoch=epoch,
    )


def source_key(*, layers: Sequence[Digest], words: Mapping[str, Any]) -> Digest:
    """The key of files of a stage that nobody has looked at: its layers, and what is asked of them."""
    return _key("source", layers=[str(layer) for layer in layers], words=words)


def directory_key(*, layers: Sequence[Digest], path: str, user: str, epoch: int) -> Digest:
    """The key of the directory that WORKDIR makes."""
    return _key("directory", layers=[str(layer) for layer in layers], path=path, user=user, epoch=epoch)


def _key(kind: str, **inputs: Any) -> Digest:
    return Digest.of(encode({"format": FORMAT, "kind": kind, **inputs}))
