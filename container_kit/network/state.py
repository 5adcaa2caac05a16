"""The networks of one store root: defined, found, removed.

A definition is ``networks/<id>/network.json``; its name is claimed by a link ``network-names/<name>`` to that
directory, made last, so that what has no name was never finished.  What exists in the kernel, and for how
long, is `container_kit.network.activation`'s business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound
from container_kit.native.descriptors import open_path
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.own_ids import needs_namespace
from container_kit.network.activation import deactivate, subnets_in_use
from container_kit.network.addresses import choose_subnets, is_apart
from container_kit.network.drivers import driver
from container_kit.network.endpoint import Endpoint
from container_kit.network.membership import Membership
from container_kit.network.record import NetworkOptions, NetworkRecord, Subnet, check_name, write_record
from container_kit.network.site import Site
from container_kit.network.sweeping import GONE_PREFIX, sweep
from container_kit.store import files

if TYPE_CHECKING:
    from container_kit.network.holder import Lifeline

__all__ = ["DEFAULT", "Networks"]

# `Networks.list` hides the built-in one in its class.
_Records = list[NetworkRecord]
_Endpoints = list[Endpoint]

DEFAULT = "bridge"
_PREDEFINED = (DEFAULT, "host", "none")
_PREFIX = re.compile("[0-9a-f]{1,64}")


class Networks:
    """The networks of one store root; many processes use them at once.

    Args:
        root: The store's root directory, which exists.
        host: The namespace that has, or shall have, their bridges; None for the caller's own.

    Threads may share one.
    """

    def __init__(self, root: str, host: NetworkNamespace | None = None) -> None:
        self.site = Site(os.path.realpath(root), host or NetworkNamespace.here())
        self._known: dict[str, tuple[object, NetworkRecord]] = {}
        # Returns when what has ended here, or was made ahead, is off its networks; an Engine sets it.
        self.settle: Callable[[], None] = _nothing

    def lifeline(self) -> Lifeline | None:
        """What a container on these networks has to hold, where an ordinary user's have their own namespace.

        Raises:
            PermissionMissing, KernelError: This user cannot have one.
        """
        if not needs_namespace():
            return None
        from container_kit.network.holder import join

        line = join(self.site.root)
        outside = self.site.outside or NetworkNamespace.here()
        self.site = attrs.evolve(self.site, host=line.namespace, outside=outside)
        return line

    @property
    def _directory(self) -> str:
        return f"{self.site.root}/networks"

    @property
    def _names(self) -> str:
        return f"{self.site.root}/network-names"

    # Definitions.

    def create(self, name: str, options: NetworkOptions | None = None) -> NetworkRecord:
        """Define a network; nothing of it exists in the kernel before its first container.

        Raises:
            NameInUse: There is a network of this name.
            Conflict: A subnet overlaps one that is in use; says by what.
            InvalidInput, UnsupportedFeature: There cannot be such a network.
        """
        if check_name(name) in _PREDEFINED:
            raise NameInUse("network", name, "the network of this name that every root has")
        return self._define(name, options or NetworkOptions())

    def _define(self, name: str, options: NetworkOptions) -> NetworkRecord:
        driver(options.driver).validate(options, self.site)
        with self._locked():
            if self._id_of(name) is not None:
                raise NameInUse("network", name)
            record = NetworkRecord(
                id=os.urandom(32).hex(),
                name=name,
                created_ns=time.time_ns(),
                options=options,
                subnets=self._subnets_for(name, options),
                mtu=options.mtu or 0,
            )
            self._make(record)
        return record

    def _subnets_for(self, name: str, options: NetworkOptions, own: str = "") -> tuple[Subnet, ...]:
        """What a network gets beside the others and the host's routes, but for those by its *own* link."""
        if options.driver != "bridge" and not options.subnets:
            return ()
        taken = [
            (one.subnet, f"network {known.name!r}")
            for known in self._defined()
            for one in known.subnets
            if known.name != name and known.driver == "bridge"
        ]
        taken += subnets_in_use(self.site, own) if options.driver == "bridge" else []
        seed = self.site.root_id
        return choose_subnets(options, taken, seed=seed, is_default=name == DEFAULT)

    def _make(self, record: NetworkRecord) -> None:
        directory = self.site.directory(record.id)
        with files.translated("define a network", directory):
            try:
                for path in (directory, f"{directory}/endpoints", f"{directory}/addresses"):
                    os.mkdir(path, 0o700)
                open_path(f"{directory}/lock", os.O_CREAT | os.O_RDWR, 0o600).close()
                write_record(directory, record)
                os.symlink(f"../networks/{record.id}", f"{self._names}/{record.name}")
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold off others who define or remove networks."""
        with files.translated("keep networks", self.site.root):
            for path in (self._directory, self._names):
                files.ensure_directory(path)
            lock = open_path(f"{self._directory}/lock", os.O_CREAT | os.O_RDWR, 0o600)
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # Finding.

    def get(self, name: str) -> NetworkRecord:
        """The network with this name, id, or unique beginning of an id; the usual ones are always there.

        Raises:
            NotFound: There is none; has the names that there are.
            InvalidInput: Several ids begin like this.
        """
        found = self._id_of(name)
        if found is None and name in _PREDEFINED:
            return self._predefined(name)
        return self._read(found if found is not None else self._by_prefix(name))

    def _predefined(self, name: str) -> NetworkRecord:
        try:
            return self._define(name, NetworkOptions(driver=name))
        except NameInUse:  # somebody else was faster
            return self._read(self._id_of(name) or "")

    def _id_of(self, name: str) -> str | None:
        if "/" in name:
            return None  # no name, and no way out of here
        try:
            return os.path.basename(os.readlink(f"{self._names}/{name}"))
        except (OSError, ValueError):
            return None

    def _by_prefix(self, prefix: str) -> str:
        ids = [record.id for record in self._defined()] if _PREFIX.fullmatch(prefix) else []
        found = [one for one in ids if one.startswith(prefix)]
        if not found:
            names = ", ".join(sorted({*_PREDEFINED, *(record.name for record in self._defined())}))
            raise NotFound("network", prefix, f"create it, or use one of these: {names}")
        if len(found) > 1:
            raise InvalidInput(
                f"network id {prefix!r} is the beginning of {len(found)} ids: give more digits"
            )
        return found[0]

    def _read(self, network_id: str) -> NetworkRecord:
        path = f"{self.site.directory(network_id)}/network.json"
        try:
            status = os.stat(path)
            version = status.st_ino, status.st_mtime_ns, status.st_size
            known = self._known.get(network_id)
            if known is not None and known[0] == version:
                return known[1]
            with open(path, "rb") as file:
                record = NetworkRecord.from_json(file.read())
        except FileNotFoundError:
            raise NotFound("network", network_id[:12]) from None
        self._known[network_id] = version, record
        return record

    def list(self) -> _Records:
        """All networks, the usual three among them, by name."""
        for name in _PREDEFINED:
            self.get(name)
        return sorted(self._defined(), key=lambda record: record.name)

    def _defined(self) -> _Records:
        try:
            names = os.listdir(self._names)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            with contextlib.suppress(NotFound):
                found.append(self._read(self._id_of(name) or ""))
        return found

    def settled(self, record: NetworkRecord) -> NetworkRecord:
        """The definition as it is now, for somebody who comes onto the network; its lock is held.

        Subnets that the host has begun to use otherwise, while nobody was on the network, are chosen anew
        when they were chosen here.

        Raises:
            Conflict: They were given.
        """
        now = self._read(record.id)
        if now.driver != "bridge" or not Membership(self.site, now).is_deserted():
            return now
        if is_apart(now.subnets, subnets_in_use(self.site, now.link)):
            return now
        changed = attrs.evolve(now, subnets=self._subnets_for(now.name, now.options, own=now.link))
        write_record(self.site.directory(now.id), changed)
        return changed

    def membership(self, name: str) -> Membership:
        """Who is on the network of this name, id, or unique beginning of an id."""
        return Membership(self.site, self.get(name))

    def endpoints(self, name: str) -> _Endpoints:
        """The endpoints of all containers on a network."""
        return self.membership(name).endpoints()

    def endpoints_of(self, owner: str) -> _Endpoints:
        """A container's endpoints, in the order of their interfaces."""
        found = (Membership(self.site, record).endpoint(owner) for record in self._defined())
        return sorted(
            (one for one in found if one is not None), key=lambda one: (len(one.interface), one.interface)
        )

    # Removing.

    def remove(self, name: str) -> NetworkRecord:
        """Remove a network that no container is on.

        Raises:
            NotFound: There is none.
            Conflict: Containers are on it; says which.
            InvalidInput: It is one that every root has.
        """
        record = self.get(name)
        if record.name in _PREDEFINED:
            raise InvalidInput(f"network {record.name!r} is one that every root has: it cannot be removed")
        if Membership(self.site, record).owners():
            self.settle()
        self._remove(record)
        return record

    def _remove(self, record: NetworkRecord) -> None:
        membership = Membership(self.site, record)
        with self._locked(), membership.locked():
            called = membership.called()
            if called:
                raise Conflict(
                    f"network {record.name!r} is in use by {', '.join(sorted(called))}: "
                    "stop or disconnect them first"
                )
            deactivate(self.site, record)
            self._forget(record)

    def _forget(self, record: NetworkRecord) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._names}/{record.name}")
        gone = f"{self._directory}/{GONE_PREFIX}{record.id}"
        os.rename(self.site.directory(record.id), gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._known.pop(record.id, None)

    def prune(self, match: Callable[[NetworkRecord], bool] | None = None) -> _Records:
        """Remove all networks that no container is on, but for the usual ones; returns them."""
        removed = []
        for record in self._defined():
            if record.name not in _PREDEFINED and (match is None or match(record)):
                with contextlib.suppress(Conflict, NotFound):
                    removed.append(self.remove(record.id))
        return removed

    def sweep(self, live_owners: Container[str]) -> None:
        """Clear away what crashed processes left: endpoints of containers that are not alive, and networks
        with nobody on them that still exist in the kernel.

        Args:
            live_owners: The ids of containers that run, or are being started; asked with a network's lock
                held, so it may look at the moment it is asked.
        """
        sweep(self, self._defined(), live_owners)

    # Ending.

    def close(self) -> None:
        """Let go of the kernel; may be repeated."""
        self.site.host.close()

    def abandon(self) -> None:
        """In the child of a fork: what was open is the parent's."""
        self.close()


def _nothing() -> None:
    """Where nothing is made ahead or given back later, there is nothing to wait for."""
