"""Networks: what containers are on, and how they get there.

This layer knows no containers: it is given an id as an owner, names and a namespace.  `Network` is the face,
`Networks` keeps the definitions of a store root, `NetworkSandbox` is one container's network while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.network.drivers import Driver
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.joining import Joining
    from container_kit.network.membership import Membership
    from container_kit.network.network import Network
    from container_kit.network.record import NetworkOptions, NetworkRecord, Subnet
    from container_kit.network.sandbox import NetworkSandbox
    from container_kit.network.site import Member, Site
    from container_kit.network.state import Networks
    from container_kit.network.values import EndpointRequest, PortRequest, PublishedPort, Shaping, Undo

_HOME = {
    "Driver": ".drivers",
    "Endpoint": ".endpoint",
    "EndpointRequest": ".values",
    "Joining": ".joining",
    "Member": ".site",
    "Membership": ".membership",
    "Network": ".network",
    "NetworkOptions": ".record",
    "NetworkRecord": ".record",
    "NetworkSandbox": ".sandbox",
    "Networks": ".state",
    "PortRequest": ".values",
    "PublishedPort": ".values",
    "Shaping": ".values",
    "Site": ".site",
    "Subnet": ".record",
    "Undo": ".values",
}

__all__ = [
    "Driver",
    "Endpoint",
    "EndpointRequest",
    "Joining",
    "Member",
    "Membership",
    "Network",
    "NetworkOptions",
    "NetworkRecord",
    "NetworkSandbox",
    "Networks",
    "PortRequest",
    "PublishedPort",
    "Shaping",
    "Site",
    "Subnet",
    "Undo",
]

__getattr__ = resolver(__name__, _HOME)
