"""Container: lifecycle, exec, attach, logs, statistics, events, copy and health.

`Engine` holds a root directory, `Container` is one container in it, `run` is the shortest way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.events import Event
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.files import ContainerFiles
    from container_kit.containers.foreground import run
    from container_kit.containers.health import HealthCheck
    from container_kit.containers.logs import LogLine
    from container_kit.containers.monitor_client import Attachment
    from container_kit.containers.monitor_config import LogOptions
    from container_kit.containers.mounts import Mount
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.restart import RestartPolicy
    from container_kit.containers.results import ContainerInfo, ExecResult, Process, RunResult
    from container_kit.containers.sandbox import Sandbox, SandboxResult
    from container_kit.containers.statistics import Stats

# Where each public name lives; the module is imported when the name is first used.
_HOME = {
    "Attachment": ".monitor_client",
    "Container": ".container",
    "ContainerFiles": ".files",
    "ContainerInfo": ".results",
    "ContainerOptions": ".options",
    "Engine": ".engine",
    "Event": ".events",
    "ExecProcess": ".execution",
    "ExecResult": ".results",
    "HealthCheck": ".health",
    "LogLine": ".logs",
    "LogOptions": ".monitor_config",
    "Mount": ".mounts",
    "Process": ".results",
    "RestartPolicy": ".restart",
    "RunResult": ".results",
    "Sandbox": ".sandbox",
    "SandboxResult": ".sandbox",
    "Stats": ".statistics",
    "run": ".foreground",
}

__all__ = [
    "Attachment",
    "Container",
    "ContainerFiles",
    "ContainerInfo",
    "ContainerOptions",
    "Engine",
    "Event",
    "ExecProcess",
    "ExecResult",
    "HealthCheck",
    "LogLine",
    "LogOptions",
    "Mount",
    "Process",
    "RestartPolicy",
    "RunResult",
    "Sandbox",
    "SandboxResult",
    "Stats",
    "run",
]

__getattr__ = resolver(__name__, _HOME)
