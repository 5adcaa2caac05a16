"""Which resources a server has, and by which words one means them.

Filled from discovery and asked by every call: ``pods``, ``po``, ``Pod``, ``deployments.apps`` and
``deployments.v1.apps`` are all one resource each.  Where two groups have the same word the one that the
server names first is meant, as for kubectl.

Source: API reference, "API Discovery", aggregated form (``APIGroupDiscoveryList``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from container_kit._values import frozen
from container_kit.errors import NotFound

__all__ = ["ResourceIndex", "ResourceInfo"]


@frozen
class ResourceInfo:
    """One resource of one version: the word in its path, and what its objects are called."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """``deployments.apps``; of the core group only the plural."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """Where its group's version begins."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of its collection (all namespaces if none is given), of an object, or of a part of it."""
        place = f"{self.root}/namespaces/{namespace}" if namespace and self.namespaced else self.root
        return "/".join(part for part in (place, self.plural, name, subresource) if part)


class ResourceIndex:
    """The resources of one server."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.all: list[ResourceInfo] = []
        self._words: dict[str, ResourceInfo] = {}
        self._kinds: dict[tuple[str, str], ResourceInfo] = {}
        preferred: set[tuple[str, str]] = set()
        for document in documents:
            for info in _resources(document):
                self._add(info, (info.group, info.plural) in preferred)
            preferred.update((info.group, info.plural) for info in self.all)

    def _add(self, info: ResourceInfo, is_older: bool) -> None:
        self.all.append(info)
        self._kinds.setdefault((info.api_version, info.kind), info)
        self._words.setdefault(f"{info.plural}.{info.version}.{info.group}", info)
        if not is_older:
            words = (info.full_name, info.plural, info.singular, *info.short_names, info.kind.lower())
            for word in filter(None, words):
                self._words.setdefault(word, info)
                self._words.setdefault(f"{word}.{info.group}", info)

    def of_word(self, word: str) -> ResourceInfo:
        """What somebody calls *word*.

        Raises:
            NotFound: This server has no such resource.
        """
        info = self._words.get(word) or self._words.get(word.lower())
        if info is None:
            raise NotFound("resource", word, self._like(word))
        return info

    def of_object(self, api_version: str, kind: str) -> ResourceInfo:
        """The resource that objects of this kind belong to.

        Raises:
            NotFound: This server has no such kind.
        """
        info = self._kinds.get((api_version, kind))
        if info is None:
            others = [version for version, name in self._kinds if name == kind]
            hint = f"it is of {', '.join(others)}" if others else self._like(kind.lower())
            raise NotFound("kind", kind, hint, where=f"in version {api_version!r}")
        return info

    def _like(self, word: str) -> str:
        import difflib

        near = difflib.get_close_matches(word.partition(".")[0], self._words, n=2)
        meant = f"is {' or '.join(near)} meant? Or " if near else ""
        return f"the server has none of this name: {meant}is its CustomResourceDefinition missing?"

    def of_category(self, category: str) -> list[ResourceInfo]:
        """Those that are shown together, as by ``get all``."""
        return [info for info in self.all if category in info.categories]


def _resources(document: dict[str, Any]) -> Iterator[ResourceInfo]:
    for group in document.get("items", ()):
        for version in group.get("versions", ()):
            for resource in version.get("resources", ()):
                yield _info(group["metadata"].get("name", ""), version["version"], resource)


def _info(group: str, version: str, resource: dict[str, Any]) -> ResourceInfo:
    return ResourceInfo(
        group=group,
        version=version,
        plural=resource["resource"],
        kind=resource.get("responseKind", {}).get("kind", ""),
        namespaced=resource.get("scope") == "Namespaced",
        singular=resource.get("singularResource", ""),
        short_names=tuple(resource.get("shortNames", ())),
        categories=tuple(resource.get("categories", ())),
        verbs=tuple(resource.get("verbs", ())),
        subresources=tuple(sub["subresource"] for sub in resource.get("subresources", ())),
    )
