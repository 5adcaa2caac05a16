"""What the OCI runtime remembers of a container between commands: one directory each.

``state.json`` is written by rename and holds facts only; whether the container runs is asked of the
kernel each time, so that it is true after a crash and after a reboot too.  ``lock`` serialises the
commands on one container.  ``start`` is the socket that a created container waits on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound
from container_kit.native.descriptors import as_file, open_path

__all__ = ["Place", "Record", "StateRoot", "Status", "process_start_ticks"]

Status: TypeAlias = Literal["creating", "created", "running", "paused", "stopped"]

_ID = re.compile(r"[\w+.-]{1,1024}", re.ASCII)
_STATE, _LOCK, _START = "state.json", "lock", "start"
_ZOMBIE = frozenset("ZXx")


@attrs.frozen(kw_only=True)
class Record:
    """The facts about one container.

    Args:
        pid: Its first process; 0 while it is being created.
        start_ticks: When that process began, so that another one with its number is told apart.
        cgroup_parent, cgroup_name: Its cgroup, below each hierarchy's root; empty when it has none.
        started: Whether ``start`` has been called.
    """

    id: str
    bundle: str
    root: str
    created: str
    owner: str
    oci_version: str
    pid: int = 0
    start_ticks: int = 0
    cgroup_parent: str = ""
    cgroup_name: str = ""
    started: bool = False
    annotations: Mapping[str, str] = attrs.field(factory=dict)

    def is_alive(self) -> bool:
        """Whether its first process runs: it is there, it is the same one, and it is no zombie."""
        return self.pid > 0 and process_start_ticks(self.pid) == self.start_ticks

    def state(self, status: Status) -> dict[str, Any]:
        """The state that hooks read and ``state`` prints.

        Source: OCI runtime-spec, runtime.md, "State".
        """
        document: dict[str, Any] = {
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": status,
            "pid": 0 if status == "stopped" else self.pid,
            "bundle": self.bundle,
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def process_start_ticks(pid: int) -> int:
    """When process *pid* began, in clock ticks since boot; 0 when it has ended or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0].decode() in _ZOMBIE else int(fields[19])


@attrs.frozen
class Place:
    """The directory of one container."""

    path: str

    @property
    def id(self) -> str:
        """The container's id."""
        return os.path.basename(self.path)

    def read(self) -> Record:
        """What is known of the container.

        Raises:
            NotFound: There is no such container, or it was never completed.
        """
        try:
            with open(os.path.join(self.path, _STATE), encoding="utf-8") as file:
                return Record(**json.load(file))
        except FileNotFoundError:
            raise NotFound("container", self.id, "container does not exist") from None

    def write(self, record: Record) -> None:
        """Replace what is known; another process sees the old or the new, never a part."""
        draft = os.path.join(self.path, f".{_STATE}")
        held = open_path(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with as_file(held, "w", encoding="utf-8") as file:
            json.dump(attrs.asdict(record), file)
        os.rename(draft, os.path.join(self.path, _STATE))

    def keep(self, name: str, document: bytes) -> None:
        """Keep a document beside the state: the configuration that later commands need."""
        held = open_path(os.path.join(self.path, name), os.O_WRONLY | os.O_CREAT, 0o600)
        with as_file(held, "wb") as file:
            file.write(document)

    def kept(self, name: str) -> bytes:
        """The document that `keep` kept."""
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands on this container out until the block ends.

        Raises:
            NotFound: There is no such container.
        """
        try:
            lock = open_path(os.path.join(self.path, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            raise NotFound("container", self.id, "container does not exist") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def is_locked(self) -> bool:
        """Whether a command is at work on this container."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.path, _LOCK), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def listen(self) -> socket.socket:
        """The socket on which the container will wait for its start."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with self._short_path() as path:
            listener.bind(path)
        listener.listen(1)
        return listener

    def connect(self) -> socket.socket:
        """A connection to that socket: the container starts.

        Raises:
            Conflict: Nobody waits there any more.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            with self._short_path() as path:
                connection.connect(path)
        except OSError as error:
            connection.close()
            raise Conflict(f"cannot start container {self.id}: its process does not wait any more") from error
        return connection

    @contextlib.contextmanager
    def _short_path(self) -> Iterator[str]:
        # The address of a unix socket has 108 bytes; the path of the directory may have more.
        with open_path(self.path, os.O_PATH | os.O_DIRECTORY) as folder:
            yield f"/proc/self/fd/{folder.fileno()}/{_START}"

    def remove(self) -> None:
        """Forget the container; may be repeated."""
        shutil.rmtree(self.path, ignore_errors=True)


@attrs.frozen
class StateRoot:
    """The directory of all containers of one runtime: what ``--root`` says."""

    path: str

    def claim(self, container_id: str) -> Place:
        """Make the directory of a new container.

        Raises:
            InvalidInput: The id cannot be one.
            NameInUse: There is such a container.
        """
        place = self.place(container_id)
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        try:
            os.mkdir(place.path, 0o700)
        except FileExistsError:
            raise NameInUse("container", container_id) from None
        return place

    def place(self, container_id: str) -> Place:
        """The directory of a container, which need not exist.

        Raises:
            InvalidInput: The id cannot be one.
        """
        if not _ID.fullmatch(container_id) or container_id in (".", ".."):
            raise InvalidInput(
                f"container id {container_id!r} cannot be used: letters, digits, '_', '+', '.', '-'"
            )
        return Place(os.path.join(self.path, container_id))

    def places(self) -> list[Place]:
        """The directories of all containers, by id."""
        try:
            names = sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []
        return [Place(os.path.join(self.path, name)) for name in names if _ID.fullmatch(name)]
