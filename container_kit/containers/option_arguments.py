"""The keywords of `run`, `create` and `start` for type checkers; a program that runs never loads this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from container_kit.containers.health import HealthCheck
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.options import Command
from container_kit.containers.restart import RestartPolicy
from container_kit.images.words import PullPolicy
from container_kit.network import EndpointRequest, Network, PortRequest, Shaping
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
    network: str | Network | EndpointRequest | Sequence[str | Network | EndpointRequest]
    networks: Mapping[str, Mapping[str, Any]] | Sequence[str | Network | EndpointRequest]
    ports: Mapping[int | str, Any] | Iterable[int | str | PortRequest]
    publish_all: bool
    aliases: Iterable[str]
    ip: str
    ip6: str
    mac: str
    dns: Iterable[str]
    dns_search: Iterable[str]
    dns_options: Iterable[str]
    extra_hosts: Mapping[str, str] | Iterable[str]
    egress: Iterable[str] | None
    shaping: Shaping | None
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
    pod: str
    cgroup: str
    pull: PullPolicy
    platform: str | None
