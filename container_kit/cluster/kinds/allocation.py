"""Addresses and ports of services: which are free, and who holds one until its service is stored.

Taken is what stored services have, and what a write that is under way has reserved. Nothing else is
remembered, so that deleted services, restored snapshots and failed writes need no bookkeeping.
"""

import ipaddress
import random
import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.strategy import Context, World
from container_kit.cluster.meta import FieldError, Object, uid_of
from container_kit.cluster.meta.status import internal_error

__all__ = ["Allocator", "Refused", "allocator_of"]

SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/16")
_STATIC_ADDRESSES = 256  # the lowest ones are left to those who ask for a certain address
NODE_PORTS = range(30000, 32768)
_STATIC_PORTS = 86


class Refused(Exception):
    """What was asked for cannot be had."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(str(error))
        self.error = error


class Allocator:
    """The addresses and ports of one cluster's services."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str | tuple[str, int]] = set()
        self._random = random.Random()  # noqa: S311 - spreads addresses, hides nothing

    def address(self, service: Object, ctx: Context, wanted: str = "") -> str:
        """A free cluster IP, or *wanted* if it is one.

        Raises:
            Refused: *wanted* is taken or out of range.
            StatusError: None is left.
        """
        with self._lock:
            taken = set(_addresses(ctx.world, service))
            if wanted:
                self._check_address(wanted, taken)
                return self._hold(wanted, ctx)
            if ctx.dry_run:
                return str(SERVICE_RANGE.network_address)  # nobody's, as nobody will have it
            first = int(SERVICE_RANGE.network_address)
            count = SERVICE_RANGE.num_addresses - 1
            for candidate in self._candidates(count, _STATIC_ADDRESSES):
                address = str(ipaddress.IPv4Address(first + candidate))
                if address not in taken and address not in self._held:
                    return self._hold(address, ctx)
        raise internal_error("failed to allocate a serviceIP: range is full")

    def port(self, service: Object, ctx: Context, wanted: int = 0, protocol: str = "TCP") -> int:
        """A free node port, or *wanted* if it is one; ports of two protocols do not collide.

        Raises:
            Refused: *wanted* is taken or out of range.
            StatusError: None is left.
        """
        with self._lock:
            taken = set(_ports(ctx.world, service))
            if wanted:
                self._check_port(wanted, protocol, taken)
                return self._hold_port(wanted, protocol, ctx)
            for candidate in self._candidates(len(NODE_PORTS), _STATIC_PORTS):
                port = NODE_PORTS[candidate]
                if (protocol, port) not in taken and (protocol, port) not in self._held:
                    return self._hold_port(port, protocol, ctx)
        raise internal_error("failed to allocate a nodePort: range is full")

    def _candidates(self, count: int, static: int) -> Iterable[int]:
        """All offsets but the first, those for automatic use from a random one on, then the static ones."""
        start = self._random.randrange(static, count)
        yield from range(start, count)
        yield from range(static, start)
        yield from range(1, static)

    def _check_address(self, wanted: str, taken: set[str]) -> None:
        shown = go_list([wanted])
        if ipaddress.ip_address(wanted) not in SERVICE_RANGE:
            problem = (
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range."
                f" The range of valid IPs is {SERVICE_RANGE}"
            )
            raise Refused(invalid_as("spec.clusterIPs", shown, problem))
        if wanted in taken or wanted in self._held:
            problem = f"failed to allocate IP {wanted}: provided IP is already allocated"
            raise Refused(invalid_as("spec.clusterIPs", shown, problem))

    def _check_port(self, wanted: int, protocol: str, taken: set[tuple[str, int]]) -> None:
        if wanted not in NODE_PORTS:
            problem = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            raise Refused(FieldError.invalid("nodePort", wanted, problem))
        if (protocol, wanted) in taken or (protocol, wanted) in self._held:
            raise Refused(FieldError.invalid("nodePort", wanted, "provided port is already allocated"))

    def _hold(self, address: str, ctx: Context) -> str:
        self._held.add(address)
        ctx.at_end(lambda: self._release(address))
        return address

    def _hold_port(self, port: int, protocol: str, ctx: Context) -> int:
        self._held.add((protocol, port))
        ctx.at_end(lambda: self._release((protocol, port)))
        return port

    def _release(self, held: str | tuple[str, int]) -> None:
        with self._lock:
            self._held.discard(held)


def _others(world: World, service: Object) -> Iterable[dict[str, Any]]:
    """The specs of all services but this one."""
    uid = uid_of(service)
    return (other.get("spec") or {} for other in world.list("services") if uid_of(other) != uid)


def _addresses(world: World, service: Object) -> Iterable[str]:
    for spec in _others(world, service):
        yield from spec.get("clusterIPs") or ()


def _ports(world: World, service: Object) -> Iterable[tuple[str, int]]:
    for spec in _others(world, service):
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                yield port.get("protocol", "TCP"), port["nodePort"]
        if spec.get("healthCheckNodePort"):
            yield "TCP", spec["healthCheckNodePort"]


_allocators: WeakKeyDictionary[World, Allocator] = WeakKeyDictionary()
_allocators_lock = threading.Lock()


def allocator_of(world: World) -> Allocator:
    """The one allocator of a cluster."""
    with _allocators_lock:
        return _allocators.setdefault(world, Allocator())
