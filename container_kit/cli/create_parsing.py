"""Values of ``run`` and ``create`` flags, from docker's notation to the library's: pure functions."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from typing import Any

from container_kit.errors import InvalidInput

__all__ = [
    "parse_env",
    "parse_key_values",
    "parse_network",
    "parse_rlimits",
    "parse_security",
    "read_env_file",
]

_NETWORK_WORDS = {
    "name": "network",
    "ip": "ipv4",
    "ip6": "ipv6",
    "mac-address": "mac",
    "interface": "interface",
}
_FLAG_VALUES = {"": True, "true": True, "1": True, "false": False, "0": False}


def parse_env(words: Iterable[str], surroundings: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``NAME=VALUE`` words; a bare ``NAME`` takes the caller's own value, or is left out without one."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidInput(f"environment variable {word!r} has no name: write NAME=VALUE")
        if equals:
            found[name] = value
        elif name in surroundings:
            found[name] = surroundings[name]
    return found


def read_env_file(path: str) -> list[str]:
    """The ``NAME=VALUE`` lines of a file; empty lines and those that begin with # do not count.

    Raises:
        InvalidInput: It cannot be read, or a name in it has white space.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.lstrip().rstrip("\r\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"cannot read the file of variables or labels {path!r}: {reason}") from error
    words = [line for line in lines if line and not line.startswith("#")]
    for word in words:
        if " " in word.partition("=")[0]:
            raise InvalidInput(f"environment file {path!r}: the name in {word!r} has white space")
    return words


def parse_key_values(words: Iterable[str], what: str) -> dict[str, str]:
    """``KEY=VALUE`` words; a bare key gets an empty value, as docker does for labels."""
    found = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key:
            raise InvalidInput(f"{what} {word!r} has no name: write NAME=VALUE")
        found[key] = value
    return found


def _flag(key: str, value: str) -> bool:
    if value not in _FLAG_VALUES:
        raise InvalidInput(f"--security-opt {key}={value} cannot be read: use true or false")
    return _FLAG_VALUES[value]


def parse_network(text: str) -> Any:
    """``NAME``, or in docker's long form ``name=NAME,alias=A,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS``.

    Raises:
        InvalidInput: A key is unknown, or there is no name.
    """
    if "=" not in text:
        return text
    from container_kit.network import EndpointRequest

    aliases: list[str] = []
    fields: dict[str, Any] = {}
    for word in next(csv.reader([text]), []):
        key, _, value = word.partition("=")
        if key == "alias":
            aliases.append(value)
        elif key in _NETWORK_WORDS:
            fields[_NETWORK_WORDS[key]] = value
        else:
            raise InvalidInput(f"--network {text!r} cannot be read: there is no key {key!r}")
    if not fields.get("network"):
        raise InvalidInput(f"--network {text!r} names none: add name=NETWORK")
    return EndpointRequest(aliases=tuple(aliases), **fields)


def parse_rlimits(words: Iterable[str]) -> dict[str, tuple[int, int]]:
    """``nofile=1024:2048`` words, or one number for both; -1 means unlimited.

    Raises:
        InvalidInput: It is not in this form.
    """
    found = {}
    for word in words:
        name, _, values = word.partition("=")
        soft, colon, hard = values.partition(":")
        try:
            found[name] = (int(soft), int(hard if colon else soft))
        except ValueError:
            raise InvalidInput(f"--ulimit {word!r} cannot be read: write NAME=SOFT[:HARD]") from None
    return found


def parse_security(words: Iterable[str]) -> dict[str, Any]:
    """``--security-opt`` words as options of a container.

    Raises:
        InvalidInput: A word asks for something that does not exist here.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.replace(":", "=", 1).partition("=")
        if key == "no-new-privileges":
            found["no_new_privs"] = _flag(key, value)
        elif (key, value) == ("seccomp", "unconfined"):
            found["seccomp"] = "unconfined"
        elif (key, value) == ("systempaths", "unconfined"):
            found["masked_paths"], found["readonly_paths"] = (), ()
        elif (key, value) not in (("apparmor", "unconfined"), ("label", "disable")):
            raise InvalidInput(
                f"--security-opt {word!r} is not known: use no-new-privileges, seccomp=unconfined or "
                "systempaths=unconfined"
            )
    return found
