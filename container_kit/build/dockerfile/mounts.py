"""``--mount=type=cache,target=/x`` of RUN: its keys, their values, and which type takes which.

Source: moby/buildkit, frontend/dockerfile/instructions; Dockerfile reference, "RUN --mount".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any, Literal

import attrs

from container_kit.build.dockerfile.errors import DockerfileError, closest

__all__ = ["RunMount", "parse_mount"]

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_SYNONYMS = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite",
}  # fmt: skip
_KEYS = (
    "type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "mode", "uid",
    "gid", "size", "env",
)  # fmt: skip
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_LARGEST_ID = (1 << 32) - 1


@attrs.frozen(kw_only=True)
class RunMount:
    """A mount of one RUN.

    Args:
        type: Of mount.
        source: Path within *from_*, or a secret's id in its old spelling.
        target: Where; empty where the type has a place of its own (a secret's is /run/secrets/<id>).
        from_: Stage, image or named context of a bind or cache; empty is the build context (bind)
            or an empty directory (cache).
        read_only: What was said, or what is usual: caches and tmpfs can be written to, the rest cannot.
        id: Of the cache, secret or SSH agent; empty means the usual one.
        sharing: Of a cache.
        required: Whether a secret or agent must be there.
        mode, uid, gid: Of what is made (secret file, agent's socket, empty cache); None is the type's own.
        size_bytes: Of a tmpfs; None has no limit of its own.
        env: Name of a variable that holds the secret; then a file is made only when *target* says where.
    """

    type: Literal["bind", "cache", "tmpfs", "secret", "ssh"] = "bind"
    source: str = ""
    target: str = ""
    from_: str = ""
    read_only: bool = True
    id: str = ""
    sharing: Literal["shared", "private", "locked"] = "shared"
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int | None = None
    env: str | None = None


def parse_mount(text: str, expand: Callable[[str], str] | None) -> RunMount:
    """The mount that *text* means.

    Args:
        text: After ``--mount=``.
        expand: Replaces the variables of one value; None while they are not known: values that have
            any are then not looked at.

    Raises:
        DockerfileError: A key is unknown, does not fit the type, or has a value that makes no sense.
    """
    if expand is None and "$" in text:
        _require_plain_from(text)
        return RunMount()
    given = {key: expand(value) if expand and value is not None else value for key, value in _fields(text)}
    kind = _choice("type", (given.pop("type", None) or "bind").lower(), _TYPES)
    values: dict[str, Any] = {"type": kind}
    for key, value in given.items():
        _require_fits(key, kind)
        values |= _value(key, value)
    values.setdefault("read_only", kind not in ("cache", "tmpfs"))
    mount = RunMount(**values)
    _require_complete(mount)
    return mount


def _fields(text: str) -> list[tuple[str, str | None]]:
    """Keys in their usual spelling with their values, in order."""
    try:
        [row] = csv.reader([text], strict=True)
    except (ValueError, csv.Error):
        raise DockerfileError(f"--mount={text} is no list of key=value between commas") from None
    fields: list[tuple[str, str | None]] = []
    for field in row:
        written, sign, value = field.partition("=")
        key = _SYNONYMS.get(written.lower().strip(), written.lower().strip())
        if key not in _KEYS:
            hint = closest(key, [*_KEYS, *_SYNONYMS])
            raise DockerfileError(f"--mount has no key {written!r}", suggestion=hint)
        fields.append((key, value if sign else None))
    return fields


def _require_plain_from(text: str) -> None:
    for key, value in _fields(text):
        if key == "from" and value and re.search(r"\$.", value):
            raise DockerfileError(
                "--mount=from= takes no variables; name a stage with FROM $… AS name instead"
            )


def _require_fits(key: str, kind: str) -> None:
    only = {
        "size": ("tmpfs",),
        "sharing": ("cache",),
        "required": ("secret", "ssh"),
        "env": ("secret",),
        "from": ("bind", "cache"),
    }
    only |= dict.fromkeys(("mode", "uid", "gid"), ("secret", "ssh", "cache"))
    if key in only and kind not in only[key]:
        raise DockerfileError(f"--mount=type={kind} takes no {key}; it is for type {' or '.join(only[key])}")


def _value(key: str, value: str | None) -> dict[str, Any]:
    match key:
        case "readonly":
            return {"read_only": _truth(key, value)}
        case "readwrite":
            return {"read_only": not _truth(key, value)}
        case "required":
            return {"required": _truth(key, value)}
    if value is None:
        raise DockerfileError(f"--mount: {key} needs a value: {key}=…")
    match key:
        case "from":
            return {"from_": value}
        case "sharing":
            return {"sharing": _choice(key, value.lower(), _SHARING)}
        case "mode":
            return {"mode": _number(key, value, 8, 0o7777)}
        case "uid" | "gid":
            return {key: _number(key, value, 10, _LARGEST_ID)}
        case "size":
            return {"size_bytes": _size(value)}
    return {key: value}


def _truth(key: str, value: str | None) -> bool:
    if value is None or value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise DockerfileError(f"--mount: {key} is true or false, not {value!r}")


def _choice(key: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        what = f"--mount: {key} is {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}"
        raise DockerfileError(what, suggestion=closest(value, choices))
    return value


def _number(key: str, value: str, base: int, largest: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 12 or value.strip(digits) or int(value, base) > largest:
        raise DockerfileError(f"--mount: {key} is {'an octal' if base == 8 else 'a'} number, not {value!r}")
    return int(value, base)


def _size(value: str) -> int:
    match = _SIZE.fullmatch(value)
    if match is None or len(value) > 24:
        raise DockerfileError(f"--mount: size is bytes, or a number with k, m, g or t, not {value!r}")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def _require_complete(mount: RunMount) -> None:
    if mount.type == "secret":
        if not (mount.source or mount.target or mount.id):
            raise DockerfileError("--mount=type=secret needs an id or a target")
        if mount.source and mount.id:
            raise DockerfileError("--mount=type=secret: source is an old word for id; give one of them")
    elif mount.type in ("bind", "cache", "tmpfs") and not mount.target:
        raise DockerfileError(f"--mount=type={mount.type} needs a target")
