"""Networks for tests: a store root of their own, members without a container, and a look into a namespace."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from container_kit.native.namespaces import NetworkNamespace
from container_kit.network import EndpointRequest, Networks, NetworkSandbox, Undo

__all__ = ["add_wire", "addresses", "default_gateways", "join", "links", "new_owner", "run_in"]


def new_owner() -> str:
    """An id such as a container has."""
    return os.urandom(32).hex()


def join(
    networks: Networks, *requests: EndpointRequest | str, name: str = "c", announced: list[Undo] | None = None
) -> NetworkSandbox:
    """The network of a container that there is not."""
    wishes = [EndpointRequest(network=one) if isinstance(one, str) else one for one in requests]
    told = announced if announced is not None else []
    return NetworkSandbox.open(networks, new_owner(), wishes, names=[name], announce=told.append)


def run_in(namespace: NetworkNamespace, *command: str) -> str:
    """What *command* writes when it runs in the namespace."""
    if namespace.is_own:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    number = namespace.held.fileno()
    entered = ["nsenter", f"--net=/proc/self/fd/{number}", *command]
    return subprocess.run(entered, check=True, capture_output=True, text=True, pass_fds=[number]).stdout


def links(namespace: NetworkNamespace) -> dict[str, dict[str, Any]]:
    """What ``ip`` says of each link, by name."""
    found = json.loads(run_in(namespace, "ip", "-details", "-json", "link"))
    return {one["ifname"]: one for one in found}


def addresses(namespace: NetworkNamespace, interface: str) -> list[str]:
    """The addresses of an interface with their prefix lengths, but for those of the link itself."""
    (found,) = json.loads(run_in(namespace, "ip", "-json", "address", "show", "dev", interface))
    return [f"{one['local']}/{one['prefixlen']}" for one in found["addr_info"] if one["scope"] != "link"]


def default_gateways(namespace: NetworkNamespace) -> list[str]:
    """Where the default routes lead, IPv4 first."""
    found = json.loads(run_in(namespace, "ip", "-json", "route", "show", "default"))
    found += json.loads(run_in(namespace, "ip", "-6", "-json", "route", "show", "default"))
    return [one["gateway"] for one in found]


def add_wire(namespace: NetworkNamespace, name: str, *, address: str = "", mtu: int = 1500) -> None:
    """A link that is up, such as a host has to the world."""
    size = str(mtu)
    run_in(
        namespace,
        "ip",
        "link",
        "add",
        name,
        "mtu",
        size,
        "type",
        "veth",
        "peer",
        "name",
        f"{name}p",
        "mtu",
        size,
    )
    if address:
        run_in(namespace, "ip", "address", "add", address, "dev", name)
    for end in (name, f"{name}p"):
        run_in(namespace, "ip", "link", "set", end, "up")
