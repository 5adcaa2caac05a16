"""Connecting a container to a network, and taking it off, also while it runs.

What is asked for stays in the record, so the next start has it too.  The monitor of a running container is
told what takes it back in the end, before anything is made and after anything is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.container import Container
from container_kit.containers.monitor_client import MonitorClient
from container_kit.containers.network_options import is_mode
from container_kit.containers.networked import endpoints_of
from container_kit.containers.networking import own_names
from container_kit.containers.own_etc import move_etc
from container_kit.containers.record import write_record
from container_kit.containers.state_file import read_state, start_ticks
from container_kit.errors import Conflict, NotFound, WrongState
from container_kit.native.descriptors import open_path
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.user_namespace import enter_fd
from container_kit.network import EndpointRequest, Joining, Network, Undo
from container_kit.network.joining import lead_out
from container_kit.network.keeper import MOST_SERVERS

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.record import Record
    from container_kit.network import Endpoint

__all__ = ["connect", "disconnect"]


def connect(
    network: Network,
    container: Container | str,
    *,
    aliases: tuple[str, ...] = (),
    ipv4: str | None = None,
    ipv6: str | None = None,
    mac: str | None = None,
) -> None:
    """Put a container on a network; see :meth:`Network.connect`."""
    found = _container(network, container)
    request = EndpointRequest(network=network.name, aliases=aliases, ipv4=ipv4, ipv6=ipv6, mac=mac)
    with _changing(found) as record:
        _check_connectable(record)
        if any(_is_for(one, network) for one in record.options.networks):
            raise Conflict(f"container {record.name} is on network {network.name!r} already")
        options = attrs.evolve(record.options, networks=(*record.options.networks, request))
        if _runs(found):
            _join(found, record, network, request)
        _write(found, record, options)
    found.engine.note("connect", record, network=network.name)


def disconnect(network: Network, container: Container | str, *, force: bool = False) -> None:
    """Take a container off a network; see :meth:`Network.disconnect`."""
    try:
        found = _container(network, container)
    except NotFound:
        if force:
            return
        raise
    with _changing(found) as record:
        left = tuple(one for one in record.options.networks if not _is_for(one, network))
        if left == record.options.networks:
            raise NotFound("network", network.name, where=f"of container {record.name}")
        if _runs(found):
            _leave(found, record, network)
        _write(found, record, _without(record.options, left))
    found.engine.note("disconnect", record, network=network.name)


def _container(network: Network, container: Container | str) -> Container:
    if isinstance(container, Container):
        return container
    from container_kit.containers.engine import Engine

    engine = Engine.default()
    root = network._networks.site.root
    return (engine if os.path.realpath(engine.root) == root else Engine(root)).container(container)


@contextlib.contextmanager
def _changing(container: Container) -> Iterator[Record]:
    """The container's record; nobody else connects or disconnects it meanwhile."""
    record = container.engine.record(container.id)
    if record.foreground:
        raise WrongState(
            f"cannot change the networks of container {record.name}: it belongs to the call that runs it"
        )
    with open_path(container.engine.catalogue.directory(container.id), os.O_RDONLY | os.O_DIRECTORY) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield container.engine.record(container.id)


def _check_connectable(record: Record) -> None:
    if is_mode(record.options.network):
        raise WrongState(
            f"container {record.name} cannot be connected: its network is {record.options.network!r}; "
            "make it with one of its own, such as network='bridge'"
        )


def _is_for(request: EndpointRequest, network: Network) -> bool:
    return request.network in (network.name, network.id) or network.id.startswith(request.network)


def _runs(container: Container) -> bool:
    return read_state(_directory(container)).status in ("running", "paused", "restarting")


def _directory(container: Container) -> str:
    return container.engine.catalogue.directory(container.id)


def _join(container: Container, record: Record, network: Network, request: EndpointRequest) -> None:
    engine = container.engine
    there = endpoints_of(engine, container.id)
    joining = Joining(
        engine.networks,
        network.record,
        container.id,
        request,
        names=own_names(container.id, record.name, record.options.hostname),
        others=there,
        with_gateway=not any(one.gateway4 or one.gateway6 for one in there),
    )
    joining.change(dns=record.options.dns[:MOST_SERVERS])
    joining.decide()
    undo = _undo(engine, there) + joining.undo
    client = MonitorClient(_directory(container))
    try:
        client.replace_undo(undo)
        with contextlib.closing(_namespace(container)) as namespace:
            _join_or_leave(joining, namespace)
    except BaseException:
        joining.leave(None)
        raise
    move_etc(engine, container.id, record.options, [*there, joining.endpoint])


def _join_or_leave(joining: Joining, namespace: NetworkNamespace) -> None:
    try:
        joining.join(namespace)
    except BaseException:
        joining.leave(namespace)  # which lives on, with what is in it
        raise


def _leave(container: Container, record: Record, network: Network) -> None:
    engine = container.engine
    there = endpoints_of(engine, container.id)
    left = [one for one in there if one.network != network.id]
    for one in there:
        if one.network == network.id:
            with contextlib.closing(_namespace(container)) as namespace:
                Joining.of(engine.networks, one).leave(namespace)
                left = lead_out(engine.networks, left, namespace)
    MonitorClient(_directory(container)).replace_undo(_undo(engine, left))
    move_etc(engine, container.id, record.options, left)


def _undo(engine: Engine, endpoints: list[Endpoint]) -> Undo:
    whole = Undo()
    for endpoint in endpoints:
        whole += Joining.of(engine.networks, endpoint).undo
    return whole


def _namespace(container: Container) -> NetworkNamespace:
    """The network namespace of a running container.

    Raises:
        WrongState: It has ended, or is between two starts.
    """
    state = read_state(_directory(container))
    with contextlib.suppress(OSError):
        namespace = NetworkNamespace.at(f"/proc/{state.pid}/ns/net", enter_fd() or None)
        if state.pid and start_ticks(state.pid) == state.start_ticks:
            return namespace
        namespace.close()
    raise WrongState(
        f"container {container.short_id} is {state.status}: wait until it runs, or stop it first"
    )


def _write(container: Container, record: Record, options: ContainerOptions) -> None:
    write_record(_directory(container), attrs.evolve(record, options=options))


def _without(options: ContainerOptions, left: tuple[EndpointRequest, ...]) -> ContainerOptions:
    """The options with these networks; what was said of the first one goes with it."""
    if left and left[0] == options.networks[0]:
        return attrs.evolve(options, networks=left)
    own: dict[str, Any] = {"aliases": (), "ip": "", "ip6": "", "mac": ""}
    if left:
        return attrs.evolve(options, network=left[0].network, networks=left, **own)
    nothing: dict[str, Any] = {"ports": (), "publish_all": False, "egress": None, "shaping": None}
    return attrs.evolve(options, network="none", networks=(), **own, **nothing)
