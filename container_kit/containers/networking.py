"""A container's network from the caller's side: what is asked for, what is held while it starts and runs.

What exists in the kernel or on the disk for it is announced to the guardian before it is there.  A foreground
container's network is held by the call and taken down by the janitor; a supervised one's is handed to the
monitor, with all that takes it back in the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.containers.network_options import is_mode
from container_kit.containers.own_etc import write_etc
from container_kit.errors import InvalidInput, NotFound, UnsupportedFeature

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.record import Record
    from container_kit.containers.shared_world import SharedNetwork
    from container_kit.images import RunDefaults
    from container_kit.native.descriptors import Descriptor
    from container_kit.network import (
        Endpoint,
        EndpointRequest,
        NetworkSandbox,
        PortRequest,
        PublishedPort,
        Shaping,
        Undo,
    )

__all__ = [
    "HeldNetwork",
    "NetworkWish",
    "network_for_start",
    "network_wish",
    "own_names",
]

_SHORT = 12
_AT_ONCE = 200  # SCM_MAX_FD is 253
_ANYWHERE = "0.0.0.0"  # noqa: S104
_LOCAL = "127.0.0.1"


@frozen(kw_only=True)
class NetworkWish:
    """What a container asks of networks; the same for every container with these options, but for its name.

    Args:
        ports: With the host's addresses filled in.
        egress: Where it may connect to; None for everywhere.
        dns: Servers that are asked for it; empty for those of its networks.
    """

    requests: tuple[EndpointRequest, ...]
    ports: tuple[PortRequest, ...] = ()
    egress: tuple[str, ...] | None = None
    shaping: Shaping | None = None
    dns: tuple[str, ...] = ()

    @property
    def is_repeatable(self) -> bool:
        """Whether a second container could have the same while the first one is there, and nobody notices."""
        own = any(one.aliases or one.ipv4 or one.ipv6 or one.mac for one in self.requests)
        return not own and all(port.host_port == 0 for port in self.ports)


def network_wish(options: ContainerOptions, defaults: RunDefaults) -> NetworkWish | None:
    """What *options* ask of networks; None for a container without one of its own.

    Args:
        defaults: What the image says, for the ports that it exposes.
    """
    if is_mode(options.network):
        return None
    usual = _ANYWHERE if options.profile_name == "docker" else _LOCAL
    asked = [_on(port, usual) for port in options.ports]
    if options.publish_all:
        asked += _exposed(defaults, asked, usual)
    return NetworkWish(
        requests=options.networks,
        ports=tuple(asked),
        egress=options.egress,
        shaping=options.shaping,
        dns=options.dns,
    )


def _on(port: PortRequest, usual: str) -> PortRequest:
    import attrs

    return port if port.host_ip else attrs.evolve(port, host_ip=usual)


def _exposed(defaults: RunDefaults, asked: Sequence[PortRequest], host_ip: str) -> list[PortRequest]:
    """The ports that the image exposes and nobody has published yet."""
    taken = {(port.container_port + offset, port.protocol) for port in asked for offset in range(port.count)}
    from container_kit.network.values import PortRequest

    found = []
    for text in defaults.exposed_ports:
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        for port in range(int(first), int(last or first) + 1):
            if (port, protocol or "tcp") not in taken:
                found.append(PortRequest(port, protocol or "tcp", host_ip))  # type: ignore[arg-type]
    return found


def own_names(container_id: str, name: str, hostname: str) -> tuple[str, ...]:
    """By which others on its networks find a container, beside aliases; what cannot be asked for is none."""
    from container_kit.network.values import dns_name

    names = []
    for one in (name, hostname, container_id[:_SHORT]):
        with contextlib.suppress(InvalidInput):
            names += [dns_name(one)] if one else []
    return tuple(dict.fromkeys(names))


class HeldNetwork:
    """What one container has in the network, held by this process while it starts, or runs in the foreground.

    Args:
        owned: Whether the guardian takes it back should this process be killed.
    """

    def __init__(self, engine: Engine, container_id: str, *, owned: bool) -> None:
        self._engine, self._id, self._owned = engine, container_id, owned
        self._sandbox: NetworkSandbox | None = None
        self._user: Descriptor | None = None
        self._guarded: list[str] = []
        self._undo: Undo | None = None
        self._wish: NetworkWish | None = None
        _held.add(self)

    def open(self, wish: NetworkWish, names: Sequence[str], *, user_namespace: bool) -> None:
        """Bring the container onto its networks, before it exists.

        Args:
            names: From :func:`own_names`.
            user_namespace: Whether the container has one of its own, which then owns its network.

        Raises:
            NotFound: There is no such network.
            Conflict: A port or an address is taken; says by whom.
            LimitExceeded: A network has no address left.
            PermissionMissing, UnsupportedFeature, KernelError: This host does not allow it.
        """
        from container_kit.network import NetworkSandbox

        self._wish = wish
        if user_namespace:
            self._user = _user_namespace_of(self._id)
        self._sandbox = NetworkSandbox.open(
            self._engine.networks,
            self._id,
            wish.requests,
            names=names,
            ports=wish.ports,
            egress=wish.egress,
            shaping=wish.shaping,
            dns=wish.dns,
            user_namespace=None if self._user is None else self._user.fileno(),
            announce=self._announce,
        )

    def _announce(self, undo: Undo) -> None:
        """Something is about to exist: have it guarded."""
        self._undo = undo if self._undo is None else self._undo + undo
        if self._owned:
            key = f"{self._id}/{len(self._guarded)}"
            self._guarded.append(key)
            self._engine.guardian.add_undo(key, undo)

    @property
    def undo(self) -> Undo:
        """What takes it back."""
        assert self._undo is not None
        return self._undo

    @property
    def sandbox(self) -> NetworkSandbox:
        """What was opened."""
        assert self._sandbox is not None
        return self._sandbox

    @property
    def given(self) -> tuple[str, ...]:
        """The types of the namespaces that are passed to the container's first process."""
        return ("network",) if self._user is None else ("network", "user")

    @property
    def slots(self) -> list[int]:
        """Their descriptors, in this order."""
        network = [self.sandbox.namespace.held.fileno()]
        return network if self._user is None else [*network, self._user.fileno()]

    @property
    def shared(self) -> list[int]:
        """Descriptors of further namespaces: there are none but in pods."""
        return []

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its places on its networks."""
        return tuple(self.sandbox.endpoints)

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What is published of it."""
        return tuple(self.sandbox.ports)

    @property
    def hosts(self) -> tuple[tuple[str, str], ...]:
        """Names and addresses for its ``/etc/hosts``."""
        return tuple(self.sandbox.hosts)

    def pack_ports(self) -> socket.socket:
        """A socket with the descriptors that hold the published ports in it, for who keeps them from now on.

        What is sent and never received stays open as long as the receiving end.
        """
        from container_kit.native.descriptors import socket_pair

        kept, sender = socket_pair()
        with sender:
            held = [one.fileno() for one in self.sandbox.held]
            for at in range(0, len(held), _AT_ONCE):
                socket.send_fds(sender, [b"p"], held[at : at + _AT_ONCE])
        return kept

    def close(self) -> None:
        """Take the container off its networks; may be repeated."""
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.close()
        elif self._wish is not None:  # cut off while it was opened
            self._take_back()
        self._let_go()

    def _take_back(self) -> None:
        """Undo whatever has been done, which may be less than a sandbox, or more than it could tell us."""
        assert self._wish is not None
        if self._undo is not None:
            _carry_out(self._undo)
        for request in self._wish.requests:
            with contextlib.suppress(NotFound):
                self._engine.networks.membership(request.network).forget(self._id)

    def hand_over(self) -> None:
        """Let go in this process only: the monitor goes on holding."""
        if self._sandbox is not None:
            self._sandbox.let_go()
        self._let_go()

    def abandon(self) -> None:
        """In the child of a fork: ports and namespaces are the parent's, and end with it and not with us.

        Locks may be held by threads that do not exist here, so none is taken.
        """
        if self._sandbox is not None:
            for port in self._sandbox.held:
                port.close()
            self._sandbox.namespace.close()
        if self._user is not None:
            self._user.close()
        self._sandbox = self._undo = self._wish = self._user = None
        self._guarded = []

    def _let_go(self) -> None:
        self._sandbox = self._undo = self._wish = None
        if self._user is not None:
            self._user.close()
        while self._guarded:
            self._engine.guardian.remove(self._guarded[-1])
            self._guarded.pop()


_held: weakref.WeakSet[HeldNetwork] = weakref.WeakSet()


def _abandon_in_child() -> None:
    for held in list(_held):
        held.abandon()


os.register_at_fork(after_in_child=_abandon_in_child)


def _user_namespace_of(container_id: str) -> Descriptor:
    """The user namespace of a container, made before it, so that it can own a network that is ready then.

    Raises:
        UnsupportedFeature: This process has no rights outside of a user namespace.
    """
    from container_kit.native.own_ids import needs_namespace
    from container_kit.native.user_namespace import mapped_namespace
    from container_kit.runtime.policy import own_ids

    if needs_namespace():
        raise UnsupportedFeature(
            "a container with a user namespace of its own cannot be on a network of an ordinary user: use "
            "another profile than 'sandbox', or network='none'"
        )
    ids = own_ids(container_id)
    text = f"{ids.container_id} {ids.host_id} {ids.size}\n"
    return mapped_namespace(text, text)


def _carry_out(undo: Undo) -> None:
    """What the guardian would do."""
    for protocol, message in undo.messages:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel,
        ):
            kernel.sendto(message, (0, 0))
    for path in undo.files:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def network_for_start(
    engine: Engine, record: Record, defaults: RunDefaults, *, user_namespace: bool
) -> Iterator[HeldNetwork | SharedNetwork | None]:
    """The network of a container that is about to start under a monitor; given back when the block fails.

    One of a pod gets what the pod's containers share.
    """
    if record.options.pod:
        from container_kit.containers.shared_world import SharedNetwork, world_of

        yield SharedNetwork(world_of(engine, record.options.pod))
        return
    wish = network_wish(record.options, defaults)
    if wish is None:
        write_etc(engine, record.id, record.options)
        yield None
        return
    held = HeldNetwork(engine, record.id, owned=bool(record.owner) and engine.owns(record.id))
    try:
        names = own_names(record.id, record.name, record.options.hostname)
        held.open(wish, names, user_namespace=user_namespace)
        write_etc(engine, record.id, record.options, held.endpoints, held.hosts)
        yield held
    finally:
        held.close()  # nothing is left to do where the monitor has it
