"""Container: lifecycle, exec, attach, logs, statistics, events, copy and health.

`Engine` holds a root directory, `Container` is one container in it, `run` is the shortest way.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Where each public name lives; the module is imported when the name is first used.
_HOME = {
    "Attachment": "container_kit.containers.monitor_client",
    "Container": "container_kit.containers.container",
    "ContainerFiles": "container_kit.containers.files",
    "ContainerInfo": "container_kit.containers.results",
    "ContainerOptions": "container_kit.containers.options",
    "Engine": "container_kit.containers.engine",
    "Event": "container_kit.containers.events",
    "ExecProcess": "container_kit.containers.execution",
    "ExecResult": "container_kit.containers.results",
    "HealthCheck": "container_kit.containers.health",
    "LogLine": "container_kit.containers.logs",
    "LogOptions": "container_kit.containers.monitor_config",
    "Mount": "container_kit.containers.mounts",
    "Process": "container_kit.containers.results",
    "RestartPolicy": "container_kit.containers.restart",
    "RunResult": "container_kit.containers.results",
    "Stats": "container_kit.containers.statistics",
    "run": "container_kit.containers.foreground",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
