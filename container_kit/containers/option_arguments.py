"""The keywords of `run`, `create` and `start` for type checkers; a program that runs never loads this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from container_kit.containers.health import HealthCheck
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.options import Command
from container_kit.containers.restart import RestartPolicy
from container_kit.images.words import PullPolicy
from container_kit.runtime.limits import Limits
from container_kit.runtime.profiles import Profile

__all__ = ["OptionArguments"]


class OptionArguments(TypedDict, total=False):
    """The keywords that describe a container; meanings are in :class:`ContainerOptions`.

    ``pull`` ("missing", "always", "never") and ``platform`` are about the image: see :meth:`Image.pull`.
    """

    name: str | None
    env: Mapping[str, str] | Iterable[str]
    user: str | int
    working_dir: str
    entrypoint: Command | None
    hostname: str
    domainname: str
    limits: Limits | None
    profile: str | Profile
    mounts: Iterable[Mount | str]
    tmpfs: Mapping[str, str] | Iterable[str]
    devices: Iterable[str]
    cap_add: Iterable[str]
    cap_drop: Iterable[str]
    read_only: bool | None
    init: bool
    tty: bool
    stdin_open: bool
    network: str
    pid: str
    ipc: str
    uts: str
    userns: str
    cgroupns: str
    sysctls: Mapping[str, str]
    rlimits: Mapping[str, int | tuple[int, int]]
    labels: Mapping[str, str] | Iterable[str]
    annotations: Mapping[str, str]
    restart: RestartPolicy | str
    health: HealthCheck | None
    log: LogOptions
    stop_signal: str | int
    stop_timeout_s: float
    auto_remove: bool
    group_add: Iterable[str | int]
    oom_score_adj: int
    shm_size: int | str
    no_new_privs: bool | None
    seccomp: str
    masked_paths: Iterable[str] | None
    readonly_paths: Iterable[str] | None
    pull: PullPolicy
    platform: str | None
