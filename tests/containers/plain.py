"""Programs under a monitor without any walls: what the monitor does needs neither root nor an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from container_kit.containers.monitor_config import MonitorConfig
from container_kit.runtime.plan import Op, Plan, Step, texts

PATH = ("/usr/bin", "/bin")


def plan_of(*command: str) -> bytes:
    """The plan that just executes *command* where it is."""
    find = Step(Op.FIND_PROGRAM, payload=texts(command[0], *PATH))
    execute = Step(Op.EXEC, a=len(command), payload=texts(*command, f"PATH={':'.join(PATH)}"))
    return Plan(steps=(find, execute)).encode()


def config_of(directory: Path, *command: str, **options: Any) -> MonitorConfig:
    """A monitor's configuration for *command*, with a directory of its own."""
    directory.mkdir(exist_ok=True)
    return MonitorConfig(id=directory.name, directory=str(directory), plan=plan_of(*command), **options)
