"""The container that is waited for, as every probe of one wait sees it.

Its monitor tells of each change of its state; a watch on its directory tells that it wrote something.  Both
are descriptors, so a wait sleeps until something happens.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING

from container_kit.containers.logs import read_logs
from container_kit.containers.monitor_client import LONGEST_MESSAGE, connect, send
from container_kit.containers.state_file import ContainerState, read_state, start_ticks
from container_kit.containers.watching import POLL_S, Watch
from container_kit.errors import ContainerKitError, KernelError, WrongState

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.record import Record
    from container_kit.containers.strategy import Interest

__all__ = ["Subject"]

_UNHEARD_S = 1.0  # the end of a container without a monitor is told a moment before it can be seen


class Subject:
    """One container while something of it is waited for; a context manager.

    Attributes:
        container: The container.
        state: What it was doing when `refresh` was last called.

    Raises:
        WrongState: It has not been started.
        NotFound: It has been removed.
    """

    def __init__(self, container: Container) -> None:
        self.container = container
        self.record: Record = container.engine.record(container.id)
        self.directory = container.engine.catalogue.directory(container.id)
        self._connection: socket.socket | None = None
        self._watch: Watch | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with contextlib.suppress(KernelError):  # it is gone by now: it removed itself
            self._watch = Watch(self.directory)
        with contextlib.suppress(WrongState):  # it has ended, or a call of `run` holds it
            self._connection = connect(self.directory)
            send(self._connection, b"w")
            self._connection.setblocking(False)
        self.state = read_state(self.directory)
        if self.state.status == "created":
            self.container.engine.record(self.container.id)  # NotFound: it has just removed itself
            raise WrongState(f"cannot wait for anything in container {self.record.name}: start it first")

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for good: no restart is to come."""
        return not self.state.is_live

    def refresh(self) -> None:
        """Take what was told since the last call."""
        if self._watch is not None:
            self._watch.drain()
        if self._connection is None:
            if self.state.is_live:
                self.state = read_state(self.directory)
            return
        try:
            while message := self._connection.recv(LONGEST_MESSAGE):
                self.state = ContainerState.parse(message[1:])
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        self._connection.close()
        self._connection = None
        if self.state.is_live:  # its monitor was killed
            self.state = read_state(self.directory)

    def interests(self) -> list[Interest]:
        """Descriptors that wake us."""
        found = [] if self._connection is None else [self._connection.fileno()]
        if self._watch is not None and (watch := self._watch.fileno()) >= 0:
            found.append(watch)
        return [(fd, select.POLLIN) for fd in found]

    def patience_s(self) -> float | None:
        """How long nothing may be told before we look ourselves."""
        if self._watch is None or self._watch.fileno() < 0:
            return POLL_S
        return _UNHEARD_S if self._connection is None else None

    def runs_as(self) -> int:
        """The number of its first process as this host sees it; 0 while it has none."""
        pid = self.state.pid
        return pid if pid and start_ticks(pid) == self.state.start_ticks else 0

    def last_lines(self, count: int = 10) -> list[str]:
        """What it wrote last, for the message of an error; nothing when its log is gone."""
        with contextlib.suppress(ContainerKitError, OSError):
            return [line.text for line in read_logs(self.directory, tail=count)]
        return []

    def close(self) -> None:
        """Let go; may be repeated."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Subject({os.path.basename(self.directory)[:12]}, {self.state.status})"
