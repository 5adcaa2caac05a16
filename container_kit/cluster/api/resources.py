"""Resources: what the API serves, built-in and added, and where its objects are stored.

The built-in ones are data (resources.json, recorded discovery).  Others come and go with
CustomResourceDefinitions and with whoever serves a group in this process.

Source: meta/v1 APIResource, APIGroup; apiregistration priorities for the order of groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from container_kit.cluster.kinds.conversion import convert
from container_kit.cluster.kinds.strategy import Strategy
from container_kit.cluster.meta.objects import Object, group_version

__all__ = ["Registry", "Resource", "ScalePaths", "Subresource", "builtin_resources", "version_rank"]

_encode = msgspec.json.Encoder().encode

# Two resources with one set of objects, or two versions of one: what is stored, by what is asked for.
_STORED_AS = {
    ("events.k8s.io", "events"): ("", "v1"),
    ("autoscaling", "horizontalpodautoscalers"): ("autoscaling", "v2"),
}


class Subresource(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an object with verbs of its own, such as ``status``; its kind may be of another group."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]
    foreign: bool = False  # whether discovery names group and version


class ScalePaths(msgspec.Struct, frozen=True):
    """Where an object says how many replicas it wants and has; for custom resources the selector as well."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


class Resource(msgspec.Struct, kw_only=True):
    """One resource in one version.

    Attributes:
        plural: As in paths: ``deployments``.
        storage_version: The version in which objects are kept (``v1`` of the group that stores them).
        storage_group: Whose objects these are; another group only for events.k8s.io.
        is_typed: Whether items of lists leave out apiVersion and kind, as those of built-in kinds do.
        strategy: The rules of the kind, for objects as they are stored.
        shown: The strategy by which they are selected and shown in tables: that of this group.
        schema: Its type (`container_kit.cluster.schema.nodes.Schema`), None where nothing is known.
        convert: Between versions; needed when there are several.
        convert_many: As that, for who can convert many objects at once.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    hash: str = ""
    subresources: dict[str, Subresource] = {}
    storage_group: str = ""
    storage_version: str = ""
    list_kind: str = ""
    is_typed: bool = True
    strategy: Strategy
    shown: Strategy
    schema: Any = None
    convert: Callable[[Object, str], Object] | None = None
    convert_many: Callable[[Sequence[Object], str], list[Object]] | None = None
    scale: ScalePaths | None = None  # None: as Deployments have it
    is_slow: bool = False  # whether its objects are converted, or served, by somebody else
    deprecation: str = ""  # told to everybody who uses this version
    trackers: Any = None  # made when it is first written

    @property
    def api_version(self) -> str:
        """``apps/v1``."""
        return group_version(self.group, self.version)

    @property
    def key(self) -> str:
        """What the store calls it: ``pods``, ``deployments.apps``."""
        return f"{self.plural}.{self.storage_group}" if self.storage_group else self.plural

    @property
    def stored_api_version(self) -> str:
        """apiVersion of what is in the store."""
        return group_version(self.storage_group, self.storage_version)

    @property
    def is_stored_as_is(self) -> bool:
        """Whether the bytes in the store are in this version."""
        return (self.storage_group, self.storage_version) == (self.group, self.version)

    @property
    def head(self) -> bytes:
        """How each encoded object begins; lists of typed items leave it out."""
        return b'{"kind":%s,"apiVersion":%s,' % (_encode(self.kind), _encode(self.api_version))

    @property
    def qualified(self) -> str:
        """As messages name it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Registry:
    """All resources of an API, in the order of discovery; readers need no lock."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_version: dict[tuple[str, str], dict[str, Resource]] = {}
        self._builtin: list[tuple[str, str]] = []
        self.add(resources)
        self._builtin = list(self._by_version)
        self.changes = 0  # counts additions and removals, for whoever caches what follows from them

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of this name in this version."""
        return self._by_version.get((group, version), {}).get(plural)

    def has_version(self, group: str, version: str) -> bool:
        """Whether anything is served there."""
        return (group, version) in self._by_version

    def stored(self, key: str) -> Resource | None:
        """The resource, in the version that it is stored in, that the store calls *key*."""
        plural, _, group = key.partition(".")
        for resource in self:
            if (resource.plural, resource.group) == (plural, group) and resource.is_stored_as_is:
                return resource
        return None

    def of_kind(self, group: str, version: str, kind: str) -> Resource | None:
        """The resource whose objects are of this kind."""
        found = self._by_version.get((group, version), {}).values()
        return next((resource for resource in found if resource.kind == kind), None)

    def resources(self, group: str, version: str) -> list[Resource]:
        """Of one group and version."""
        return list(self._by_version.get((group, version), {}).values())

    def has_builtin(self, group: str) -> bool:
        """Whether *group* is one that every cluster has."""
        return any(key[0] == group for key in self._builtin)

    def groups(self) -> dict[str, list[str]]:
        """Each group but the core with its versions, in the order in which clients should prefer them."""
        found: dict[str, list[str]] = {}
        for group, version in self._ordered():
            if group:
                found.setdefault(group, []).append(version)
        return found

    def __iter__(self) -> Iterator[Resource]:
        return (resource for key in self._ordered() for resource in self.resources(*key))

    def add(self, resources: Iterable[Resource]) -> None:
        """Serve these as well; what has the same name is replaced."""
        found = {key: dict(inner) for key, inner in self._by_version.items()}
        for resource in resources:
            found.setdefault((resource.group, resource.version), {})[resource.plural] = resource
        self._replace(found)

    def remove(self, group: str, plural: str) -> None:
        """Serve this one no more, in no version."""
        found = {
            key: {name: r for name, r in inner.items() if (key[0], name) != (group, plural)}
            for key, inner in self._by_version.items()
        }
        self._replace({key: inner for key, inner in found.items() if inner})

    def _replace(self, found: dict[tuple[str, str], dict[str, Resource]]) -> None:
        self._by_version = found
        self.changes = getattr(self, "changes", 0) + 1

    def _ordered(self) -> list[tuple[str, str]]:
        added = [key for key in self._by_version if key not in self._builtin]
        return self._builtin + sorted(added, key=lambda key: (key[0], version_rank(key[1])))


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes does: ``v2, v1, v2beta1, v1alpha3``, then words."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


class _Entry(msgspec.Struct, rename="camel"):
    """An APIResource."""

    name: str
    singular_name: str
    namespaced: bool
    kind: str
    verbs: tuple[str, ...]
    group: str | None = None
    version: str | None = None
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storage_version_hash: str = ""


class _Version(msgspec.Struct):
    group: str
    version: str
    resources: list[_Entry]


def builtin_resources(strategy_for: Callable[[str, str], Strategy]) -> list[Resource]:
    """What every cluster serves."""
    data = Path(__file__).with_name("resources.json").read_bytes()
    found: list[Resource] = []
    for entry in msgspec.json.decode(data, type=list[_Version]):
        found += _resources(entry, strategy_for)
    return found


def _resources(entry: _Version, strategy_for: Callable[[str, str], Strategy]) -> Iterator[Resource]:
    for each in entry.resources:
        if "/" not in each.name:
            stored = _STORED_AS.get((entry.group, each.name), (entry.group, entry.version))
            yield Resource(
                group=entry.group,
                version=entry.version,
                plural=each.name,
                singular=each.singular_name,
                kind=each.kind,
                namespaced=each.namespaced,
                verbs=each.verbs,
                short_names=each.short_names,
                categories=each.categories,
                hash=each.storage_version_hash,
                subresources=_subresources(entry, each.name),
                storage_group=stored[0],
                storage_version=stored[1],
                list_kind=f"{each.kind}List",
                strategy=strategy_for(stored[0], each.kind),
                shown=strategy_for(entry.group, each.kind),
                convert=convert if (entry.group, each.name) in _STORED_AS else None,
            )


def _subresources(entry: _Version, plural: str) -> dict[str, Subresource]:
    return {
        each.name.partition("/")[2]: Subresource(
            name=each.name.partition("/")[2],
            kind=each.kind,
            group=each.group or entry.group,
            version=each.version or entry.version,
            verbs=each.verbs,
            foreign=each.group is not None,
        )
        for each in entry.resources
        if each.name.startswith(f"{plural}/")
    }
