"""``-v`` and ``--mount``: from docker's notation to the library's `Mount`; pure functions."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from typing import Any

import attrs

from container_kit.containers import Mount
from container_kit.errors import InvalidInput

__all__ = ["parse_mount", "parse_volume"]

_FLAG_VALUES = {"": True, "true": True, "1": True, "false": False, "0": False}
_RECURSIVE = {"enabled": "readonly", "readonly": "readonly", "writable": "writable", "disabled": "disabled"}


def parse_volume(text: str, driver: str = "") -> Mount:
    """``-v [SOURCE:]TARGET[:OPTIONS]``; a source that begins with a dot is relative to this directory.

    Args:
        driver: Of a volume that has to be made.

    Raises:
        InvalidInput: The source is neither a path nor a name, or an option is not known.
    """
    source, colon, rest = text.partition(":")
    if colon and source.startswith((".", "~")):
        source = os.path.abspath(os.path.expanduser(source))
    mount = Mount.parse(f"{source}{colon}{rest}")
    return attrs.evolve(mount, driver=driver) if driver and mount.type == "volume" else mount


def _flag(key: str, value: str) -> bool:
    if value not in _FLAG_VALUES:
        raise InvalidInput(f"--mount {key}={value} cannot be read: use true or false")
    return _FLAG_VALUES[value]


def _text(field: str) -> Callable[[dict[str, Any], str, str], None]:
    def put(fields: dict[str, Any], key: str, value: str) -> None:
        fields[field] = value

    return put


def _switch(field: str, meaning: bool = True) -> Callable[[dict[str, Any], str, str], None]:
    def put(fields: dict[str, Any], key: str, value: str) -> None:
        fields[field] = _flag(key, value) is meaning

    return put


def _pair(field: str) -> Callable[[dict[str, Any], str, str], None]:
    def put(fields: dict[str, Any], key: str, value: str) -> None:
        name, _, text = value.partition("=")
        fields.setdefault(field, {})[name] = text

    return put


def _option(name: str) -> Callable[[dict[str, Any], str, str], None]:
    def put(fields: dict[str, Any], key: str, value: str) -> None:
        fields.setdefault("options", []).append(f"{name}={value}")

    return put


def _recursive(fields: dict[str, Any], key: str, value: str) -> None:
    if key == "bind-nonrecursive":
        fields["recursive"] = "disabled" if _flag(key, value) else "readonly"
        return
    if value not in _RECURSIVE:
        raise InvalidInput(f"--mount {key}={value} cannot be read: use {', '.join(_RECURSIVE)}")
    fields["recursive"] = _RECURSIVE[value]


def _nothing(fields: dict[str, Any], key: str, value: str) -> None:
    """For SELinux or virtual machines: there is nothing here that it changes."""


_KEYS: dict[str, Callable[[dict[str, Any], str, str], None]] = {
    "type": _text("type"),
    **dict.fromkeys(("source", "src"), _text("source")),
    **dict.fromkeys(("target", "dst", "destination"), _text("target")),
    **dict.fromkeys(("readonly", "ro"), _switch("read_only")),
    "rw": _switch("read_only", False),
    "bind-propagation": _text("propagation"),
    **dict.fromkeys(("bind-recursive", "bind-nonrecursive"), _recursive),
    "volume-nocopy": _switch("copy", False),
    "volume-driver": _text("driver"),
    "volume-opt": _pair("driver_options"),
    "volume-label": _pair("labels"),
    **dict.fromkeys(("volume-subpath", "image-subpath", "subpath"), _text("subpath")),
    "idmap": _switch("id_map"),
    "tmpfs-size": _option("size"),
    "tmpfs-mode": _option("mode"),
    **dict.fromkeys(("consistency", "relabel", "z", "Z"), _nothing),
}


def parse_mount(text: str) -> Mount:
    """``--mount type=bind,source=/a,target=/b,readonly``: without a type it is a volume.

    Raises:
        InvalidInput: A key is unknown or does not fit the type, or there is no target.
    """
    fields: dict[str, Any] = {"type": "volume"}
    for word in next(csv.reader([text]), []):
        key, _, value = word.partition("=")
        if key not in _KEYS:
            raise InvalidInput(f"--mount {text!r} cannot be read: there is no key {key!r}")
        _KEYS[key](fields, key, value)
    if "target" not in fields:
        raise InvalidInput(f"--mount {text!r} has no target: add target=/path")
    source = fields.get("source", "")
    if fields["type"] == "bind" and source.startswith((".", "~")):
        fields["source"] = os.path.abspath(os.path.expanduser(source))
    return Mount(**fields)
