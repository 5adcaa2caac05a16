"""Everything about a container in the shape of ``docker inspect``, for programs that read that."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from container_kit.containers.health import read_probes
from container_kit.containers.networked import endpoints_of
from container_kit.containers.results import ContainerInfo
from container_kit.containers.volume_mounts import own_directory
from container_kit.errors import ContainerKitError
from container_kit.runtime.limits import Limits

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.mounts import Mount
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.record import Record
    from container_kit.network import Endpoint

__all__ = ["inspect", "network_settings"]

_NEVER = "0001-01-01T00:00:00Z"


def inspect(container: Container) -> dict[str, Any]:
    """The document for one container; see :meth:`Container.inspect`."""
    engine = container.engine
    record, info = engine.record(container.id), engine.info(container.id)
    directory = engine.catalogue.directory(container.id)
    command = list(record.command)
    return {
        "Id": record.id,
        "Created": _time(info.created_at),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": _state(info, directory),
        "Image": record.image_digest,
        "Name": f"/{record.name}",
        "RestartCount": info.restarts,
        "Driver": engine.snapshotter.name,
        "Platform": "linux",
        "LogPath": os.path.join(directory, "log"),
        "HostConfig": _host_config(record.options),
        "Mounts": _mounts(engine, record, directory),
        "Config": _config(record),
        "NetworkSettings": network_settings(record.options, endpoints_of(engine, record.id)),
        "ContainerKit": {"Owned": info.owned, "Profile": record.options.profile_name, "Directory": directory},
    }


def _time(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.isoformat().replace("+00:00", "Z")


def _state(info: ContainerInfo, directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Status": info.status,
        "Running": info.status in ("running", "paused"),
        "Paused": info.status == "paused",
        "Restarting": info.status == "restarting",
        "OOMKilled": info.oom_killed,
        "Dead": info.status == "dead",
        "Pid": info.pid,
        "ExitCode": info.exit_code or 0,
        "Error": info.error,
        "StartedAt": _time(info.started_at),
        "FinishedAt": _time(info.finished_at),
    }
    if info.health:
        log = [
            {"Start": probe.start, "End": probe.end, "ExitCode": probe.exit_code, "Output": probe.output}
            for probe in read_probes(directory)
        ]
        found["Health"] = {"Status": info.health, "Log": log}
    return found


def network_settings(options: ContainerOptions, endpoints: list[Endpoint]) -> dict[str, Any]:
    """The part about networks; of a container that does not run it says only which networks it wants."""
    first = endpoints[0] if endpoints else None
    aliases = {one.network: list(one.aliases) for one in options.networks}
    wanted = [one.network for one in options.networks] or [options.network]
    found = {one.network_name: _endpoint(one, aliases.get(one.network_name, [])) for one in endpoints}
    return {
        "SandboxID": first.owner if first else "",
        "Ports": _port_bindings(endpoints),
        **_addresses(first),
        "Networks": {**{name: _endpoint(None, aliases.get(name, [])) for name in wanted}, **found},
    }


def _endpoint(endpoint: Endpoint | None, aliases: list[str]) -> dict[str, Any]:
    return {
        "Aliases": aliases,
        "NetworkID": endpoint.network if endpoint else "",
        "EndpointID": endpoint.link if endpoint else "",
        "DNSNames": list(endpoint.names) if endpoint else [],
        **_addresses(endpoint),
    }


def _addresses(endpoint: Endpoint | None) -> dict[str, Any]:
    ipv4, _, bits4 = (endpoint.ipv4 if endpoint else "").partition("/")
    ipv6, _, bits6 = (endpoint.ipv6 if endpoint else "").partition("/")
    return {
        "Gateway": endpoint.gateway4 if endpoint else "",
        "IPAddress": ipv4,
        "IPPrefixLen": int(bits4 or 0),
        "IPv6Gateway": endpoint.gateway6 if endpoint else "",
        "GlobalIPv6Address": ipv6,
        "GlobalIPv6PrefixLen": int(bits6 or 0),
        "MacAddress": endpoint.mac if endpoint else "",
    }


def _port_bindings(endpoints: list[Endpoint]) -> dict[str, list[dict[str, str]]]:
    """``{"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}]}``"""
    found: dict[str, list[dict[str, str]]] = {}
    for one in (port for endpoint in endpoints for port in endpoint.ports):
        binding = {"HostIp": one.host_ip, "HostPort": str(one.host_port)}
        found.setdefault(f"{one.container_port}/{one.protocol}", []).append(binding)
    return found


def _asked_ports(options: ContainerOptions) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for one in options.ports:
        for step in range(one.count):
            host_port = str(one.host_port + step) if one.host_port else ""
            binding = {"HostIp": one.host_ip, "HostPort": host_port}
            found.setdefault(f"{one.container_port + step}/{one.protocol}", []).append(binding)
    return found


def _config(record: Record) -> dict[str, Any]:
    options = record.options
    return {
        "Hostname": options.hostname or record.id[:12],
        "Domainname": options.domainname,
        "User": options.user,
        "Tty": options.tty,
        "OpenStdin": options.stdin_open,
        "Env": [f"{key}={value}" for key, value in options.env],
        "Cmd": None if record.arguments is None else list(record.arguments),
        "Entrypoint": None if options.entrypoint is None else list(options.entrypoint),
        "Image": record.image,
        "WorkingDir": options.working_dir,
        "Labels": dict(record.labels),
        "StopSignal": options.stop_signal or "SIGTERM",
        "StopTimeout": options.stop_timeout_s,
    }


def _host_config(options: ContainerOptions) -> dict[str, Any]:
    limits = options.limits or Limits()
    quota, period = limits.quota_and_period_us
    return {
        "NetworkMode": options.network,
        "PortBindings": _asked_ports(options),
        "PublishAllPorts": options.publish_all,
        "Dns": list(options.dns),
        "DnsSearch": list(options.dns_search),
        "DnsOptions": list(options.dns_options),
        "ExtraHosts": [f"{name}:{address}" for name, address in options.extra_hosts],
        "PidMode": "" if options.pid == "private" else options.pid,
        "IpcMode": options.ipc,
        "UTSMode": "" if options.uts == "private" else options.uts,
        "UsernsMode": options.userns,
        "CgroupnsMode": options.cgroupns,
        "Memory": limits.memory or 0,
        "MemorySwap": limits.memory_swap or 0,
        "MemoryReservation": limits.memory_reservation or 0,
        "NanoCpus": int((limits.cpus or 0) * 1_000_000_000),
        "CpuShares": limits.cpu_shares or 0,
        "CpuQuota": 0 if limits.cpus else quota or 0,
        "CpuPeriod": 0 if limits.cpus else period or 0,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight or 0,
        "ShmSize": options.shm_size or limits.shm_size or 64 << 20,
        "RestartPolicy": {"Name": options.restart.mode, "MaximumRetryCount": options.restart.max_retries},
        "AutoRemove": options.auto_remove,
        "Privileged": options.profile_name == "privileged",
        "ReadonlyRootfs": bool(options.read_only),
        "CapAdd": list(options.cap_add) or None,
        "CapDrop": list(options.cap_drop) or None,
        "GroupAdd": list(options.group_add) or None,
        "Init": options.init,
        "OomScoreAdj": options.oom_score_adj,
        "Sysctls": dict(options.sysctls),
        "Tmpfs": dict(options.tmpfs),
        "Ulimits": [
            {"Name": kind.removeprefix("RLIMIT_").lower(), "Soft": soft, "Hard": hard}
            for kind, soft, hard in options.rlimits
        ],
        "Devices": list(options.devices),
        "Binds": [
            f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"
            for mount in options.mounts
            if mount.type in ("bind", "volume") and mount.source
        ],
        "LogConfig": {
            "Type": "cri" if options.log.enabled else "none",
            "Config": {"max-size": str(options.log.max_size), "max-file": str(options.log.max_files)},
        },
        "Annotations": dict(options.annotations),
    }


def _mounts(engine: Engine, record: Record, directory: str) -> list[dict[str, Any]]:
    return [
        {
            "Type": mount.type,
            **_source(engine, mount, index, directory),
            "Destination": mount.target,
            "RW": not (mount.read_only or mount.type == "image"),
            "Propagation": mount.propagation if mount.type == "bind" else "",
        }
        for index, mount in enumerate(record.mounts)
    ]


def _source(engine: Engine, mount: Mount, index: int, directory: str) -> dict[str, Any]:
    """Where the content of a mount is; of a volume that is gone only its name."""
    if mount.is_anonymous:
        return {"Name": "", "Source": own_directory(directory, index), "Driver": "local"}
    if mount.type != "volume":
        return {"Source": mount.source}
    found: dict[str, Any] = {"Name": mount.source, "Source": "", "Driver": mount.driver or "local"}
    with contextlib.suppress(ContainerKitError):
        found["Driver"] = engine.volumes.record(mount.source).driver
        found["Source"] = engine.volumes.source(mount.source).path
    return found
