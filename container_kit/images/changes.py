"""The instructions of ``import --change`` and ``commit --change``: Dockerfile lines that alter a config.

Works on the ``config`` object of an image configuration, with the keys of the specification.  A whole
Dockerfile is not read here: no variables, no continuation lines.

Source: Docker CLI reference, "docker commit --change"; OCI image-spec, config.md.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from container_kit.errors import InvalidInput

__all__ = ["apply_changes"]

_Config = dict[str, Any]
_UNITS_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "s": 10**9,
}
_HEALTH_TIMES = {
    "--interval": "Interval",
    "--timeout": "Timeout",
    "--start-period": "StartPeriod",
    "--start-interval": "StartInterval",
}


def apply_changes(config: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A copy of *config* with each instruction applied, in order.

    Raises:
        InvalidInput: An instruction is unknown here or malformed; names it.
    """
    result = copy.deepcopy(dict(config))
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise _bad(change, f"it is none of {', '.join(sorted(_INSTRUCTIONS))}")
        if not rest.strip():
            raise _bad(change, "it has no argument")
        instruction(result, rest.strip(), change)
    return result


def _bad(change: str, why: str) -> InvalidInput:
    return InvalidInput(f"cannot apply the change {change!r}: {why}")


def _command(text: str, change: str) -> list[str]:
    """The exec form, a JSON array of strings, or the shell form."""
    if not text.startswith("["):
        return ["/bin/sh", "-c", text]
    try:
        words = json.loads(text)
    except ValueError:
        return ["/bin/sh", "-c", text]  # as docker does: what is no JSON is for the shell
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _bad(change, "the array may hold only strings")
    return words


def _cmd(config: _Config, text: str, change: str) -> None:
    config["Cmd"] = _command(text, change)


def _entrypoint(config: _Config, text: str, change: str) -> None:
    config["Entrypoint"] = _command(text, change)


def _pairs(text: str, change: str) -> list[tuple[str, str]]:
    """``KEY=value`` words, quoted as in a shell; or the old form ``KEY the whole rest``."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _bad(change, str(error)) from None
    if words and "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise _bad(change, f"{key!r} has no value")
        return [(key, value.strip())]
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise _bad(change, "it must be KEY=value")
    return [(key, value) for key, _, value in pairs]


def _env(config: _Config, text: str, change: str) -> None:
    entries = list(config.get("Env") or [])
    for key, value in _pairs(text, change):
        line = f"{key}={value}"
        places = [index for index, entry in enumerate(entries) if entry.partition("=")[0] == key]
        if places:
            entries[places[0]] = line
        else:
            entries.append(line)
    config["Env"] = entries


def _label(config: _Config, text: str, change: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(text, change))}


def _expose(config: _Config, text: str, change: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        number, _, protocol = word.partition("/")
        first, _, last = number.partition("-")
        if not first.isascii() or not first.isdigit() or (last and not (last.isascii() and last.isdigit())):
            raise _bad(change, f"{word!r} is no port")
        for port in _port_range(int(first), int(last or first), word, change):
            ports[f"{port}/{_protocol(protocol, change)}"] = {}
    config["ExposedPorts"] = ports


def _port_range(first: int, last: int, word: str, change: str) -> range:
    if not 0 < first <= last < 65536:
        raise _bad(change, f"{word!r} is no port: ports are 1 to 65535")
    return range(first, last + 1)


def _protocol(name: str, change: str) -> str:
    protocol = name.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise _bad(change, f"{name!r} is none of tcp, udp, sctp")
    return protocol


def _volume(config: _Config, text: str, change: str) -> None:
    paths = _command(text, change) if text.startswith("[") else text.split()
    if any(not path.startswith("/") for path in paths):
        raise _bad(change, "a volume is an absolute path")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _working_dir(config: _Config, text: str, change: str) -> None:
    base = config.get("WorkingDir") or "/"
    config["WorkingDir"] = text if text.startswith("/") else f"{base.rstrip('/')}/{text}"


def _user(config: _Config, text: str, change: str) -> None:
    config["User"] = text


def _stop_signal(config: _Config, text: str, change: str) -> None:
    config["StopSignal"] = text


def _on_build(config: _Config, text: str, change: str) -> None:
    if text.split()[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
        raise _bad(change, f"{text.split()[0].upper()} cannot be a trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _shell(config: _Config, text: str, change: str) -> None:
    if not text.startswith("["):
        raise _bad(change, "it must be a JSON array")
    config["Shell"] = _command(text, change)


def _health_check(config: _Config, text: str, change: str) -> None:
    check: dict[str, Any] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, _, value = option.partition("=")
        text = text.strip()
        if name in _HEALTH_TIMES:
            check[_HEALTH_TIMES[name]] = _duration_ns(value, change)
        elif name == "--retries" and value.isdigit():
            check["Retries"] = int(value)
        else:
            raise _bad(change, f"{option!r} is unknown")
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE" and not command:
        check["Test"] = ["NONE"]
    elif kind.upper() == "CMD" and command.strip():
        command = command.strip()
        is_list = command.startswith("[")
        check["Test"] = ["CMD", *_command(command, change)] if is_list else ["CMD-SHELL", command]
    else:
        raise _bad(change, "it must be NONE, or CMD and a command")
    config["Healthcheck"] = check


def _duration_ns(text: str, change: str) -> int:
    """Nanoseconds of a Go duration such as ``1m30s``, ``500ms``."""
    total, number = 0.0, ""
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        unit = next((unit for unit in ("ms", "us", "µs", "h", "m", "s") if rest.startswith(unit)), None)
        if unit is None or not number or number.count(".") > 1 or number == ".":
            raise _bad(change, f"{text!r} is no duration such as 30s or 1m30s")
        total += float(number) * _UNITS_NS[unit]
        rest = rest[len(unit) :]
    return int(total)


_INSTRUCTIONS: dict[str, Callable[[_Config, str, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}
