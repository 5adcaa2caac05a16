"""Files into and out of a container of a pod, by ``tar`` inside it, as kubectl cp does.

What comes out is not trusted: it is unpacked by the same walls as an image's layers, below the target.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
from typing import IO, Any

from container_kit.cluster.client.client import Client
from container_kit.cluster.verbs.execution import execute
from container_kit.cluster.verbs.targets import Target
from container_kit.containers.treecopy import DIRECTORY, TreeCopy
from container_kit.errors import CommandFailed, InvalidInput, NotFound
from container_kit.native.descriptors import open_path

__all__ = ["copy_in", "copy_out", "places"]

Object = dict[str, Any]
_IN_POD = re.compile(r"(?P<what>[a-z][a-z0-9.]*/[^/:]+):(?P<path>.+)")


def places(source: str, destination: str) -> tuple[str, str, str, bool]:
    """What ``cp`` means: the object, the path in it, the path here, and whether it goes in.

    Raises:
        InvalidInput: Not exactly one of them is in a pod, ``kind/name:/path``.
    """
    there = [_IN_POD.fullmatch(one) for one in (source, destination)]
    if (there[0] is None) == (there[1] is None):
        words = "write one of them as 'pod/web:/path', the other as a path of this machine"
        raise InvalidInput(f"{source!r} cannot be copied to {destination!r}: {words}")
    if there[0] is not None:
        return there[0]["what"], there[0]["path"], destination, False
    assert there[1] is not None
    return there[1]["what"], there[1]["path"], source, True


def copy_in(client: Client, target: Target, source: str, path: str, container: str = "") -> None:
    """Put a file or folder of this machine at *path* in the container.

    Raises:
        NotFound: There is no *source*.
        CommandFailed: ``tar`` in the container could not; it may not be there.
    """
    if not os.path.lexists(source):
        raise NotFound("file", source)
    folder, name = os.path.split(path.rstrip("/"))
    if path.endswith("/"):
        folder, name = path.rstrip("/"), os.path.basename(os.path.abspath(source))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(source, arcname=name)
    command = ["tar", "-xmf", "-", "-C", folder or "/"]
    _run(client, target, command, container, packed.getvalue())


def copy_out(client: Client, target: Target, path: str, destination: str, container: str = "") -> None:
    """Put a file or folder of the container at *destination* on this machine, or into the folder that it is.

    Raises:
        CommandFailed: There is no such file, or no ``tar`` in the container.
        InvalidInput: The archive that came holds something else.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise InvalidInput(f"{path!r} names no file that could be copied")
    parent, last = os.path.split(os.path.abspath(destination))
    if os.path.isdir(destination):
        parent, last = os.path.abspath(destination), name
    command = ["tar", "-cf", "-", "-C", folder or "/", name]
    with (
        tempfile.TemporaryFile(dir=parent) as packed,  # however much comes: none of it in memory
        tempfile.TemporaryDirectory(prefix=".cp-", dir=parent) as unpacked,
    ):
        _run(client, target, command, container, output=packed)
        _unpack(packed, unpacked)
        if not os.path.lexists(os.path.join(unpacked, name)):
            raise InvalidInput(f"the archive that {target} sent does not hold {name!r}")
        with open_path(unpacked, DIRECTORY) as source, open_path(parent, DIRECTORY) as place:
            copier = TreeCopy(os.geteuid(), os.getegid(), keep_special_bits=False)
            copier.entry(source.fileno(), name, place.fileno(), last)


def _unpack(packed: IO[bytes], folder: str) -> None:
    from container_kit.native.layers import unpack

    packed.seek(0)
    with open_path(folder, DIRECTORY) as place:
        unpack(packed.fileno(), place.fileno(), form="archive")


def _run(
    client: Client,
    target: Target,
    command: list[str],
    container: str,
    data: bytes | None = None,
    output: IO[bytes] | None = None,
) -> None:
    done = execute(client, target, command, container=container, input=data, text=False, output=output)
    if done.exit_code:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise CommandFailed(command, done.exit_code, stderr=done.stderr, log_tail=words[-5:])
