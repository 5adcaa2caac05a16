"""What a monitor is told at its start, as a value and as the bytes it reads.

The bytes are fields (see `native.fields`); ``_native/init/monitor.h`` names the same tags.
"""

from __future__ import annotations

import re
import signal
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from container_kit._values import frozen
from container_kit.containers.health import HealthCheck
from container_kit.containers.restart import RestartPolicy
from container_kit.errors import InvalidInput
from container_kit.native.fields import encode_fields, number, text

if TYPE_CHECKING:
    from container_kit.containers.networking import HeldNetwork
    from container_kit.containers.shared_world import SharedNetwork
    from container_kit.network.values import Undo

__all__ = ["HealthProbe", "LogOptions", "MonitorConfig", "undo_fields"]

_MODES = {"no": 0, "on-failure": 1, "always": 2, "unless-stopped": 3}
_SIZE = re.compile(r"(\d+)([kmgKMG]?)[bB]?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

SMALLEST_LOG = 32 * 1024  # two records of the longest kind fit


def _is_log_size(_: object, attribute: Any, value: int | None) -> None:
    if value is not None and value < SMALLEST_LOG:
        raise InvalidInput(
            f"log max_size {value!r}: give at least {SMALLEST_LOG} bytes, or None for no limit"
        )


def _is_file_count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= 200:
        raise InvalidInput(f"log max_files {value!r}: give a count from 1 to 200")


@frozen(kw_only=True)
class LogOptions:
    """How much of a container's output is kept.

    Args:
        max_size: Bytes a log file may reach before a new one is begun; None means no limit.
        max_files: Files that are kept, the current one included.
        enabled: False keeps nothing; attached callers still get the output.

    The defaults are those of Docker's ``local`` driver.

    Raises:
        InvalidInput: A value is out of its range.
    """

    max_size: int | None = attrs.field(default=20 << 20, validator=_is_log_size)
    max_files: int = attrs.field(default=5, validator=_is_file_count)
    enabled: bool = True

    @classmethod
    def parse(cls, options: dict[str, str], driver: str = "json-file") -> LogOptions:
        """From Docker's words: ``--log-driver`` and ``--log-opt max-size=10m max-file=3``."""
        if driver not in ("json-file", "local", "k8s-file", "none"):
            raise InvalidInput(f"log driver {driver!r}: use json-file, local, k8s-file or none")
        unknown = set(options) - {"max-size", "max-file"}
        if unknown:
            raise InvalidInput(f"log option {sorted(unknown)[0]!r}: only max-size and max-file are known")
        default = cls()
        size, files = options.get("max-size"), options.get("max-file")
        return cls(
            max_size=default.max_size if size is None else _size(size),
            max_files=default.max_files if files is None else _count(files),
            enabled=driver != "none",
        )


def _size(words: str) -> int | None:
    """Bytes in docker's form, ``10m``; -1 means no limit."""
    match = _SIZE.fullmatch(words)
    if words == "-1":
        return None
    if match is None:
        raise InvalidInput(f"log max-size {words!r}: give a size such as 10m, or -1 for no limit")
    return int(match[1]) * _UNITS[match[2].lower()]


def _count(words: str) -> int:
    if not (words.isascii() and words.isdigit()):
        raise InvalidInput(f"log max-file {words!r}: give a number")
    return int(words)


@frozen(kw_only=True)
class HealthProbe:
    """A health check, ready to be executed in the container by the monitor.

    Args:
        check: When and how often.
        plan: The encoded plan that executes the check's command in the container; the monitor passes a pidfd
            of the container's first process as its slot 0.
    """

    check: HealthCheck
    plan: bytes = attrs.field(repr=False)


def _paths(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@frozen(kw_only=True)
class MonitorConfig:
    """All that a monitor knows about its container.

    Args:
        id: The container's id, shown in the monitor's command line.
        directory: Absolute path of the container's directory.
        plan: The encoded plan, carried out at the first start and at every restart; its slots are the
            namespaces of *network*.
        cgroup2: Directory in the v2 hierarchy that the container is born in, killed by and removed with.
        cgroups: Its directories in v1 hierarchies, made by the caller, removed by the monitor.
        tty: The plan makes a terminal; its output is logged as stdout.
        stdin_open: Keep a pipe to the program's stdin for attached callers (else ``/dev/null``).
        stdin_once: Close that pipe when the first attached caller with stdin leaves.
        log, restart, health: The policies.
        stop_signal, stop_timeout_s: For a stop that names none.
        auto_remove: Delete *directory* and *name_file* when the container has ended.
        name_file: Path of the file that claims the container's name.
        events: Path of the root's event log; *event_fields* is the JSON members that each event begins with,
            such as ``"id":"…","name":"…"``.
        attach: What the starter wants from the start on: 1 stdin, 2 stdout, 4 stderr, 8 lossless.
        owned: The container ends, and is removed, when the calling process ends.
        network: What the container has in the network, for the monitor to hold and to take back; or the
            namespaces of its pod, to hold.
        disks: What the monitor mounts before each start and passes in the slots after the namespaces: each
            the file of a volume with a size, and its lock.
    """

    id: str
    directory: str
    plan: bytes = attrs.field(repr=False)
    cgroup2: str | None = None
    cgroups: tuple[str, ...] = attrs.field(default=(), converter=_paths)
    tty: bool = False
    stdin_open: bool = False
    stdin_once: bool = False
    log: LogOptions = attrs.field(factory=LogOptions)
    restart: RestartPolicy = attrs.field(factory=RestartPolicy)
    health: HealthProbe | None = None
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    auto_remove: bool = False
    name_file: str | None = None
    events: str | None = None
    event_fields: str = ""
    owned: bool = False
    attach: int = 0
    network: HeldNetwork | SharedNetwork | None = None
    disks: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """The bytes that the monitor reads."""
        return encode_fields(self._fields())

    def _fields(self) -> Iterator[tuple[int, bytes]]:
        yield 1, text(self.id)
        yield 2, text(self.directory)
        yield 4, self.plan
        if self.cgroup2 is not None:
            yield 5, text(self.cgroup2)
        yield from ((6, text(path)) for path in self.cgroups)
        yield 7, struct.pack("<I", self.tty | self.stdin_open << 1 | self.stdin_once << 2)
        yield 8, struct.pack("<QII", self.log.max_size or 0, self.log.max_files, self.log.enabled)
        yield 9, struct.pack("<II", _MODES[self.restart.mode], self.restart.max_retries)
        yield 10, struct.pack("<II", self.stop_signal, _milliseconds(self.stop_timeout_s))
        yield from self._optional_fields()

    def _optional_fields(self) -> Iterator[tuple[int, bytes]]:
        if self.health is not None:
            check = self.health.check
            times = (check.interval_s, check.timeout_s, check.start_period_s, check.start_interval_s)
            yield 11, struct.pack("<4QII", *map(_milliseconds, times), check.retries, 0)
            yield 12, self.health.plan
        if self.auto_remove:
            yield 13, b""
        if self.name_file is not None:
            yield 14, text(self.name_file)
        if self.events is not None:
            yield 15, text(self.events)
            yield 16, text(self.event_fields)
        if self.owned:
            yield 17, b""
        if self.attach:
            yield 18, number(self.attach)
        if self.network is not None:
            yield from undo_fields(self.network.undo)
            if self.network.shared:
                yield 22, struct.pack("<I", len(self.network.shared))
        yield from ((21, text(file) + text(lock)) for file, lock in self.disks)


def undo_fields(undo: Undo) -> Iterator[tuple[int, bytes]]:
    """What takes back a container's place in the network, as fields; ``_native/init/undo.c`` reads them."""
    yield from ((19, text(path)) for path in undo.files)
    yield from ((20, struct.pack("<Q", protocol) + message) for protocol, message in undo.messages)


def _milliseconds(seconds: float) -> int:
    return min(max(0, round(seconds * 1000)), 0xFFFFFFFE)
