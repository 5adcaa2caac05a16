"""Programs under monitors that do not outlive their test."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.supervision import MonitorHandle, start_monitor
from container_kit.errors import ContainerKitError
from tests.containers.plain import config_of

Supervise = Callable[..., MonitorHandle]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a command under a monitor: ``supervise("sleep", "9", restart=...)``."""
    handles: list[MonitorHandle] = []

    def start(*command: str, name: str = "c1", **options: Any) -> MonitorHandle:
        handle = start_monitor(config_of(tmp_path / name, *command, **options))
        handles.append(handle)
        return handle

    yield start
    for handle in handles:
        with contextlib.suppress(ContainerKitError):  # it may have ended by itself
            handle.client.stop(signal=signal.SIGKILL, timeout_s=0)
        handle.close()
