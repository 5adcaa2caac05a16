"""Engine: one root directory with its images and containers, used from this process.

No daemon stands behind it: several engines, in several processes, use the same root at once.  An engine keeps
what is worth keeping between calls (the store, facts about the host, prepared specs) and knows which
containers this process owns, so that they end with it.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from container_kit.containers.catalogue import Catalogue
from container_kit.containers.events import Event, Journal
from container_kit.containers.janitor import Janitor
from container_kit.containers.ownership import OwnerToken
from container_kit.errors import ContainerKitError, InvalidInput, WrongState, with_typed_errors
from container_kit.store import Store

if TYPE_CHECKING:
    from datetime import datetime

    from container_kit.containers.container import Container
    from container_kit.containers.guardian import Guardian
    from container_kit.containers.kept_layers import KeptLayers
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command
    from container_kit.containers.record import Record
    from container_kit.containers.results import ContainerInfo, RunResult
    from container_kit.containers.spares import Spares
    from container_kit.images import Image, Snapshot, Snapshotter
    from container_kit.images.snapshot import SnapshotterName
    from container_kit.network import Networks
    from container_kit.oci.digest import Digest
    from container_kit.runtime.cgroups import Cgroup, Cgroups
    from container_kit.volumes import Volumes

__all__ = ["Engine"]

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_default_lock = threading.Lock()
# After so many owned containers it is looked which of them are gone.
_MANY = 64


@with_typed_errors
class Engine:
    """Images and containers below one root directory.

    Args:
        root: The directory; None means ``CONTAINER_KIT_ROOT``, else ``/var/lib/container-kit`` for root and
            the XDG data directory for others.  Made when it is missing, readable by this user alone.
        cgroup_parent: The cgroup below which containers are put, in each hierarchy; None means one that no
            other root uses.
        verify: Compare every layer with its digest before each start, so that a damaged one never runs;
            costs reading and hashing the whole image.
        snapshotter: How layers are kept and roots are made: ``erofs`` (a mountable image over the plain tar
            of the layer), ``overlay`` (a directory for each layer), ``copy`` (a copy of the whole image for
            each container), or ``auto``: the first of these that is possible here. None means
            ``CONTAINER_KIT_SNAPSHOTTER``, else ``auto``. A root may hold layers of both forms.

    Raises:
        StoreTooNew: A later version of this library wrote the root.
        PermissionMissing: The root cannot be made or written.

    Opening sweeps away what processes that crashed have left.  Closing ends what this engine owns.
    Threads may share an engine.  In a child made by fork it works on, but owns nothing of its parent's.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        cgroup_parent: str | None = None,
        verify: bool = False,
        snapshotter: SnapshotterName | None = None,
    ) -> None:
        self.store = Store.open(None if root is None else os.fspath(root))
        self.store.snapshotter = snapshotter or self.store.snapshotter
        self.root = str(self.store.root)
        self.verify = verify
        self.cgroup_parent = cgroup_parent if cgroup_parent is not None else _cgroup_parent(self.root)
        if not self.cgroup_parent or self.cgroup_parent.startswith("/") or ".." in self.cgroup_parent:
            self.store.close()
            raise InvalidInput(f"cgroup_parent {cgroup_parent!r} is not a relative path such as 'my-program'")
        self.catalogue = Catalogue(self.root)
        self.journal = Journal(self.root)
        self.janitor = Janitor(self.on_idle)
        self._lock = threading.RLock()
        self._lazy: dict[str, Any] = {}
        self._owned: set[str] = set()
        self._closed = False
        _engines.add(self)
        from container_kit.containers.sweeping import sweep

        sweep(self)

    @classmethod
    def default(cls) -> Engine:
        """The engine of the default root, one for this process, open until the process ends."""
        from container_kit.store import default_root

        root = default_root()
        with _default_lock:
            engine = _defaults.get(root)
            if engine is None or engine._closed:
                engine = _defaults[root] = cls(root)
            return engine

    # Containers.

    def check_layers(self, layers: Iterable[Digest]) -> None:
        """With *verify*: CorruptData when a layer is no longer what its digest says."""
        if self.verify:
            for layer in layers:
                self.store.verify_tree(layer)

    def run(
        self, image: Image | Snapshot | str, command: Command | None = None, **arguments: Any
    ) -> RunResult:
        """Run a command in a new container to its end: :func:`container_kit.run` in this engine."""
        from container_kit.containers.foreground import run

        return run(image, command, engine=self, **arguments)

    def create(
        self,
        image: Image | Snapshot | str,
        command: Command | None = None,
        *,
        detach: bool = True,
        **options: Unpack[OptionArguments],
    ) -> Container:
        """A new container that is not started yet: see :meth:`Container.create`."""
        from container_kit.containers.creation import create

        return create(self, image, command, detach, options)

    def start(
        self,
        image: Image | Snapshot | str,
        command: Command | None = None,
        *,
        detach: bool = False,
        **options: Unpack[OptionArguments],
    ) -> Container:
        """A new container, started: see :meth:`Container.start`."""
        container = self.create(image, command, detach=detach, **options)
        try:
            return container.start()
        except BaseException:
            container.remove(force=True)
            raise

    def container(self, name: str) -> Container:
        """The container with this name, id or unique beginning of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: Several ids begin like this.
        """
        from container_kit.containers.container import Container

        return Container(self, self.catalogue.find(name))

    def containers(
        self,
        *,
        all: bool = False,
        labels: Mapping[str, str] | None = None,
        match: Callable[[ContainerInfo], bool] | None = None,
    ) -> list[Container]:
        """The containers, newest first: those that run or are paused, or *all*.

        Args:
            labels: Only those that have all of these.
            match: Only those for whose info this returns True.
        """
        from container_kit.containers.container import Container

        return [Container(self, info.id) for info in self.infos(all=all, labels=labels, match=match)]

    def infos(
        self,
        *,
        all: bool = False,
        labels: Mapping[str, str] | None = None,
        match: Callable[[ContainerInfo], bool] | None = None,
    ) -> list[ContainerInfo]:
        """As :meth:`containers`, but what they are and their states: one read each."""
        wanted = (labels or {}).items()
        return [
            info
            for info in self.catalogue.infos()
            if (all or info.status in ("running", "paused", "restarting"))
            and wanted <= info.labels.items()
            and (match is None or match(info))
        ]

    def record(self, container_id: str) -> Record:
        """What the container was made from; raises NotFound when it has been removed."""
        return self.catalogue.record(container_id)

    def info(self, container_id: str) -> ContainerInfo:
        """What the container is and its state now; raises NotFound when it has been removed."""
        return self.catalogue.info(container_id)

    def rename(self, container_id: str, name: str) -> None:
        """Give a container another name; raises NameInUse, InvalidInput or NotFound."""
        from container_kit.containers.creation import rename

        rename(self, container_id, name)

    def events(
        self,
        *,
        since: datetime | float | None = None,
        follow: bool = False,
        container: str | None = None,
    ) -> Iterator[Event]:
        """What happened to containers of this root, oldest first.

        Args:
            since: Only from this moment on; seconds since the epoch, or a datetime.
            follow: Go on with new events; for one *container* until it is removed.
            container: Only of the container with this id.
        """
        moment = since if since is None or isinstance(since, int | float) else since.timestamp()
        for event in self.journal.read(since=moment, follow=follow):
            if container is None or event.id == container:
                yield event
            if follow and container == event.id and event.action == "destroy":
                return

    def prune(self, *, match: Callable[[ContainerInfo], bool] | None = None) -> list[str]:
        """Remove all containers that do not run; returns their ids."""
        stopped = [
            one for one in self.infos(all=True, match=match) if one.status in ("created", "exited", "dead")
        ]
        removed = []
        for info in stopped:
            try:
                self.container(info.id).remove()
            except ContainerKitError:
                continue  # started or removed by somebody else meanwhile
            removed.append(info.id)
        return removed

    # What the other modules of this layer share.

    def note(self, action: str, record: Record, **attributes: str) -> None:
        """Write an event about a container."""
        self.journal.write(action, record.id, {"name": record.name, "image": record.image, **attributes})

    def kept(self, key: str, make: Callable[[], Any]) -> Any:
        """A value that is made on first use and kept until the engine closes."""
        try:
            return self._lazy[key]
        except KeyError:
            with self._lock:
                if key not in self._lazy:
                    self._lazy[key] = make()
                return self._lazy[key]

    @property
    def snapshotter(self) -> Snapshotter:
        """What prepares the root file systems: overlay where it can be mounted, else copies."""

        def make() -> Snapshotter:
            from container_kit.images import snapshotter

            return snapshotter(self.store)

        found: Snapshotter = self.kept("snapshotter", make)
        return found

    @property
    def volumes(self) -> Volumes:
        """The volumes below the root; :class:`container_kit.Volume` is their handle."""

        def make() -> Volumes:
            from container_kit.volumes import Volumes

            return Volumes(self.root)

        found: Volumes = self.kept("volumes", make)
        return found

    @property
    def has_volumes(self) -> bool:
        """Whether any volume was ever used here; looking does not make any."""
        return "volumes" in self._lazy or os.path.isdir(os.path.join(self.root, "volumes"))

    @property
    def kept_layers(self) -> KeptLayers:
        """Mounts of layers, kept between foreground containers."""

        def make() -> KeptLayers:
            from container_kit.containers.kept_layers import KeptLayers

            return KeptLayers()

        found: KeptLayers = self.kept("kept_layers", make)
        return found

    @property
    def cgroups(self) -> Cgroups:
        """What makes the containers' cgroups."""

        def make() -> Cgroups:
            from container_kit.runtime.cgroups import Cgroups
            from container_kit.runtime.host import Host

            return Cgroups(Host.for_containers().cgroups, self.cgroup_parent)

        found: Cgroups = self.kept("cgroups", make)
        return found

    def cgroups_below(self, path: str) -> Cgroups:
        """What makes and finds cgroups below *path*, which is below that of all; empty for right there."""
        if not path:
            return self.cgroups
        import attrs

        return attrs.evolve(self.cgroups, parent=f"{self.cgroups.parent}/{path}")

    def cgroup_of(self, container_id: str) -> Cgroup:
        """The cgroup of a container as it is now."""
        return self.cgroups_below(self.catalogue.cgroup_path(container_id)).open(container_id)

    @property
    def guardian(self) -> Guardian:
        """The small process that clears away what this one owns when this one is killed."""

        def make() -> Guardian:
            from container_kit.containers.guardian import Guardian

            return Guardian(self.root)

        found: Guardian = self.kept("guardian", make)
        return found

    @property
    def networks(self) -> Networks:
        """The networks of this root, and who is on them."""

        def make() -> Networks:
            from container_kit.network import Networks

            found, engine = Networks(self.root), weakref.ref(self)
            found.settle = lambda: _settle(engine())
            return found

        found: Networks = self.kept("networks", make)
        return found

    @property
    def has_networks(self) -> bool:
        """Whether any network was ever used here; looking does not make any."""
        return "networks" in self._lazy or os.path.isdir(os.path.join(self.root, "networks"))

    def name_file(self, name: str | None) -> str | None:
        """The path of the file that claims a name; None for a generated name, which needs no claim."""
        return None if name is None else os.path.join(self.root, "names", name)

    @property
    def spares(self) -> Spares:
        """Foreground containers that were made ahead."""

        def make() -> Spares:
            from container_kit.containers.spares import Spares

            return Spares(self)

        found: Spares = self.kept("spares", make)
        return found

    def on_idle(self) -> None:
        """Nothing has been cleared away for a while: what is only needed by owned containers may go."""
        self._disown_gone()
        if "kept_layers" in self._lazy:
            self.kept_layers.drop()
        if "guardian" in self._lazy:
            self.guardian.close_if_idle()

    def settle(self) -> None:
        """Return when what ended has been cleared away, and what was made ahead."""
        if "spares" in self._lazy:
            self.spares.close()
        self.janitor.drain()

    # Owning.

    def own(self, container_id: str) -> None:
        """Remember that this process owns a container, whose directory has been made."""
        if len(self._owned) % _MANY == _MANY - 1:
            self._disown_gone()
        self._owned.add(container_id)

    def _disown_gone(self) -> None:
        """Forget containers that removed themselves, or that another process has removed."""
        for container_id in list(self._owned):
            if not os.path.isdir(self.catalogue.directory(container_id)):
                self.disown(container_id)

    def disown(self, container_id: str) -> None:
        """Forget a container that is gone."""
        if container_id in self._owned:
            self._owned.discard(container_id)
            self.guardian.remove(container_id)

    def owns(self, container_id: str) -> bool:
        """Whether the container ends with this process."""
        return container_id in self._owned

    @property
    def owner_token(self) -> OwnerToken:
        """This process as an owner."""
        token: OwnerToken = self.kept("owner", lambda: OwnerToken(self.catalogue.owners))
        return token

    # Ending.

    def close(self) -> None:
        """Remove the containers that this engine owns and close everything; may be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        from container_kit.containers.sweeping import sweep_removed

        if "pods" in self._lazy:
            self._lazy["pods"].close()  # before its containers go one by one, which it would start again
        self.settle()  # what is being cleared away already needs no second removal
        if self._owned:
            self._remove_owned()
            self.janitor.drain()
        sweep_removed(self)
        if "cgroups" in self._lazy:
            self.cgroups.remove_parent()
        for value in reversed(list(self._lazy.values())):
            getattr(value, "close", lambda: None)()
        self._lazy.clear()
        self.journal.close()
        self.catalogue.close()
        self.store.close()

    def _remove_owned(self) -> None:
        from container_kit.containers.lifecycle import close_all

        close_all(self, list(self._owned))

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` has been called."""
        return self._closed

    def check_open(self) -> None:
        """Refuse to work after :meth:`close`.

        Raises:
            WrongState: It has been closed.
        """
        if self._closed:
            raise WrongState(f"the engine of {self.root} is closed: open another one")

    def _after_fork(self) -> None:
        """In the child: nothing here is ours; what carries a lock or a connection is let go."""
        self._lock = threading.RLock()
        self._owned = set()
        self.janitor.forget()
        for value in self._lazy.values():
            getattr(value, "abandon", lambda: None)()
        self._lazy = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Engine({self.root!r})"


_defaults: dict[str, Engine] = {}


def _settle(engine: Engine | None) -> None:
    if engine is not None:
        engine.settle()


def _cgroup_parent(root: str) -> str:
    """One that belongs to this root alone, so that two roots never touch each other's containers."""
    from container_kit.native.digests import Hasher  # loaded sooner than hashlib with all of OpenSSL

    if root == "/var/lib/container-kit":
        return "container-kit"
    return f"container-kit-{Hasher(os.path.realpath(root).encode()).hexdigest()[:8]}"


def _close_all_engines() -> None:
    for engine in list(_engines):
        engine.close()


def _finish_imports() -> None:
    """Wait until no other thread is in the middle of importing a module of ours.

    The child of a fork would find that module half made, and its lock held by a thread that is not there.
    """
    for name in [name for name in sys.modules if name.startswith("container_kit.")]:
        import_module(name)


def _forget_in_child() -> None:
    for engine in list(_engines):
        engine._after_fork()


atexit.register(_close_all_engines)
os.register_at_fork(before=_finish_imports, after_in_child=_forget_in_child)
