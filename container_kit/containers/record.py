"""The record of a container: what it was made from and what was asked for, as ``record.json`` keeps it.

Written whole under another name and renamed, so that a reader sees an old or a new one, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from container_kit.containers.health import HealthCheck
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.options import ContainerOptions
from container_kit.containers.state_file import write_private
from container_kit.errors import CorruptData, KernelError, StoreFull
from container_kit.native.descriptors import as_file, open_path
from container_kit.runtime.limits import Limits

__all__ = ["Record", "read_record", "record_version", "write_record"]

_FILE = "record.json"
_LARGEST = 16 << 20


def _words(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@attrs.frozen(kw_only=True)
class Record:
    """One container as it is kept on disk; its state is kept elsewhere.

    Args:
        id: 64 hex digits.
        name: At this moment.
        created_ns: When it was made, nanoseconds since the epoch.
        image: The name of the image as it was asked for; empty for a bundle.
        image_digest: Of the image's manifest; empty for a bundle.
        layers: Diff ids of the image, lowest first.
        command: The whole command line, the entrypoint included.
        arguments: The command that the caller gave; None for the image's own.
        labels: The image's, and the caller's over them.
        owner: Token of the owning process; empty when detached.
        foreground: Whether a `ck.run` call holds it, which has no monitor and starts it once.
        bundle: Absolute path of the OCI bundle that it was made from; else empty.
        mounts: All that it mounts, with the volumes of its image, and images named by digest.
    """

    id: str
    name: str
    created_ns: int
    image: str = ""
    image_digest: str = ""
    layers: tuple[str, ...] = attrs.field(default=(), converter=_words)
    command: tuple[str, ...] = attrs.field(default=(), converter=_words)
    arguments: tuple[str, ...] | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict)
    options: ContainerOptions = attrs.field(factory=ContainerOptions)
    owner: str = ""
    foreground: bool = False
    bundle: str = ""
    mounts: tuple[Mount, ...] = ()

    @property
    def event_fields(self) -> str:
        """The JSON members that the monitor begins each event of the container with."""
        fields = {"id": self.id, "name": self.name, "image": self.image}
        return json.dumps(fields, separators=(",", ":"))[1:-1]

    def to_json(self) -> bytes:
        """The document; what has its default is left out."""
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(Record)}
        fields["options"] = _options_to_dict(self.options)
        fields["mounts"] = [_plain(mount) for mount in self.mounts]
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Record:
        """The inverse of :meth:`to_json`.

        Raises:
            CorruptData: It is not such a document.
        """
        try:
            fields: dict[str, Any] = json.loads(document)
            options = _options_from_dict(fields.pop("options"))
            arguments = fields.pop("arguments")
            # Before there were volumes a container mounted what was asked for, and nothing else.
            mounts = fields.pop("mounts", None)
            fields["mounts"] = options.mounts if mounts is None else tuple(map(Mount.from_dict, mounts))
            return cls(options=options, arguments=None if arguments is None else tuple(arguments), **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptData(
                f"a container's {_FILE} cannot be read: {error}; remove the container"
            ) from None


def _options_to_dict(options: ContainerOptions) -> dict[str, Any]:
    names = (field.name for field in attrs.fields(ContainerOptions))
    values = ((name, getattr(options, name)) for name in names)
    found = {name: _plain(value) for name, value in values if value != getattr(_DEFAULTS, name)}
    return {**found, "profile": options.profile_name}


_DEFAULTS = ContainerOptions()


def _plain(value: Any) -> Any:
    if isinstance(value, Limits):
        return value.given()
    if attrs.has(type(value)):
        return attrs.asdict(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _options_from_dict(found: dict[str, Any]) -> ContainerOptions:
    makers = {"limits": Limits, "health": HealthCheck, "log": LogOptions}
    for key, maker in makers.items():
        if found.get(key) is not None:
            found[key] = maker(**found[key])
    if "restart" in found:
        from container_kit.containers.restart import RestartPolicy

        found["restart"] = RestartPolicy(**found["restart"])
    found["mounts"] = [Mount.from_dict(one) for one in found.get("mounts", ())]
    return ContainerOptions(**found)


def write_record(directory: str, record: Record) -> None:
    """Replace the record in the directory of its container.

    Not synced: after a loss of power the container is whole or swept away, the images are not touched.
    """
    path = os.path.join(directory, _FILE)
    try:
        write_private(f"{path}.new", record.to_json())
    except OSError as error:
        number = error.errno or errno.EIO
        if number in (errno.ENOSPC, errno.EDQUOT):
            why = f"{os.strerror(number)}; run prune, or use a larger disk"
            raise StoreFull(number, f"cannot write {path}: {why}") from None
        raise KernelError.of(number, "cannot write", path) from None
    os.rename(f"{path}.new", path)


def record_version(directory: str) -> object:
    """What is another one after each `write_record`; None when there is no record."""
    try:
        status = os.stat(os.path.join(directory, _FILE))
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_record(directory: str) -> Record | None:
    """The record of the container in *directory*; None while it is being made or removed.

    Raises:
        CorruptData: It cannot be understood.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        held = open_path(os.path.join(directory, _FILE), os.O_RDONLY | os.O_NOFOLLOW)
        with as_file(held, "rb") as file:
            document = file.read(_LARGEST)
        return Record.from_json(document) if document else None
    return None
