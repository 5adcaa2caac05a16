"""registries.conf: mirrors, blocked and insecure registries, other locations, short names.

Source: containers-registries.conf(5), version 2; containers-registries.conf.d(5).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, Final

import attrs

from container_kit.errors import AccessDenied, InvalidInput
from container_kit.oci.reference import DEFAULT_DOMAIN, Reference

__all__ = ["Configuration", "Mirror", "Place", "RegistryRule"]

_SYSTEM: Final = "/etc/containers"
_MAX_BYTES: Final = 1 << 20
_PULLS: Final = ("all", "digest-only", "tag-only")


@attrs.frozen
class Mirror:
    """Another place of the same content; *pull* says for which references it is asked."""

    location: str
    insecure: bool = False
    pull: str = attrs.field(default="all", validator=attrs.validators.in_(_PULLS))

    def serves(self, reference: Reference) -> bool:
        if self.pull == "all":
            return True
        return (reference.digest is not None) == (self.pull == "digest-only")


@attrs.frozen
class RegistryRule:
    """What is said about images whose names begin with *prefix* (``*.example.org`` for all hosts there)."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()

    def rest_of(self, name: str) -> str | None:
        """What follows the prefix in ``domain/path``; None when *name* does not begin with it."""
        if self.prefix.startswith("*."):
            domain, slash, path = name.partition("/")
            return slash + path if domain.endswith(self.prefix[1:]) else None
        rest = name.removeprefix(self.prefix)
        if not name.startswith(self.prefix) or (rest and not rest.startswith("/")):
            return None
        return rest


@attrs.frozen
class Place:
    """Where a reference is looked for: the name there, and whether TLS may be left out."""

    reference: Reference
    insecure: bool = False


@attrs.frozen
class Configuration:
    """All that the files say; `read` gives what stands on this host."""

    rules: tuple[RegistryRule, ...] = ()
    search: tuple[str, ...] = ()
    aliases: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def read(cls) -> Configuration:
        """From the files of this user and host; empty when there are none.

        Raises:
            InvalidInput: A file cannot be understood; names it.
        """
        files = []
        for path in _files():
            try:
                files.append((path, os.stat(path).st_mtime_ns))
            except OSError:
                continue
        return _read(tuple(files))

    def names(self, text: str) -> list[Reference]:
        """What *text* may mean, in the order in which it is tried.

        A name with a registry means itself.  A short one means its alias; or one image in each of the
        registries to search; or, when nothing is configured, what docker takes it for.
        """
        usual = Reference.parse(text)
        name, mark, rest = _split_suffix(text)
        if usual.domain != DEFAULT_DOMAIN or name.partition("/")[0] in (DEFAULT_DOMAIN, "index.docker.io"):
            return [usual]
        if name in self.aliases:
            return [Reference.parse(self.aliases[name] + mark + rest)]
        return [Reference.parse(f"{registry}/{text}") for registry in self.search] or [usual]

    def places(self, reference: Reference, mirrors: bool = True) -> list[Place]:
        """Where *reference* is looked for: its mirrors first, its own place last.

        Raises:
            AccessDenied: It is blocked.
        """
        rule, rest = self._rule_for(reference)
        if rule is None:
            return [Place(reference)]
        if rule.blocked:
            raise AccessDenied(f"{reference.familiar} is blocked by the registries.conf of this host")
        asked = [one for one in rule.mirrors if mirrors and one.serves(reference)]
        places = [Place(_moved(reference, one.location + rest), one.insecure) for one in asked]
        own = _moved(reference, rule.location + rest) if rule.location else reference
        return [*places, Place(own, rule.insecure)]

    def is_insecure(self, authority: str) -> bool:
        """Whether a rule or mirror for all of the registry at *authority* calls it insecure."""
        places = [(rule.location, rule.insecure) for rule in self.rules]
        places += [(mirror.location, mirror.insecure) for rule in self.rules for mirror in rule.mirrors]
        return any(insecure and location == authority for location, insecure in places)

    def _rule_for(self, reference: Reference) -> tuple[RegistryRule | None, str]:
        found: tuple[RegistryRule | None, str] = (None, "")
        for rule in self.rules:
            rest = rule.rest_of(reference.repository)
            if rest is not None and (found[0] is None or len(rule.prefix) > len(found[0].prefix)):
                found = rule, rest
        return found


def _moved(reference: Reference, name: str) -> Reference:
    moved = Reference.parse(name, default_tag=None)
    return Reference(moved.domain, moved.path, reference.tag, reference.digest)


def _split_suffix(text: str) -> tuple[str, str, str]:
    """Name, ``:`` or ``@``, and what follows."""
    for mark in ("@", ":"):
        name, found, rest = text.partition(mark)
        if found and "/" not in rest:
            return name, found, rest
    return text, "", ""


def _files() -> list[str]:
    chosen = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    if chosen:
        return [chosen]
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    own = f"{home}/containers"
    main = f"{own}/registries.conf"
    files = [main if os.path.exists(main) else f"{_SYSTEM}/registries.conf"]
    for directory in (f"{_SYSTEM}/registries.conf.d", f"{own}/registries.conf.d"):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        files += [f"{directory}/{name}" for name in names if name.endswith(".conf")]
    return files


@functools.lru_cache(maxsize=4)
def _read(files: tuple[tuple[str, int], ...]) -> Configuration:
    """All *files* (with the times of their last changes) in one; a later one wins."""
    rules: dict[str, RegistryRule] = {}
    search: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    for path, _ in files:
        document = _load(path)
        for value in _items(document, "registry", path):
            rule = _rule(value, path)
            rules[rule.prefix] = rule
        if "unqualified-search-registries" in document:
            search = _names(document["unqualified-search-registries"], path)
        aliases |= _aliases(document.get("aliases", {}), path)
    return Configuration(tuple(rules.values()), search, aliases)


def _load(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            document = tomllib.loads(file.read(_MAX_BYTES).decode())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path!r}: {error}") from error
    if isinstance(document.get("registries"), dict):
        raise InvalidInput(f"{path!r} is written in version 1: use [[registry]] tables instead")
    return document


def _items(table: Mapping[str, Any], name: str, path: str) -> list[dict[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidInput(f"{path!r}: {name} has to be written [[{name}]]")
    return found


def _names(value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidInput(f"{path!r}: unqualified-search-registries has to be a list of names")
    return tuple(value)


def _aliases(value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidInput(f"{path!r}: [aliases] has to give a name for each short name")
    return value


def _rule(table: dict[str, Any], path: str) -> RegistryRule:
    location = str(table.get("location", ""))
    prefix = str(table.get("prefix", "")) or location
    if not prefix:
        raise InvalidInput(f"{path!r}: a [[registry]] has neither prefix nor location")
    only_digests = bool(table.get("mirror-by-digest-only", False))
    return RegistryRule(
        prefix=prefix.rstrip("/"),
        location=(location or ("" if prefix.startswith("*.") else prefix)).rstrip("/"),
        insecure=bool(table.get("insecure", False)),
        blocked=bool(table.get("blocked", False)),
        mirrors=tuple(_mirror(one, only_digests, path) for one in _items(table, "mirror", path)),
    )


def _mirror(table: dict[str, Any], only_digests: bool, path: str) -> Mirror:
    pull = str(table.get("pull-from-mirror", "digest-only" if only_digests else "all"))
    if not table.get("location") or pull not in _PULLS:
        raise InvalidInput(f"{path!r}: a [[registry.mirror]] has no location, or a wrong pull-from-mirror")
    return Mirror(str(table["location"]).rstrip("/"), bool(table.get("insecure", False)), pull)
