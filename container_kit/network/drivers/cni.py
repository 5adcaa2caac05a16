"""The driver ``cni``: networks made by plugins of the Container Network Interface.

Options: ``conflist`` (path of the configuration; without it the file in ``/etc/cni/net.d`` that has the
network ``name``), and ``plugins`` (directories with the plugins, joined by colons).

Plugins keep records of what they gave (addresses, rules) and must be told when it is over.  What they were
given is kept in ``cni/<owner>`` below the network's directory from before ADD to after DEL: whatever ended a
container, the next one on the network, or the next sweep, finds its file without an endpoint and has it
undone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from container_kit.errors import ContainerKitError, InvalidInput, NotFound, UnsupportedFeature
from container_kit.native.descriptors import open_path
from container_kit.network.cni import config as configurations
from container_kit.network.cni.config import ConfigList
from container_kit.network.cni.invocation import Attachment, Runner
from container_kit.network.cni.results import endpoint_of
from container_kit.network.values import Undo

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkOptions, NetworkRecord
    from container_kit.network.site import Member, Site
    from container_kit.network.values import EndpointRequest, PublishedPort

__all__ = ["Cni"]

_OPTIONS = ("conflist", "name", "plugins")
_OWNER = re.compile("[0-9a-f]{64}")

_Json = dict[str, Any]


class Cni:
    """Containers on networks of CNI plugins."""

    gives_addresses = True
    # Plugins look into the namespace when they undo what they did, also after the container's end.
    undoes_inside = True

    def validate(self, options: NetworkOptions, site: Site) -> None:
        """See `Driver`."""
        for key in options.options:
            if key not in _OPTIONS:
                raise InvalidInput(f"driver 'cni' has no option {key!r}: it has {', '.join(_OPTIONS)}")
        if options.subnets or options.gateways or options.ip_range or options.dns:
            raise InvalidInput(
                "subnets, gateways and DNS servers of a CNI network stand in its configuration"
            )
        if options.internal:
            raise UnsupportedFeature("whether a CNI network is internal is for its plugins to say")
        if not site.host.held.closed:
            raise UnsupportedFeature("CNI plugins work in the network of this host: they are for root")
        directories = _directories(options)
        missing = _config(options).missing(directories)
        if missing:
            raise NotFound("CNI plugin", missing[0], f"install it in one of {directories}")

    def set_up(self, network: NetworkRecord, site: Site) -> Undo:
        """See `Driver`.  The plugins make what they need with the first container themselves."""
        _collect(network, site)
        return Undo()

    def tear_down(self, network: NetworkRecord, site: Site) -> None:
        """See `Driver`."""
        _collect(network, site)

    def attach(self, member: Member) -> Endpoint:
        """See `Driver`."""
        if member.namespace is None:
            raise ValueError("a container without a namespace cannot be attached")
        runner = _runner(member.network)
        attachment = _attachment(member.request, member.endpoint, _path(member.namespace))
        # An earlier start of the same container that nobody could undo: plugins give nothing twice.
        _undo(member.site, member.network, member.endpoint.owner, "")
        _keep(member, runner.config, attachment, None)
        result = runner.add(attachment)
        _keep(member, runner.config, attachment, result)
        return endpoint_of(result, member.endpoint)

    def detach(self, member: Member) -> None:
        """See `Driver`.  What a plugin fails to undo is tried again later."""
        with contextlib.suppress(ContainerKitError):
            _undo(member.site, member.network, member.endpoint.owner, _path(member.namespace))

    def publishes(self, network: NetworkRecord) -> bool:
        """Whether a plugin says that it publishes ports."""
        plugins = _config(network.options).plugins
        return any((plugin.get("capabilities") or {}).get("portMappings") is True for plugin in plugins)

    def check(self, member: Member) -> None:
        """Whether everything is as `attach` left it.

        Raises:
            StartFailed: It is not; in a plugin's words.
        """
        kept = _kept(_file(member.site, member.network, member.endpoint.owner))
        if kept is None or kept["result"] is None:
            raise NotFound("attachment of CNI plugins", member.endpoint.owner[:12])
        attachment = _attachment(member.request, member.endpoint, _path(member.namespace))
        _runner(member.network, kept).check(attachment, kept["result"])


def _config(options: NetworkOptions) -> ConfigList:
    path = options.options.get("conflist")
    if path:
        return configurations.read(path)
    name = options.options.get("name")
    if not name:
        raise InvalidInput(
            "a CNI network needs options={'conflist': PATH}, or {'name': NAME} of a configuration in "
            f"{configurations.DIRECTORY}"
        )
    return configurations.named(name)


def _directories(options: NetworkOptions) -> str:
    return options.options.get("plugins") or configurations.PLUGIN_DIRECTORIES


def _runner(network: NetworkRecord, kept: _Json | None = None) -> Runner:
    """With the configuration that an attachment was made with, which may have changed since."""
    if kept is None:
        return Runner(config=_config(network.options), directories=_directories(network.options))
    config = ConfigList.parse(json.dumps(kept["config"]), "kept")
    return Runner(config=config, directories=_directories(network.options))


def _attachment(request: EndpointRequest, endpoint: Endpoint, namespace: str) -> Attachment:
    """What is asked for, in the two ways that plugins know: by capability, and by words for all."""
    addresses = [text for text in (request.ipv4, request.ipv6) if text]
    words = {"IP": ",".join(addresses), "MAC": request.mac or ""}
    return Attachment(
        owner=endpoint.owner,
        namespace=namespace,
        interface=endpoint.interface,
        arguments={key: value for key, value in words.items() if value},
        runtime={
            "ips": addresses,
            "mac": request.mac,
            "portMappings": [_mapping(port) for port in endpoint.ports],
            "aliases": {endpoint.network_name: list(endpoint.names)},
        },
    )


def _mapping(port: PublishedPort) -> _Json:
    """As the conventions for capabilities have it."""
    return {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol,
        "hostIP": port.host_ip,
    }


def _path(namespace: NetworkNamespace | None) -> str:
    if namespace is None or namespace.held.closed:
        return ""
    return f"/proc/{os.getpid()}/fd/{namespace.held.fileno()}"


def _file(site: Site, network: NetworkRecord, owner: str) -> str:
    return f"{site.directory(network.id)}/cni/{owner}"


def _keep(member: Member, config: ConfigList, attachment: Attachment, result: _Json | None) -> None:
    """Write down what will have to be undone."""
    path = _file(member.site, member.network, member.endpoint.owner)
    kept = {
        "config": config.to_json(),
        "interface": attachment.interface,
        "arguments": attachment.arguments,
        "runtime": attachment.runtime,
        "result": result,
    }
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o700)
    with open_path(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) as file:
        os.write(file.fileno(), json.dumps(kept).encode())
    os.rename(f"{path}.new", path)


def _kept(path: str) -> _Json | None:
    try:
        with open(path, encoding="utf-8") as file:
            kept: _Json = json.load(file)
    except FileNotFoundError:
        return None
    return kept


def _undo(site: Site, network: NetworkRecord, owner: str, namespace: str) -> None:
    """DEL with what ADD had; the file stays when a plugin fails, and it is tried again."""
    path = _file(site, network, owner)
    kept = _kept(path)
    if kept is None:
        return
    attachment = Attachment(
        owner=owner,
        namespace=namespace,
        interface=kept["interface"],
        arguments=kept["arguments"],
        runtime=kept["runtime"],
    )
    _runner(network, kept).delete(attachment, kept["result"])
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _collect(network: NetworkRecord, site: Site) -> None:
    """Undo what belongs to containers that are no longer on the network; its lock is held."""
    directory = site.directory(network.id)
    try:
        owners = [name for name in os.listdir(f"{directory}/cni") if _OWNER.fullmatch(name)]
    except FileNotFoundError:
        return
    gone = [owner for owner in owners if not os.path.exists(site.endpoint_file(network.id, owner))]
    for owner in gone:
        with contextlib.suppress(ContainerKitError):  # else nobody could ever join again
            _undo(site, network, owner, "")
    if gone:
        valid = [
            (owner, kept["interface"]) for owner in owners if (kept := _kept(f"{directory}/cni/{owner}"))
        ]
        with contextlib.suppress(ContainerKitError):
            _runner(network).collect(valid)
