"""What an image says about running it, checked before anything acts on it.

Image metadata is data that strangers wrote: paths are made absolute within the container, numbers get
ranges, and what would reach our own control labels is dropped.  Users are looked up later, inside.
"""

from __future__ import annotations

import posixpath
import signal
from collections.abc import Mapping

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput, LimitExceeded
from container_kit.oci import ContainerConfig, Healthcheck, ImageConfig

__all__ = [
    "RESERVED_LABEL_PREFIXES",
    "RunDefaults",
    "container_defaults",
    "run_defaults",
    "stop_signal_number",
]

RESERVED_LABEL_PREFIXES = ("io.container-kit.", "container-kit.")
"""Labels that steer this library: only the caller may set them, never an image."""

_MAX_STRING = 128 * 1024 - 1  # MAX_ARG_STRLEN less its NUL: execve(2) refuses longer ones
_MAX_TOTAL = 1 << 20
_MAX_LABELS = 1000
_MAX_DURATION_NS = 24 * 3600 * 10**9
_MIN_DURATION_NS = 10**6  # docker: a millisecond
_NOT_VOLUMES = ("/proc", "/sys", "/dev")


@frozen
class RunDefaults:
    """How a container of an image runs unless the caller says otherwise.

    Args:
        entrypoint, cmd: The program and its arguments; *cmd* is what a command replaces.
        env: ``NAME=value``, in order, no name twice.
        user: ``user[:group]`` by name or number, unresolved; empty means root.
        working_dir: Absolute and without ``..``; links in it are resolved inside the container.
        volumes: Absolute paths without ``..``.
        labels: Those of the image, without the reserved ones.
        stop_signal: Number of the signal that asks the program to end.
        healthcheck: Checked, or None if there is none or it is switched off.
        exposed_ports: ``number/protocol``.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = "/"
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    stop_signal: int = int(signal.SIGTERM)
    healthcheck: Healthcheck | None = None
    exposed_ports: tuple[str, ...] = ()


def run_defaults(image: ImageConfig) -> RunDefaults:
    """The checked defaults of *image*; errors as `container_defaults`."""
    return container_defaults(image.config)


def container_defaults(config: ContainerConfig) -> RunDefaults:
    """What *config* says, checked.

    Raises:
        InvalidInput: A field could not be acted on; names it.
        LimitExceeded: A field is larger than the kernel, or reason, allows.
    """
    _check_sizes(config)
    return RunDefaults(
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        env=_environment(config.env),
        user=_user(config.user),
        working_dir=_inside(config.working_dir or "/", "WorkingDir"),
        volumes=tuple(_volume(path) for path in config.volumes),
        labels=_labels(config.labels),
        stop_signal=stop_signal_number(config.stop_signal),
        healthcheck=_health_check(config.healthcheck),
        exposed_ports=tuple(_port(text) for text in config.exposed_ports),
    )


def stop_signal_number(text: str) -> int:
    """The number of a signal written ``SIGTERM``, ``TERM``, ``15`` or ``RTMIN+3``; empty is SIGTERM."""
    if not text:
        return int(signal.SIGTERM)
    if text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 64:
        return int(text)
    name, plus, offset = text.upper().removeprefix("SIG").partition("+")
    number = getattr(signal, f"SIG{name}", None) if name.isalnum() else None
    steps = int(offset) if offset.isascii() and offset.isdigit() and len(offset) <= 2 else 0
    if isinstance(number, signal.Signals) and (not plus or (name == "RTMIN" and int(number) + steps <= 64)):
        return int(number) + steps
    raise InvalidInput(f"the image's StopSignal {text[:40]!r} is no signal")


def _check_sizes(config: ContainerConfig) -> None:
    words = (*config.entrypoint, *config.cmd, *config.env)
    if any(len(word.encode("utf-8", "surrogateescape")) > _MAX_STRING for word in words):
        raise LimitExceeded(f"the image has an argument or variable longer than {_MAX_STRING} bytes")
    if sum(map(len, words)) > _MAX_TOTAL:
        raise LimitExceeded(f"the image's arguments and environment are larger than {_MAX_TOTAL} bytes")
    if len(config.labels) > _MAX_LABELS or sum(map(len, config.labels.values())) > _MAX_TOTAL:
        raise LimitExceeded(
            f"the image has more than {_MAX_LABELS} labels, or larger than {_MAX_TOTAL} bytes"
        )


def _environment(env: tuple[str, ...]) -> tuple[str, ...]:
    """The last value of each name, at the place of the first; an entry without a value sets nothing."""
    values: dict[str, str] = {}
    for entry in env:
        name, equals, _ = entry.partition("=")
        if not name or any(character.isspace() for character in name):
            raise InvalidInput(f"the image's Env has {entry[:60]!r}, which is not NAME=value")
        if equals:
            values[name] = entry
    return tuple(values.values())


def _user(text: str) -> str:
    if len(text) > 256 or any(character.isspace() or not character.isprintable() for character in text):
        raise InvalidInput(f"the image's User {text[:60]!r} cannot be a user")
    return text


def _inside(path: str, field: str) -> str:
    """*path* made absolute, its ``..`` ended at the root, as the container's own kernel would."""
    if len(path) > 4095:
        raise InvalidInput(f"the image's {field} is longer than a path can be: {path[:60]!r}...")
    return posixpath.normpath("/" + path.lstrip("/"))


def _volume(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidInput(f"the image's volume {path[:60]!r} is no absolute path")
    inside = _inside(path, "Volumes")
    if inside == "/" or any(inside == place or inside.startswith(f"{place}/") for place in _NOT_VOLUMES):
        raise InvalidInput(f"the image's volume {path[:60]!r} would cover what the runtime itself mounts")
    return inside


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value for key, value in labels.items() if not key.lower().startswith(RESERVED_LABEL_PREFIXES)
    }


def _health_check(check: Healthcheck | None) -> Healthcheck | None:
    if check is None or not check.test or check.test[0] == "NONE":
        return None
    if check.test[0] not in ("CMD", "CMD-SHELL") or len(check.test) < 2:
        raise InvalidInput(
            f"the image's Healthcheck starts with {check.test[0][:40]!r}: CMD or CMD-SHELL may"
        )
    for duration in (check.interval_ns, check.timeout_ns, check.start_period_ns, check.start_interval_ns):
        if duration and not _MIN_DURATION_NS <= duration <= _MAX_DURATION_NS:
            raise InvalidInput(f"the image's Healthcheck has {duration} ns: a millisecond to a day may be")
    return check


def _port(text: str) -> str:
    """``80``, ``80/tcp`` or ``8000-8010/udp``, as builders write them."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    known = protocol in ("", "tcp", "udp", "sctp")
    if not known or not _is_port(first) or (dash and not _is_port(last)):
        raise InvalidInput(f"the image's ExposedPorts has {text[:40]!r}, which is no port/protocol")
    return f"{numbers}/{protocol or 'tcp'}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
