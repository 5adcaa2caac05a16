"""What a caller may ask of a container, checked and frozen before anything is done.

Every keyword of ``ck.run``, ``Container.create`` and ``Container.start`` is a field here.  Values are
normalised (a dict becomes a sorted tuple) so that equal wishes are equal and hashable values: the work
that a wish costs is done once and remembered.  What an image says is merged elsewhere.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from container_kit.containers import network_options as networking
from container_kit.containers.checking import nearest
from container_kit.containers.health import HealthCheck
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.names import check_name
from container_kit.containers.restart import RestartPolicy
from container_kit.errors import InvalidInput, UnknownOption
from container_kit.runtime.limits import Limits, parse_size

if TYPE_CHECKING:
    from container_kit.network.values import EndpointRequest, PortRequest, Shaping
    from container_kit.runtime.profiles import Profile

__all__ = ["Command", "ContainerOptions", "Rlimit", "as_command", "signal_number"]

Command: TypeAlias = str | Iterable[str | os.PathLike[str]]
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Rlimit: TypeAlias = tuple[str, int, int]

_JOINABLE = {
    "pid": ("private", "host"),
    "ipc": ("private", "host"),
    "uts": ("private", "host"),
    "cgroupns": ("private", "host"),
    "userns": ("", "host", "private"),
}
_MOST_SERVERS = 3  # MAXNS of resolv.conf(5)
_RESERVED_LABELS = "container-kit."

# What subprocess and docker-py call it.
_OTHER_WORDS = {
    "cwd": "working_dir",
    "environment": "env",
    "healthcheck": "health",
    "log_config": "log",
    "mem_limit": "limits",
    "memory": "limits",
    "cpus": "limits",
    "dns_opt": "dns_options",
    "mac_address": "mac",
    "net": "network",
    "network_mode": "network",
    "pids_limit": "limits",
    "publish": "ports",
    "publish_all_ports": "publish_all",
    "remove": "auto_remove",
    "restart_policy": "restart",
    "rm": "auto_remove",
    "ulimits": "rlimits",
    "volumes": "mounts",
    "workdir": "working_dir",
}


def as_command(command: Command | None) -> tuple[str, ...] | None:
    """A command as a list of words: a string is split as a shell splits it, without running one.

    Raises:
        InvalidInput: A word is not a string, has a NUL, or a quotation is not closed.
    """
    if command is None:
        return None
    try:
        given = shlex.split(command) if isinstance(command, str) else command
        words = tuple(os.fspath(word) if isinstance(word, os.PathLike) else word for word in given)
    except ValueError as error:
        raise InvalidInput(f"command {command!r} cannot be split into words: {error}") from None
    for word in words:
        if not isinstance(word, str) or "\0" in word:
            raise InvalidInput(
                f"command {list(words)!r} cannot be executed: {word!r} is not text without NUL"
            )
    return words


def signal_number(name: str | int) -> int:
    """The number of a signal given as ``15``, ``"15"``, ``"TERM"``, ``"SIGTERM"`` or ``"RTMIN+3"``.

    Raises:
        InvalidInput: There is no such signal.
    """
    text = str(name).strip().upper().removeprefix("SIG")
    if text.isdigit() and 0 < int(text) < 65:
        return int(text)
    base, plus, offset = text.partition("+")
    if plus and base == "RTMIN" and offset.isdigit() and int(offset) <= 30:
        return 34 + int(offset)
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        raise InvalidInput(
            f"there is no signal {name!r}: use a name such as 'TERM' or a number 1 to 64"
        ) from None


def _pairs(value: Mapping[str, Any] | Iterable[Any] | None, what: str, *, needs_value: bool) -> Pairs:
    """A mapping, or ``KEY=VALUE`` words, as sorted pairs; later ones win."""
    if not value:
        return ()
    if isinstance(value, Mapping):
        found = {str(key): _text(what, key, text) for key, text in value.items()}
    else:
        found = dict(_split(word, what, needs_value) for word in _one_or_many(value))
    for key, text in found.items():
        if not key or "=" in key or "\0" in key or "\0" in text:
            raise InvalidInput(f"{what} {key!r}={text!r} cannot be used: no empty name, '=' in it, or NUL")
    return tuple(sorted(found.items()))


def _text(what: str, key: Any, value: Any) -> str:
    if value is None:
        raise InvalidInput(f"{what} {key!r} has no value: leave it out, or give '' for an empty one")
    return str(value)


def _one_or_many(value: Any) -> Any:
    """A string stands for a list of itself, not for its letters."""
    return (value,) if isinstance(value, str) else value or ()


def _split(word: Any, what: str, needs_value: bool) -> tuple[str, str]:
    if isinstance(word, tuple | list) and len(word) == 2:
        return str(word[0]), str(word[1])
    key, equals, value = str(word).partition("=")
    if not equals and needs_value:
        raise InvalidInput(f"{what} {word!r} has no value: write NAME=VALUE")
    return key, value


def _variables(value: Mapping[str, str] | Iterable[Any] | None) -> Pairs:
    return _pairs(value, "environment variable", needs_value=True)


def _names_only(pairs: Pairs) -> str:
    """Variables as they are shown: their values are often secrets."""
    return repr([key for key, _ in pairs])


def _labels(value: Mapping[str, str] | Iterable[Any] | None) -> Pairs:
    return _pairs(value, "label", needs_value=False)


def _sysctls(value: Mapping[str, str] | Iterable[Any] | None) -> Pairs:
    return _pairs(value, "sysctl", needs_value=True)


def _annotations(value: Mapping[str, str] | Iterable[Any] | None) -> Pairs:
    return _pairs(value, "annotation", needs_value=True)


def _words(value: Iterable[Any] | None) -> tuple[str, ...]:
    return tuple(str(word) for word in _one_or_many(value))


def _optional_words(value: Iterable[Any] | None) -> tuple[str, ...] | None:
    return None if value is None else _words(value)


def _mounts(value: Iterable[Mount | str] | None) -> tuple[Mount, ...]:
    return tuple(Mount.parse(one) if isinstance(one, str) else one for one in _one_or_many(value))


def _tmpfs(value: Mapping[str, str] | Iterable[Any] | None) -> Pairs:
    if isinstance(value, Mapping):
        return tuple(sorted(value.items()))
    many = _one_or_many(value)
    split = [tuple(one) if isinstance(one, tuple | list) else one.partition(":")[::2] for one in many]
    return tuple(sorted((str(target), str(options)) for target, options in split))


def _rlimits(value: Mapping[str, Any] | Iterable[Any] | None) -> tuple[Rlimit, ...]:
    pairs = value.items() if isinstance(value, Mapping) else [(row[0], tuple(row[1:])) for row in value or ()]
    return tuple(sorted(_rlimit(str(name), limit) for name, limit in pairs))


def _rlimit(name: str, limit: Any) -> Rlimit:
    soft, hard = limit if isinstance(limit, tuple | list) else (limit, limit)
    short = name.upper().removeprefix("RLIMIT_")
    if int(soft) > int(hard) >= 0:
        raise InvalidInput(
            f"rlimit {name} cannot be set: the soft limit {soft} is above the hard limit {hard}"
        )
    return f"RLIMIT_{short}", int(soft), int(hard)


def _restart(value: RestartPolicy | str) -> RestartPolicy:
    return RestartPolicy.parse(value) if isinstance(value, str) else value


def _capabilities(value: Iterable[str] | None) -> tuple[str, ...]:
    """Names in the form ``CAP_CHOWN``; ``ALL`` stays as it is."""
    upper = [word.upper() for word in _words(value)]
    return tuple(word if word == "ALL" or word.startswith("CAP_") else f"CAP_{word}" for word in upper)


def _network(value: Any) -> Any:
    """A way to do without one stays what it is; names and networks are settled with the other options."""
    return value or "" if isinstance(value, str | None) else networking.as_endpoints(value)


def _address(value: Any) -> str:
    return "" if value is None else str(value)


def _optional_size(value: int | str | None) -> int | None:
    return None if value is None else parse_size(value, "shm_size")


def _unknown(name: str, function: str, known: list[str]) -> UnknownOption:
    """The error for an option that there is not, with what to write instead."""
    meant = nearest(name, known, _OTHER_WORDS)
    return UnknownOption(name, function, meant, ": help(container_kit.ContainerOptions) lists them")


@attrs.frozen(kw_only=True)
class ContainerOptions:
    """What is asked of one container, beyond its image and command.

    Args:
        name: To find it by; made up when None.
        env: Added to the image's, ``{"NAME": "value"}`` or ``["NAME=value"]``.
        user: ``user``, ``user:group``, names or numbers; empty means what the image says.
        working_dir: Absolute; made when missing; empty means what the image says.
        entrypoint: Replaces the image's, and then the image's command does not count either.
        hostname: The first 12 digits of the id when empty.
        limits: Memory, processors, processes and the like; None means those of the profile.
        profile: ``default``, ``docker``, ``sandbox``, ``privileged`` or a Profile value.
        mounts: Mount values, or ``[SOURCE:]TARGET[:OPTIONS]`` as after ``docker run -v``: a source that is no
            absolute path is the name of a volume.
        tmpfs: ``{"/run": "size=64m"}``, or ``["/run:size=64m"]``.
        devices: ``/dev/name[:target[:rwm]]`` of the host to be present and allowed.
        cap_add, cap_drop: Capabilities against the profile's; ``ALL`` stands for all.
        read_only: Refuse writes to the root; None means what the profile says.
        init: Run a tiny PID 1 that reaps orphans and passes signals on.
        tty: Give it a terminal; stdin_open: keep its standard input open for later.
        network: A Network or its name, or a list of them; ``host``; ``container:NAME`` to join another's; or
            ``none``, which it is unless an option below needs one: then ``bridge``, the default network.
        networks: Further ones; a mapping gives what is special on each: ``{"shop": {"aliases": ["db"]}}``.
        ports: Of the container to publish on this host: ``{8000: 0}`` (0 is a free one, held from the start
            on), ``{"53/udp": ("0.0.0.0", 53)}``, or as after ``docker run -p``: ``["8080:80"]``. On
            127.0.0.1 unless an address is given; with the profile ``docker`` on all.
        publish_all: Publish every port that the image exposes, on free ports of the host.
        aliases: Further names by which others on its first network find it.
        ip, ip6, mac: Its addresses there; empty for free ones.
        dns, dns_search, dns_options: For its ``/etc/resolv.conf``; empty means those of its network.
        extra_hosts: Lines of ``/etc/hosts``: ``{"name": "10.0.0.1"}``; ``host-gateway`` means this host.
        egress: The only places it may connect to, ``["10.0.0.0/8", "example.org:443"]``; None is everywhere.
        shaping: A worse network than there is: ``ck.Shaping(delay_ms=100, loss=0.01)``.
        pid, ipc, uts: ``private``, ``host``, or ``container:NAME`` to join another's.
        userns: ``private`` for an own user namespace, ``host`` for none, empty for what the profile says.
        sysctls: Such as ``{"net.ipv4.ip_forward": "1"}``; only those of its own namespaces.
        rlimits: ``{"nofile": (1024, 4096)}``; clamped to what this process may give.
        labels: For people and programs; ``container-kit.`` is reserved.
        restart: ``no``, ``on-failure[:n]``, ``always``, ``unless-stopped`` or a RestartPolicy.
        health: How to find out whether it works; None means what the image says.
        log: How much of its output is kept.
        stop_signal: Empty means what the image says, else SIGTERM.
        stop_timeout_s: Seconds from the stop signal to SIGKILL.
        auto_remove: Remove it when it ends.
        group_add: Further groups of its user, names or numbers.
        oom_score_adj: -1000 to 1000; higher means killed earlier when memory runs out.
        shm_size: Of /dev/shm, ``64m`` when None.
        no_new_privs: Whether set-user-id programs stay powerless; None means what the profile says.
        seccomp: ``unconfined``, or empty for the profile's filter.
        masked_paths, readonly_paths: Replace the profile's; None keeps them.
        pod: Id of the pod whose namespaces and files it shares; set by :class:`container_kit.Pod`.
        cgroup: Path below the engine's cgroup in which its own is made; empty for right there.

    Raises:
        InvalidInput: A value cannot be used; the message names the field.
    """

    name: str | None = None
    env: Pairs = attrs.field(default=(), converter=_variables, repr=_names_only)
    user: str = attrs.field(default="", converter=str)
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = attrs.field(default=None, converter=as_command)
    hostname: str = ""
    domainname: str = ""
    limits: Limits | None = None
    profile: str | Profile = "default"
    mounts: tuple[Mount, ...] = attrs.field(default=(), converter=_mounts)
    tmpfs: Pairs = attrs.field(default=(), converter=_tmpfs)
    devices: tuple[str, ...] = attrs.field(default=(), converter=_words)
    cap_add: tuple[str, ...] = attrs.field(default=(), converter=_capabilities)
    cap_drop: tuple[str, ...] = attrs.field(default=(), converter=_capabilities)
    read_only: bool | None = None
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    network: str = attrs.field(default="", converter=_network)
    networks: tuple[EndpointRequest, ...] = attrs.field(default=(), converter=networking.as_endpoints)
    ports: tuple[PortRequest, ...] = attrs.field(default=(), converter=networking.as_ports)
    publish_all: bool = False
    aliases: tuple[str, ...] = attrs.field(default=(), converter=_words)
    ip: str = attrs.field(default="", converter=_address)
    ip6: str = attrs.field(default="", converter=_address)
    mac: str = ""
    dns: tuple[str, ...] = attrs.field(default=(), converter=_words)
    dns_search: tuple[str, ...] = attrs.field(default=(), converter=_words)
    dns_options: tuple[str, ...] = attrs.field(default=(), converter=_words)
    extra_hosts: Pairs = attrs.field(default=(), converter=networking.as_hosts)
    egress: tuple[str, ...] | None = attrs.field(default=None, converter=networking.as_egress)
    shaping: Shaping | None = attrs.field(default=None, converter=networking.as_shaping)
    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    userns: str = ""
    cgroupns: str = "private"
    sysctls: Pairs = attrs.field(default=(), converter=_sysctls)
    rlimits: tuple[Rlimit, ...] = attrs.field(default=(), converter=_rlimits)
    labels: Pairs = attrs.field(default=(), converter=_labels)
    annotations: Pairs = attrs.field(default=(), converter=_annotations)
    restart: RestartPolicy = attrs.field(factory=RestartPolicy, converter=_restart)
    health: HealthCheck | None = None
    log: LogOptions = attrs.field(factory=LogOptions)
    stop_signal: str = attrs.field(default="", converter=str)
    stop_timeout_s: float = 10.0
    auto_remove: bool = False
    group_add: tuple[str, ...] = attrs.field(default=(), converter=_words)
    oom_score_adj: int = 0
    shm_size: int | None = attrs.field(default=None, converter=_optional_size)
    no_new_privs: bool | None = None
    seccomp: str = ""
    masked_paths: tuple[str, ...] | None = attrs.field(default=None, converter=_optional_words)
    readonly_paths: tuple[str, ...] | None = attrs.field(default=None, converter=_optional_words)
    pod: str = ""
    cgroup: str = ""

    @classmethod
    def of(cls, wishes: Mapping[str, Any], function: str, others: Iterable[str]) -> ContainerOptions:
        """The options that a caller gave to the public *function*, which has *others* of its own.

        Raises:
            InvalidInput: A value cannot be used; the message names the field.
            UnknownOption: There is no such option; the message names the nearest.
        """
        known = [field.name for field in attrs.fields(cls)]
        for name in wishes:
            if name not in known:
                raise _unknown(name, function, [*others, *known])
        return cls(**wishes)

    def __attrs_post_init__(self) -> None:
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise InvalidInput(f"limits must be such as ck.Limits(memory='64m'), not {self.limits!r}")
        if self.name is not None:
            check_name(self.name)
        if self.working_dir and not self.working_dir.startswith("/"):
            raise InvalidInput(f"working_dir {self.working_dir!r} is not an absolute path")
        if not -1000 <= self.oom_score_adj <= 1000:
            raise InvalidInput(f"oom_score_adj {self.oom_score_adj} is not between -1000 and 1000")
        if self.stop_signal:
            signal_number(self.stop_signal)
        if self.auto_remove and self.restart.mode != "no":
            raise InvalidInput("auto_remove and a restart policy exclude each other: give one of them")
        if self.seccomp not in ("", "unconfined"):
            raise InvalidInput(f"seccomp {self.seccomp!r} is not known: use '' or 'unconfined', or a Profile")
        self._settle_networks()
        self._check_namespaces()
        self._check_labels()

    def _settle_networks(self) -> None:
        """What the options say together about networks goes into ``network`` and ``networks``."""
        own = {"aliases": self.aliases, "ipv4": self.ip, "ipv6": self.ip6, "mac": self.mac}
        wishes = networking.wishes_about(self)
        network, networks = networking.settle(self.network, self.networks, own, wishes)
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "networks", networks)
        for address in self.dns:
            networking.check_address("dns", address)
        if len(self.dns) > _MOST_SERVERS:
            raise InvalidInput(f"dns: {len(self.dns)} servers are given, at most {_MOST_SERVERS} are asked")

    def _check_namespaces(self) -> None:
        for field, words in _JOINABLE.items():
            value: str = getattr(self, field)
            joins = value.startswith("container:") and len(value) > 10 and field not in ("userns", "cgroupns")
            if value not in words and not joins:
                known = ", ".join(repr(word) for word in words if word)
                raise InvalidInput(f"{field} {value!r} is not known: use {known} or 'container:NAME'")
        if self.hostname and self.uts != "private":
            raise InvalidInput("hostname cannot be set in a uts namespace that is shared: drop one of them")

    def _check_labels(self) -> None:
        for key, _ in self.labels:
            if key.startswith(_RESERVED_LABELS):
                raise InvalidInput(
                    f"label {key!r} cannot be set: names beginning {_RESERVED_LABELS!r} are ours"
                )

    @property
    def profile_name(self) -> str:
        """The profile's name, for records and messages."""
        return self.profile if isinstance(self.profile, str) else self.profile.name
