"""Waiting for a container to be ready: for a port, an answer over HTTP, a line of its log, and more.

``container.wait_for(ck.wait.port(5432))`` returns as soon as it has come about.  The end of the container
ends the wait at once, with its last lines.  Where the kernel tells of a change nothing is polled.
"""

from __future__ import annotations

from container_kit.containers.strategy import Probe, Strategy
from container_kit.wait.words import (
    all,
    any,
    callable,
    exec,
    exit,
    file,
    health,
    http,
    log,
    port,
)

__all__ = [
    "Probe",
    "Strategy",
    "all",
    "any",
    "callable",
    "exec",
    "exit",
    "file",
    "health",
    "http",
    "log",
    "port",
]
