"""Configuration lists: which plugins make a network, and with which words.

Source: CNI specification 1.1.0, section 1 ("Network configuration format").
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.errors import InvalidInput, NotFound, UnsupportedFeature

__all__ = ["DIRECTORY", "PLUGIN_DIRECTORIES", "ConfigList", "find", "named", "read"]

DIRECTORY = "/etc/cni/net.d"
PLUGIN_DIRECTORIES = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"
# Those whose results have the same form; before them a network had one address of each kind.
_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LARGEST = 1 << 20

_Json = dict[str, Any]


@frozen(kw_only=True)
class ConfigList:
    """A network as a list of plugins.

    Args:
        name: The network's, in the plugins' records.
        version: That plugins are spoken to in, such as ``1.0.0``.
        plugins: The configuration of each, in the order of ADD; each has a ``type``.
        disable_check, disable_gc: Whether CHECK and GC are left out.
    """

    name: str
    version: str
    plugins: tuple[_Json, ...]
    disable_check: bool = False
    disable_gc: bool = False

    @classmethod
    def parse(cls, text: str, where: str) -> ConfigList:
        """From a list (``.conflist``), or from the configuration of a single plugin (``.conf``).

        Args:
            where: The file, for errors.

        Raises:
            InvalidInput: It is neither; says what is wrong.
            UnsupportedFeature: It is written for another version of the interface.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"CNI configuration {where!r} is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise InvalidInput(f"CNI configuration {where!r} is no JSON object")
        plugins = document["plugins"] if "plugins" in document else [_without_list_keys(document)]
        if not isinstance(plugins, list) or not plugins:
            raise InvalidInput(f"CNI configuration {where!r} has no list of plugins")
        return cls(
            name=_checked_name(document.get("name"), where),
            version=_version(document, where),
            plugins=tuple(_checked_plugin(plugin, where) for plugin in plugins),
            disable_check=document.get("disableCheck") is True,
            disable_gc=document.get("disableGC") is True,
        )

    def to_json(self) -> _Json:
        """The list's own form; `parse` reads it."""
        switches = {"disableCheck": self.disable_check, "disableGC": self.disable_gc}
        return {"cniVersion": self.version, "name": self.name, "plugins": list(self.plugins), **switches}

    def missing(self, directories: str) -> list[str]:
        """The plugins that are not in *directories*, which are joined by colons."""
        types = dict.fromkeys(plugin["type"] for plugin in self.plugins)
        return [name for name in types if find(name, directories) is None]

    def asked_of(self, plugin: _Json, runtime: Mapping[str, Any], previous: _Json | None) -> _Json:
        """What *plugin* gets on its standard input.

        Args:
            runtime: Facts of one container by capability; a plugin gets those that it declares.
            previous: The result so far; None before the first ADD.
        """
        asked = {key: value for key, value in plugin.items() if key != "capabilities"}
        asked |= {"cniVersion": self.version, "name": self.name}
        capabilities = plugin.get("capabilities")
        declared = capabilities if isinstance(capabilities, dict) else {}
        given = {key: value for key, value in runtime.items() if value and declared.get(key) is True}
        if given:
            asked["runtimeConfig"] = given
        if previous is not None:
            asked["prevResult"] = previous
        return asked


def _without_list_keys(document: _Json) -> _Json:
    return {key: value for key, value in document.items() if key not in ("cniVersion", "name", "cniVersions")}


def _checked_name(name: object, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"CNI configuration {where!r}: name {name!r} is not letters, digits, '_', '.', '-'"
        )
    return name


def _checked_plugin(plugin: object, where: str) -> _Json:
    kind = plugin.get("type") if isinstance(plugin, dict) else None
    if not isinstance(plugin, dict) or not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise InvalidInput(f"CNI configuration {where!r}: a plugin has no type that is the name of a program")
    return plugin


def _version(document: _Json, where: str) -> str:
    """The highest one that both sides know."""
    offered = [document.get("cniVersion", "0.1.0"), *(document.get("cniVersions") or ())]
    common = [version for version in _VERSIONS if version in offered]
    if not common:
        raise UnsupportedFeature(
            f"CNI configuration {where!r} has version {offered[0]}: {', '.join(_VERSIONS)} are known here"
        )
    return common[-1]


def read(path: str) -> ConfigList:
    """The configuration in the file *path*.

    Raises:
        NotFound: There is no such file.
        InvalidInput, UnsupportedFeature: It cannot be used.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except FileNotFoundError:
        raise NotFound("CNI configuration", path, "give options={'conflist': PATH}") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"CNI configuration {path!r} cannot be read: {error}") from None
    return ConfigList.parse(text, path)


def named(name: str) -> ConfigList:
    """The configuration of the network *name* among the files of `DIRECTORY`, the first by file name.

    Raises:
        NotFound: There is none.
    """
    known = []
    for file in sorted(os.listdir(DIRECTORY)) if os.path.isdir(DIRECTORY) else ():
        if file.endswith((".conflist", ".conf", ".json")):
            with contextlib.suppress(InvalidInput, UnsupportedFeature):  # another network's
                config = read(os.path.join(DIRECTORY, file))
                known.append(config.name)
                if config.name == name:
                    return config
    there = f"{DIRECTORY} has {', '.join(known) or 'none'}"
    raise NotFound("CNI network", name, f"{there}; or give options={{'conflist': PATH}}")


def find(name: str, directories: str) -> str | None:
    """The path of the plugin *name*; None when it is in none of *directories*."""
    paths = (os.path.join(directory, name) for directory in directories.split(":") if directory)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)
