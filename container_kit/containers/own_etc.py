"""A container's files in ``/etc``: which ones it has, and what they say for the places it has on networks.

What they look like is in `etc_files`; here it is known what goes in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from container_kit.containers import etc_files
from container_kit.containers.etc_files import ETC, EtcFiles, Resolving
from container_kit.containers.pod_places import PodPlaces

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.options import ContainerOptions
    from container_kit.network import Endpoint, Networks

__all__ = ["etc_directory", "etc_of", "move_etc", "write_etc"]

_SHORT = 12
_NOWHERE = "127.0.1.1"


def etc_directory(engine: Engine, container_id: str, options: ContainerOptions) -> str:
    """Where the files lie that are mounted over those of the image; empty for a container that has none."""
    if options.pod:
        return PodPlaces(engine.root, options.pod).etc
    if options.network.startswith("container:"):
        other = engine.catalogue.find(options.network.removeprefix("container:"))
        folder = os.path.join(engine.catalogue.directory(other), ETC)
        return folder if os.path.isdir(folder) else ""
    named = options.extra_hosts or options.dns or options.dns_search or options.dns_options
    if options.network == "none" and not named:
        return ""
    return os.path.join(engine.catalogue.directory(container_id), ETC)


def write_etc(
    engine: Engine,
    container_id: str,
    options: ContainerOptions,
    endpoints: Sequence[Endpoint] = (),
    hosts: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the container's files below ``/etc``, if it has some of its own.

    Args:
        endpoints: Its places on networks.
        hosts: Further names and addresses.
    """
    if options.network.startswith("container:") or not etc_directory(engine, container_id, options):
        return
    servers = _name_servers(engine.networks, endpoints) if endpoints else ()
    files = etc_of(container_id, options, endpoints, servers, hosts)
    etc_files.write_files(engine.catalogue.directory(container_id), files)


def move_etc(
    engine: Engine, container_id: str, options: ContainerOptions, endpoints: Sequence[Endpoint]
) -> None:
    """Let the files of a running container say its new places; what else is in them stays."""
    folder = os.path.join(engine.catalogue.directory(container_id), ETC)
    names, servers = _own_names(container_id, options), _name_servers(engine.networks, endpoints)
    hosts = os.path.join(folder, "hosts")
    text = etc_files.moved_hosts(etc_files.read_host_file(hosts), _addresses(endpoints), names)
    etc_files.update_file(hosts, text)
    resolving = etc_files.resolv_text(_resolving(options, servers))
    etc_files.update_file(os.path.join(folder, "resolv.conf"), resolving)


def etc_of(
    container_id: str,
    options: ContainerOptions,
    endpoints: Sequence[Endpoint],
    servers: Sequence[str],
    hosts: Sequence[tuple[str, str]] = (),
) -> EtcFiles:
    """The container's files, for the places that it has on networks.

    Args:
        servers: Name servers of its networks.
        hosts: Further names and addresses.
    """
    names = _own_names(container_id, options)
    extra = [*_of_host(options), *options.extra_hosts, *hosts]
    text = etc_files.hosts_text(_addresses(endpoints), names, extra, _gateway(options, endpoints))
    return EtcFiles(
        hosts=text,
        hostname=f"{options.hostname or container_id[:_SHORT]}\n",
        resolv_conf=etc_files.resolv_text(_resolving(options, servers)),
    )


def _own_names(container_id: str, options: ContainerOptions) -> tuple[str, ...]:
    hostname = options.hostname or container_id[:_SHORT]
    return (f"{hostname}.{options.domainname}", hostname) if options.domainname else (hostname,)


def _addresses(endpoints: Sequence[Endpoint]) -> list[str]:
    """Its own; every name has to have one, also that of a container that is on no network."""
    return [address for one in endpoints for address in one.addresses] or [_NOWHERE]


def _gateway(options: ContainerOptions, endpoints: Sequence[Endpoint]) -> str:
    """This host as the container sees it; empty when it does not."""
    if options.network == "host":
        return "127.0.0.1"
    return next((one.gateway4 or one.gateway6 for one in endpoints if one.gateway4 or one.gateway6), "")


def _name_servers(networks: Networks, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """Who knows the names of the others on the networks of these endpoints: the networks' own gateways.

    Internal networks come last: theirs ask nobody, and resolvers of C libraries begin with the first.
    """
    records = [networks.get(endpoint.network) for endpoint in endpoints]
    bridges = [record for record in records if record.driver == "bridge"]
    bridges.sort(key=lambda record: record.options.internal)
    return tuple(subnet.gateway for record in bridges for subnet in record.subnets)


def _of_host(options: ContainerOptions) -> list[tuple[str, str]]:
    """What this host's own file says, for a container that shares its network."""
    if options.network != "host":
        return []
    return etc_files.parse_hosts(etc_files.read_host_file("/etc/hosts"))


def _resolving(options: ContainerOptions, servers: Sequence[str]) -> Resolving:
    host = etc_files.read_resolv_conf(etc_files.read_host_file("/etc/resolv.conf"))
    own = Resolving(servers=options.dns, search=options.dns_search, options=options.dns_options)
    return etc_files.resolving_for(own, tuple(servers), host, shares_host=options.network == "host")
