"""What all drivers with interfaces of their own do inside a container's network namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.native.network import configure

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace
    from container_kit.network.endpoint import Endpoint

__all__ = ["bring_up"]

# Nobody but the network says what an interface of IPv6 is: no routers that advertise, no redirects.
_IPV6 = {"accept_ra": "0", "accept_redirects": "0", "disable_ipv6": "0"}


def bring_up(endpoint: Endpoint, inside: NetworkNamespace, ipv6: dict[str, str] | None = None) -> None:
    """Give the interface of *endpoint* its addresses and the way out, and bring it up.

    Args:
        ipv6: Further settings of the interface, below ``net/ipv6/conf``.

    Raises:
        KernelError: An address or a route cannot be set.
    """
    if endpoint.ipv6:
        prefix = f"net/ipv6/conf/{endpoint.interface}"
        inside.set({f"{prefix}/{key}": value for key, value in {**_IPV6, **(ipv6 or {})}.items()})
    configure(
        inside,
        endpoint.interface,
        addresses=[text for text in (endpoint.ipv4, endpoint.ipv6) if text],
        gateways=[text for text in (endpoint.gateway4, endpoint.gateway6) if text],
    )
