"""The flags that ``run`` and ``create`` share, and what they mean as options of a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from container_kit.cli import create_parsing as parsing
from container_kit.cli.completion import container_namespaces, networks_to_use, signals
from container_kit.cli.humanise import parse_duration
from container_kit.cli.limit_options import limit_options, limits_from
from container_kit.cli.mount_parsing import parse_mount, parse_volume
from container_kit.errors import InvalidInput

__all__ = ["container_arguments", "create_options"]

F = TypeVar("F", bound=Callable[..., Any])

_POLICIES = click.Choice(["always", "missing", "never"])
_PROFILES = click.Choice(["default", "docker", "sandbox", "privileged"])


def _option(*names: str, many: bool = False, flag: bool = False, **settings: Any) -> Callable[[F], F]:
    if flag:
        settings.update(is_flag=True, default=False)
    return click.option(*names, multiple=many, **settings)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _option("--name", help="Name to find the container by."),
    _option("-i", "--interactive", flag=True, help="Keep standard input open."),
    _option("-t", "--tty", flag=True, help="Give it a terminal."),
    _option("-e", "--env", many=True, metavar="NAME[=VALUE]", help="Environment variable."),
    _option("--env-file", many=True, metavar="FILE", help="File of NAME=VALUE lines."),
    _option("-u", "--user", metavar="USER[:GROUP]", help="User, by name or number."),
    _option("-w", "--workdir", metavar="PATH", help="Working directory inside the container."),
    _option("--entrypoint", metavar="PROGRAM", help="Use this instead of the image's entrypoint."),
    _option("-h", "--hostname", help="Host name that the container sees."),
    _option("--domainname", help="Domain name that the container sees."),
    _option(
        "-v",
        "--volume",
        many=True,
        metavar="[SOURCE:]TARGET[:ro]",
        help="Mount a volume or host path.",
    ),
    _option("--mount", many=True, metavar="KEY=VALUE,…", help="Mount a volume, path, image or memory."),
    _option("--volume-driver", metavar="NAME", help="Who keeps the volumes that -v makes (local)."),
    _option("--tmpfs", many=True, metavar="TARGET[:OPTIONS]", help="Mount memory."),
    _option("--device", many=True, metavar="SOURCE[:TARGET[:rwm]]", help="Give it a device of this host."),
    _option("--cap-add", many=True, metavar="CAPABILITY", help="Add a capability."),
    _option("--cap-drop", many=True, metavar="CAPABILITY", help="Take a capability away."),
    _option("--profile", type=_PROFILES, help="Set of walls (default)."),
    _option("--privileged", flag=True, help="No walls: the same as --profile privileged."),
    _option("--security-opt", many=True, metavar="OPTION", help="no-new-privileges, seccomp=unconfined, …"),
    _option("--read-only", flag=True, help="Refuse writes to the container's root."),
    _option("--init", flag=True, help="Run a PID 1 that reaps orphans and forwards signals."),
    _option(
        "--network",
        "--net",
        many=True,
        metavar="NETWORK",
        shell_complete=networks_to_use,
        help="Network to use (bridge), also several; none, host or container:NAME.",
    ),
    _option("--network-alias", "--net-alias", many=True, metavar="NAME", help="Further name of it there."),
    _option("-p", "--publish", many=True, metavar="[[IP:]PORT:]PORT[/PROTOCOL]", help="Publish a port."),
    _option("-P", "--publish-all", flag=True, help="Publish all ports that the image exposes."),
    _option("--expose", many=True, metavar="PORT[/PROTOCOL]", help="Expose a port, for -P."),
    _option("--ip", metavar="ADDRESS", help="Its IPv4 address on the network."),
    _option("--ip6", metavar="ADDRESS", help="Its IPv6 address on the network."),
    _option("--mac-address", metavar="ADDRESS", help="Its hardware address on the network."),
    _option("--dns", many=True, metavar="ADDRESS", help="Name server to ask."),
    _option("--dns-search", many=True, metavar="DOMAIN", help="Domain to look up plain names in."),
    _option("--dns-option", "--dns-opt", many=True, metavar="OPTION", help="Option of resolv.conf."),
    _option("--add-host", many=True, metavar="NAME:ADDRESS", help="Line for /etc/hosts."),
    _option(
        "--pid", metavar="host|container:NAME", shell_complete=container_namespaces, help="PID namespace."
    ),
    _option(
        "--ipc",
        metavar="private|host|container:NAME",
        shell_complete=container_namespaces,
        help="IPC namespace.",
    ),
    _option("--uts", metavar="host|container:NAME", help="UTS namespace."),
    _option("--userns", metavar="host|private", help="User namespace."),
    _option("--cgroupns", metavar="host|private", help="Cgroup namespace."),
    _option("--sysctl", many=True, metavar="NAME=VALUE", help="Kernel parameter of its namespaces."),
    _option("--ulimit", many=True, metavar="NAME=SOFT[:HARD]", help="Resource limit of its processes."),
    _option("-l", "--label", many=True, metavar="NAME[=VALUE]", help="Label."),
    _option("--label-file", many=True, metavar="FILE", help="File of labels."),
    _option("--annotation", many=True, metavar="NAME=VALUE", help="Annotation for the runtime."),
    _option("--restart", metavar="POLICY", help="no, on-failure[:n], always or unless-stopped."),
    _option("--health-cmd", metavar="LINE", help="Shell line that tests its health."),
    _option("--health-interval", metavar="DURATION", help="Time between checks (30s)."),
    _option("--health-timeout", metavar="DURATION", help="Longest time for a check (30s)."),
    _option("--health-start-period", metavar="DURATION", help="Time in which failures do not count (0s)."),
    _option("--health-start-interval", metavar="DURATION", help="Time between checks in that period (5s)."),
    _option("--health-retries", type=int, help="Failures in a row that make it unhealthy (3)."),
    _option("--log-driver", metavar="NAME", help="none keeps no output; others are one and the same."),
    _option("--log-opt", many=True, metavar="NAME=VALUE", help="max-size or max-file."),
    _option(
        "--stop-signal", metavar="SIGNAL", shell_complete=signals, help="Signal that stops it (SIGTERM)."
    ),
    _option("--stop-timeout", type=float, metavar="SECONDS", help="Time from that signal to SIGKILL (10)."),
    _option("--group-add", many=True, metavar="GROUP", help="Further group of its user."),
    _option("--oom-score-adj", type=int, help="-1000 to 1000: higher is killed earlier."),
    _option("--shm-size", metavar="SIZE", help="Size of /dev/shm (64m)."),
    _option("--pull", type=_POLICIES, help="Whether a registry is asked for the image (missing)."),
    _option("--platform", metavar="OS/ARCH", help="Platform of the image to pull (this host's)."),
    _option("--cidfile", metavar="FILE", help="Write the container's id to this file."),
)


def create_options(function: F) -> F:
    """Declares the shared flags on a command; their values go to `container_arguments`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return limit_options(function)


def container_arguments(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of ``Container.create`` that *flags* mean.

    Raises:
        InvalidInput: A value cannot be read; names the flag.
    """
    found = {name: flags[flag] for flag, name in _PLAIN.items() if flags[flag] not in (None, (), False)}
    if flags["entrypoint"] is not None:
        found["entrypoint"] = [flags["entrypoint"]] if flags["entrypoint"] else []
    words = [line for path in flags["env_file"] for line in parsing.read_env_file(path)]
    found["env"] = parsing.parse_env([*words, *flags["env"]])
    found["mounts"] = [
        *(parse_volume(text, flags["volume_driver"] or "") for text in flags["volume"]),
        *map(parse_mount, flags["mount"]),
    ]
    labels = [line for path in flags["label_file"] for line in parsing.read_env_file(path)]
    found["labels"] = parsing.parse_key_values([*labels, *flags["label"]], "label")
    found["annotations"] = parsing.parse_key_values(flags["annotation"], "annotation")
    found["sysctls"] = parsing.parse_key_values(flags["sysctl"], "sysctl")
    found["rlimits"] = parsing.parse_rlimits(flags["ulimit"])
    found.update(parsing.parse_security(flags["security_opt"]))
    found.update(_networks(flags))
    if flags["privileged"]:
        found["profile"] = "privileged"
    limits = limits_from(flags)
    if limits is not None:
        found["limits"] = limits
    found.update(_health(flags), **_logging(flags))
    return {name: value for name, value in found.items() if value not in ({}, [])} | _given_empty(found)


_PLAIN = {
    "name": "name",
    "interactive": "stdin_open",
    "tty": "tty",
    "user": "user",
    "workdir": "working_dir",
    "hostname": "hostname",
    "domainname": "domainname",
    "tmpfs": "tmpfs",
    "device": "devices",
    "cap_add": "cap_add",
    "cap_drop": "cap_drop",
    "profile": "profile",
    "read_only": "read_only",
    "init": "init",
    "network_alias": "aliases",
    "publish_all": "publish_all",
    "ip": "ip",
    "ip6": "ip6",
    "mac_address": "mac",
    "dns": "dns",
    "dns_search": "dns_search",
    "dns_option": "dns_options",
    "add_host": "extra_hosts",
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "userns": "userns",
    "cgroupns": "cgroupns",
    "restart": "restart",
    "stop_signal": "stop_signal",
    "stop_timeout": "stop_timeout_s",
    "group_add": "group_add",
    "oom_score_adj": "oom_score_adj",
    "shm_size": "shm_size",
    "pull": "pull",
    "platform": "platform",
}


def _given_empty(found: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose empty value means something: an image's entrypoint switched off."""
    return {"entrypoint": []} if found.get("entrypoint") == [] else {}


def _networks(flags: Mapping[str, Any]) -> dict[str, Any]:
    """``bridge``, as docker has it, unless something else is asked for."""
    names = [parsing.parse_network(word) for word in flags["network"]]
    alone = [name for name in names if name in ("none", "host") or str(name).startswith("container:")]
    if alone:
        if len(names) > 1:
            raise InvalidInput(f"--network {alone[0]} cannot be had with other networks: give it alone")
        if flags["publish"] and alone[0] == "host":
            click.echo("Warning: with --network host every port is this host's: -p does nothing", err=True)
            return {"network": "host"}
    ports = [*flags["publish"], *(flags["expose"] if flags["publish_all"] else ())]
    return {"network": alone[0] if alone else names or "bridge", **({"ports": ports} if ports else {})}


_HEALTH_TIMES = {
    "health_interval": "interval_s",
    "health_timeout": "timeout_s",
    "health_start_period": "start_period_s",
    "health_start_interval": "start_interval_s",
}


def _health(flags: Mapping[str, Any]) -> dict[str, Any]:
    timing: dict[str, Any] = {
        field: parse_duration(flags[flag]) for flag, field in _HEALTH_TIMES.items() if flags[flag] is not None
    }
    if flags["health_retries"] is not None:
        timing["retries"] = flags["health_retries"]
    if flags["health_cmd"] is None:
        if timing:
            raise InvalidInput("--health flags need a command to run: give --health-cmd")
        return {}
    from container_kit.containers import HealthCheck

    return {"health": HealthCheck.shell(flags["health_cmd"], **timing)}


def _logging(flags: Mapping[str, Any]) -> dict[str, Any]:
    if not flags["log_opt"] and flags["log_driver"] is None:
        return {}
    from container_kit.containers import LogOptions

    given = parsing.parse_key_values(flags["log_opt"], "--log-opt")
    return {"log": LogOptions.parse(given, flags["log_driver"] or "json-file")}
