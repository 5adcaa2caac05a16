"""Who is on a network: a file for each container, and one for each address, below the network's directory.

The endpoint's file says that its owner is on the network, and where.  An address is claimed by a symbolic
link in ``addresses/`` that names its owner: made exclusively, so that nobody needs to read all endpoints to
find a free one.  A claim without an endpoint is left by a crash and lasts some seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import time
from collections.abc import Container, Iterator
from itertools import chain

from container_kit.errors import Conflict, CorruptData, LimitExceeded, NotFound
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.network.addresses import checked_address, claim_name, free_addresses
from container_kit.network.endpoint import Endpoint
from container_kit.network.record import NetworkRecord, Subnet
from container_kit.network.site import Site
from container_kit.store import files

__all__ = ["Membership"]

_OWNER = re.compile("[0-9a-f]{64}")
_ABANDONED_S = 10.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Membership:
    """The containers on one network."""

    def __init__(self, site: Site, network: NetworkRecord) -> None:
        self.site, self.network = site, network
        self.directory = site.directory(network.id)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Descriptor]:
        """Hold the network's lock for the block: nobody comes, goes, sets up or tears down meanwhile.

        Raises:
            NotFound: The network has been removed.
        """
        try:
            lock = open_path(f"{self.directory}/lock", os.O_RDWR)
        except FileNotFoundError:
            raise NotFound("network", self.network.name) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.directory):
                raise NotFound("network", self.network.name)
            yield lock

    def owners(self) -> list[str]:
        """The ids of the containers on it."""
        try:
            return [name for name in os.listdir(f"{self.directory}/endpoints") if _OWNER.fullmatch(name)]
        except FileNotFoundError:
            return []

    def is_deserted(self) -> bool:
        """Whether nobody is on it, or on the way; the lock is held."""
        return not self.owners() and all(
            self._is_abandoned(claim) for claim in os.listdir(f"{self.directory}/addresses")
        )

    def endpoints(self) -> list[Endpoint]:
        """The endpoints of all of them."""
        found = (self.endpoint(owner) for owner in self.owners())
        return [endpoint for endpoint in found if endpoint is not None]

    def endpoint(self, owner: str) -> Endpoint | None:
        """The endpoint of one container; None when it is not on the network."""
        try:
            with open(self._file(owner), encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return None
        return Endpoint.from_text(text, owner=owner, network=self.network.id, network_name=self.network.name)

    def write(self, endpoint: Endpoint) -> None:
        """Let the container be on the network, or change what is known of it: whole, or not at all."""
        path = self._file(endpoint.owner)
        draft = f"{self.directory}/endpoints/.{endpoint.owner}"
        with files.translated("write an endpoint", path):
            with open_path(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) as file:
                os.write(file.fileno(), endpoint.to_text().encode())
            os.rename(draft, path)

    def keep_rules(self, owner: str, messages: bytes) -> None:
        """Lay down what lets the container through the packet filter again after somebody has flushed it.

        The network's lock is held, as it is by the keeper when it reads this.
        """
        path = f"{self._file(owner)}.nft"
        with (
            files.translated("write an endpoint's rules", path),
            open_path(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) as file,
        ):
            os.write(file.fileno(), messages)

    def claim(self, owner: str, subnet: Subnet | None, wish: str | None, lock: Descriptor) -> str:
        """An address of *subnet* for a container; empty when the network has no such subnet.

        Args:
            wish: The address that it has to be.
            lock: What `locked` gives; it remembers where to go on.

        Raises:
            Conflict: Another container has the address; says which.
            LimitExceeded: All are taken.
            InvalidInput: The address cannot be had on this network.
        """
        if wish is not None:
            address = checked_address(wish, subnet, self.network.name)
            self._claim_one(address, owner)
            return address
        return "" if subnet is None else self._claim_any(subnet, owner, lock)

    def _claim_one(self, address: str, owner: str) -> None:
        if not self._take(address, owner):
            holder = self._holder(address)
            raise Conflict(
                f"address {address} of network {self.network.name!r} belongs to {self._called(holder)}: "
                "choose another one, or none"
            )

    def _claim_any(self, subnet: Subnet, owner: str, lock: Descriptor) -> str:
        memory = 64 if subnet.is_ipv6 else 0  # where in the lock's file the last address stands
        last = os.pread(lock.fileno(), 32, memory).rstrip(b"\0 ").decode("ascii", "replace")
        claimed = set(os.listdir(f"{self.directory}/addresses"))
        for address in chain(
            free_addresses(subnet, claimed, last),
            free_addresses(subnet, (), last),  # none: but some may be claimed by nobody any more
        ):
            if self._take(address, owner):
                os.pwrite(lock.fileno(), claim_name(address).ljust(32).encode(), memory)
                return address
        raise LimitExceeded(
            f"all addresses of {subnet.ip_range or subnet.subnet} of network {self.network.name!r} are in "
            "use: remove containers, or make a network with a larger subnet"
        )

    def _take(self, address: str, owner: str) -> bool:
        path = f"{self.directory}/addresses/{claim_name(address)}"
        for _ in range(2):
            try:
                os.symlink(owner, path)
            except FileExistsError:
                if not self._is_abandoned(claim_name(address)):
                    return False
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            else:
                return True
        return False

    def _holder(self, address: str) -> str:
        try:
            return os.readlink(f"{self.directory}/addresses/{claim_name(address)}")
        except OSError:
            return ""

    def _is_abandoned(self, claim: str) -> bool:
        """Whether a claim is of somebody who did not get as far as an endpoint; the lock is held."""
        path = f"{self.directory}/addresses/{claim}"
        try:
            owner = os.readlink(path)
        except OSError:
            return True
        return _age_s(path) > _ABANDONED_S and not os.path.exists(self._file(owner))

    def _called(self, owner: str) -> str:
        endpoint = self.endpoint(owner) if owner else None
        name = next(iter(endpoint.names), "") if endpoint is not None else ""
        return f"container {name} ({owner[:12]})" if name else f"container {owner[:12]}"

    def called(self) -> list[str]:
        """The containers on it, in words for people."""
        return [self._called(owner) for owner in self.owners()]

    def files_of(self, owner: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """What takes a container off the network when it is unlinked, in this order.

        The endpoint comes last: without one, others may take an address over, and would lose it again.
        """
        claims = (f"{self.directory}/addresses/{claim_name(address)}" for address in addresses)
        return (*claims, f"{self._file(owner)}.nft", self._file(owner))

    def release(self, owner: str, addresses: tuple[str, ...]) -> None:
        """Take a container off; may be repeated.  An address that another one has by now stays his."""
        for path in self.files_of(owner, addresses):
            with contextlib.suppress(FileNotFoundError):
                if os.path.dirname(path).endswith("/addresses") and os.readlink(path) != owner:
                    continue
                os.unlink(path)

    def forget(self, owner: str) -> None:
        """Take a container off of which it is not known how far it came: claims may be all that there is."""
        folder = f"{self.directory}/addresses"
        with contextlib.suppress(FileNotFoundError):
            for claim in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"{folder}/{claim}") == owner:
                        os.unlink(f"{folder}/{claim}")
        self.release(owner, ())

    def dead(self, live_owners: Container[str]) -> list[Endpoint]:
        """The endpoints of those that are not alive; the lock is held."""
        found = []
        for owner in self.owners():
            if owner not in live_owners:
                try:
                    endpoint = self.endpoint(owner)
                except CorruptData:  # nothing is known of it but whose it is
                    endpoint = Endpoint(owner=owner, network=self.network.id)
                found += [endpoint] if endpoint is not None else []
        return found

    def sweep(self) -> None:
        """Give back what those left who came no further than to begin; the lock is held."""
        for claim in os.listdir(f"{self.directory}/addresses"):
            if self._is_abandoned(claim):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.directory}/addresses/{claim}")
        members = set(self.owners())
        for name in os.listdir(f"{self.directory}/endpoints"):
            path = f"{self.directory}/endpoints/{name}"
            if name.partition(".")[0] not in members and _age_s(path) > _ABANDONED_S:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _file(self, owner: str) -> str:
        return f"{self.directory}/endpoints/{owner}"


def _age_s(path: str) -> float:
    """How long ago a file was made; one that is gone is as old as can be."""
    try:
        return abs(time.time() - os.lstat(path).st_mtime)
    except FileNotFoundError:
        return math.inf
