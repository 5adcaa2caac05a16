"""What plugins answer to ADD, as an endpoint.

Source: CNI specification 1.1.0, section 5 ("Result types").
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import attrs

from container_kit.errors import StartFailed
from container_kit.network.endpoint import Endpoint

__all__ = ["endpoint_of"]

_Json = dict[str, Any]


def endpoint_of(result: _Json, asked: Endpoint) -> Endpoint:
    """*asked* with the addresses, hardware address and link that the plugins gave.

    Raises:
        StartFailed: The result does not make sense.
    """
    try:
        fields = _fields(result, asked.interface)
    except (KeyError, TypeError, ValueError) as error:
        raise StartFailed(f"the CNI plugins' result cannot be understood: {error!r} in {result!r}") from None
    return attrs.evolve(asked, **fields)


def _fields(result: _Json, name: str) -> dict[str, Any]:
    interfaces = _objects(result, "interfaces")
    inside = [at for at, one in enumerate(interfaces) if one.get("sandbox") and one["name"] == name]
    links = [str(one["name"]) for one in interfaces if not one.get("sandbox")]
    number = inside[0] if inside else None
    addresses = [one for one in _objects(result, "ips") if one.get("interface", number) == number]
    mac = "" if number is None else str(interfaces[number].get("mac", "")).lower()
    return {"link": links[-1] if links else "", "mac": mac, **_address_fields(addresses)}


def _objects(result: _Json, key: str) -> list[_Json]:
    found = result.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TypeError(f"{key} is no list of objects")
    return found


def _address_fields(addresses: list[_Json]) -> dict[str, str]:
    """The first address of each kind."""
    found: dict[str, str] = {}
    for one in addresses:
        address = ip_interface(one["address"])
        kind = str(address.version)
        if f"ipv{kind}" not in found:
            found |= {f"ipv{kind}": str(address), f"gateway{kind}": str(one.get("gateway") or "")}
    return found
