"""The containers of a root directory: where each one's directory is, and how it is found by name or id.

What a record consists of is imported with the first one that is read: a root may well be empty.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from container_kit.containers import names
from container_kit.containers.events import parse_time
from container_kit.containers.state_file import read_state
from container_kit.errors import CorruptData, InvalidInput, NotFound
from container_kit.native.descriptors import open_path

if TYPE_CHECKING:
    from container_kit.containers.record import Record
    from container_kit.containers.results import ContainerInfo

__all__ = ["GONE_PREFIX", "Catalogue", "describe"]

# A container's directory on its way out.
GONE_PREFIX = ".gone-"

_ID = re.compile(r"[0-9a-f]{64}\Z")
_MOST_RECORDS = 256
_PREFIX = re.compile(r"[0-9a-f]{1,64}\Z")


class Catalogue:
    """Finds and reads containers below one root; makes the directories it needs, private to the user."""

    def __init__(self, root: str) -> None:
        self.containers, self.owners = os.path.join(root, "containers"), os.path.join(root, "owners")
        names_path = os.path.join(root, "names")
        for path in (self.containers, self.owners, names_path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        # The last records that were read; each file is replaced as a whole, and then is another version.
        self._records: dict[str, tuple[object, Record]] = {}
        self._names = open_path(names_path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Close the descriptor of the names; nothing works afterwards."""
        self._names.close()

    @property
    def names_fd(self) -> int:
        """A descriptor of the directory of names."""
        return self._names.fileno()

    def directory(self, container_id: str) -> str:
        """The absolute path of a container's directory, whether it exists or not."""
        return f"{self.containers}/{container_id}"

    def ids(self) -> Iterator[str]:
        """The ids of all containers, also of those that are just being made, in no order."""
        with os.scandir(self.containers) as entries:
            yield from [entry.name for entry in entries if _ID.match(entry.name)]

    def record(self, container_id: str) -> Record:
        """The record of a container.

        Raises:
            NotFound: It has been removed.
            CorruptData: Its record cannot be read.
        """
        from container_kit.containers.record import read_record, record_version

        directory = self.directory(container_id)
        known, version = self._records.get(container_id), record_version(directory)
        if known is not None and version is not None and known[0] == version:
            return known[1]
        record = read_record(directory)
        if record is None:
            raise NotFound("container", container_id[:12])
        if len(self._records) >= _MOST_RECORDS:
            self._records.clear()
        self._records[container_id] = (version, record)
        return record

    def cgroup_path(self, container_id: str) -> str:
        """Where the container's cgroup is, below that of all; also of one whose removal has begun."""
        from container_kit.containers.record import read_record

        with contextlib.suppress(NotFound, CorruptData):
            return self.record(container_id).options.cgroup
        with contextlib.suppress(CorruptData):
            going = read_record(self.directory(f"{GONE_PREFIX}{container_id}"))
            return "" if going is None else going.options.cgroup
        return ""

    def find(self, name: str) -> str:
        """The id of the container with this name, id, or unique beginning of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: Several ids begin like this.
        """
        if _ID.match(name) and os.path.isdir(self.directory(name)):
            return name
        claimed = names.holder(self.names_fd, name)
        if claimed is not None:
            return claimed
        generated = self._by_generated_name(name)
        if generated is not None:
            return generated
        return self._by_prefix(name)

    def _by_generated_name(self, name: str) -> str | None:
        from container_kit.containers.record import read_record

        digits = names.id_digits(name)
        for candidate in self.ids() if digits else ():
            if candidate.startswith(digits):
                record = read_record(self.directory(candidate))
                if record is not None and record.name == name:
                    return candidate
        return None

    def _by_prefix(self, prefix: str) -> str:
        found = [one for one in self.ids() if one.startswith(prefix)] if _PREFIX.match(prefix) else []
        if not found:
            raise NotFound("container", prefix)
        if len(found) > 1:
            raise InvalidInput(
                f"container id {prefix!r} is the beginning of {len(found)} ids: give more digits"
            )
        return found[0]

    def infos(self) -> list[ContainerInfo]:
        """What every container is and its state now, newest first."""
        found = []
        for container_id in self.ids():
            with contextlib.suppress(NotFound):
                found.append(self.info(container_id))
        return sorted(found, key=lambda info: info.created_at, reverse=True)

    def info(self, container_id: str) -> ContainerInfo:
        """What a container is and its state now.

        Raises:
            NotFound: It has been removed.
        """
        return describe(self.record(container_id), self.directory(container_id))


def describe(record: Record, directory: str) -> ContainerInfo:
    """What the container of *record* is, with its state at this moment."""
    from container_kit.containers.results import ContainerInfo

    state = read_state(directory)
    return ContainerInfo(
        id=record.id,
        name=record.name,
        image=record.image,
        image_digest=record.image_digest,
        command=record.command,
        status=state.status,
        created_at=datetime.fromtimestamp(record.created_ns / 1e9, UTC),
        started_at=parse_time(state.started_at),
        finished_at=parse_time(state.finished_at),
        exit_code=state.exit_code,
        oom_killed=state.oom_killed,
        pid=state.pid if state.is_live else 0,
        restarts=state.restarts,
        health="" if state.health == "none" else state.health,
        error=state.error,
        labels=record.labels,
        owned=bool(record.owner),
    )
