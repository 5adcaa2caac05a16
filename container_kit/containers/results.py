"""What finished commands and looked-at containers are, as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from container_kit.containers.state_file import Status

__all__ = ["ContainerInfo", "ExecResult", "Process", "RunResult", "Status"]


@attrs.frozen(kw_only=True)
class ExecResult:
    """How a command in a container ended.

    Attributes:
        exit_code: 0 to 255, or 128+n when signal n ended it.
        stdout, stderr: What it wrote: str, or bytes with ``text=False``; None when not captured.
        duration_s: Seconds from the call to its end.
        command: What was executed.
        oom_killed: Whether the kernel killed it because of the container's memory limit.
    """

    exit_code: int
    stdout: Any = None
    stderr: Any = None
    duration_s: float = 0.0
    command: tuple[str, ...] = ()
    oom_killed: bool = False


@attrs.frozen(kw_only=True)
class RunResult(ExecResult):
    """How a whole container ended; see :class:`ExecResult`.

    Attributes:
        container_id: The 64 hex digits that its events carry.
    """

    container_id: str = ""


@attrs.frozen(kw_only=True)
class ContainerInfo:
    """One container as a list shows it: what it is and the state it was in when asked.

    Attributes:
        status: ``dead`` means that its supervisor was killed while processes of it live on.
        exit_code: Of the last end; None while it has never ended.
        pid: Of its first process as this host sees it; 0 when none.
        health: ``starting``, ``healthy`` or ``unhealthy``; empty without a health check.
        owned: Whether it ends with the process that started it.
    """

    id: str
    name: str
    image: str
    image_digest: str
    command: tuple[str, ...]
    status: Status
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    pid: int = 0
    restarts: int = 0
    health: str = ""
    error: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    owned: bool = False


@attrs.frozen
class Process:
    """One process of a container, numbered as the host sees it.

    Attributes:
        cpu_s: Processor time it has used, in seconds.
        memory_bytes: Resident memory.
    """

    pid: int
    ppid: int
    user: str
    command: str
    cpu_s: float
    memory_bytes: int
