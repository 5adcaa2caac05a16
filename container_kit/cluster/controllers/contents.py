"""All that a server has, whatever it is: every resource, and new ones as they come.

For those who look after objects without knowing their kinds: the garbage collector and the end of namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from container_kit.cluster.client.resources import ResourceInfo
from container_kit.cluster.controllers.framework import Informer, Manager, Mapper
from container_kit.cluster.meta import Key, Object

__all__ = ["Contents", "Observer"]

Observer = Callable[[ResourceInfo, "Object | None", "Object | None"], None]
"""Is told of each change of any object: its resource, its metadata before, and after."""

_NEEDED_VERBS = {"list", "watch", "delete"}
# They have no owners, belong to nobody, and are many.
_IGNORED = {"events", "events.events.k8s.io"}
_EXTENSIONS = ("customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io")


class Contents:
    """Watches the metadata of all objects; itself a controller, whose one task is to find resources."""

    name = "contents"

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._informers: dict[str, tuple[ResourceInfo, Informer]] = {}
        self._observers: list[Observer] = []
        manager.call(self._discover)

    @property
    def resources(self) -> list[ResourceInfo]:
        """What can be listed, watched and deleted; one version of each."""
        return [info for info, _ in self._informers.values()]

    @property
    def is_synced(self) -> bool:
        """Whether all there was has been seen once."""
        return bool(self._informers) and all(informer.is_synced for _, informer in self._informers.values())

    def informer(self, info: ResourceInfo) -> Informer:
        """What is known of one of `resources`: metadata, at least."""
        return self._informers[info.full_name][1]

    def observe(self, observer: Observer) -> None:
        """Tell *observer* of all changes, and of all that there is."""
        self._observers.append(observer)
        for info, informer in self._informers.values():
            informer.listen(_told(observer, info))

    def watches(self) -> Mapping[str, Mapper]:
        return dict.fromkeys(_EXTENSIONS, _once)

    def reconcile(self, key: Key) -> None:
        self._discover()

    def _discover(self) -> None:
        found = {
            info.full_name: info
            for info in reversed(self._manager.client.resources().all)
            if _is_content(info)
        }
        for name in [name for name in self._informers if name not in found]:
            del self._informers[name]
            self._manager.forget(name)
        for name, info in found.items():
            if name not in self._informers:
                self._watch(name, info)

    def _watch(self, name: str, info: ResourceInfo) -> None:
        informer = self._manager.informer(name, is_partial=True)
        self._informers[name] = (info, informer)
        for observer in self._observers:
            informer.listen(_told(observer, info))


def _is_content(info: ResourceInfo) -> bool:
    return set(info.verbs) >= _NEEDED_VERBS and info.full_name not in _IGNORED


def _once(old: Object | None, new: Object | None) -> Iterable[Key]:
    """However many extensions change, resources are found once."""
    return (Key("resources", "", ""),)


def _told(observer: Observer, info: ResourceInfo) -> Callable[[Object | None, Object | None], None]:
    return lambda old, new: observer(info, old, new)
