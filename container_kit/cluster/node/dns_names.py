"""Which records the names of a cluster have.

Source: Kubernetes DNS-Based Service Discovery, version 1.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any

from container_kit.cluster.node.dns_message import TYPES, Record
from container_kit.cluster.node.service_table import ServiceTable

__all__ = ["ClusterNames"]

Object = dict[str, Any]
_VERSION = "1.1.0"


class ClusterNames:
    """Answers for the names below *domain*, and for addresses that are services'."""

    def __init__(self, table: ServiceTable, domain: str = "cluster.local") -> None:
        self._table, self.domain = table, domain

    def is_ours(self, name: str) -> bool:
        """Whether nobody else can know *name*."""
        return name == self.domain or name.endswith(f".{self.domain}")

    def records(self, name: str, kind: int) -> list[Record] | None:
        """The records of this type; None when there is no such name."""
        if name.endswith(".in-addr.arpa"):
            found = list(self._reverse(name))
        elif name == f"dns-version.{self.domain}":
            found = [Record(name, "TXT", _VERSION)]
        else:
            parts = name.removesuffix(f".{self.domain}").split(".") if name != self.domain else []
            if name != self.domain and not self._exists(parts):
                return None
            found = list(self._of(name, parts))
        if name.endswith(".in-addr.arpa") and not found:
            return None
        wanted = {kind, TYPES["CNAME"]} if kind != TYPES["ANY"] else set(TYPES.values())
        return [record for record in found if TYPES[record.kind] in wanted]

    def _exists(self, parts: list[str]) -> bool:
        """Whether there is a name, also one that has no records of its own."""
        if parts[-1] == "pod":
            return len(parts) == 3 and _address(parts[0]) is not None
        if parts[-1] != "svc" or len(parts) == 1:
            return parts[-1] == "svc"
        if len(parts) == 2:
            return any(namespace == parts[0] for namespace, _ in self._table.services)
        if len(parts) == 3 and self._service(parts) is not None:
            return True
        return next(self._of("", parts), None) is not None

    def _service(self, parts: list[str]) -> Object | None:
        return self._table.services.get((parts[-2], parts[-3]))

    def _of(self, name: str, parts: list[str]) -> Iterator[Record]:
        if len(parts) == 3 and parts[2] == "pod":
            address = _address(parts[0])
            if address is not None:
                yield Record(name, "A", address)
        if len(parts) < 3 or parts[-1] != "svc" or self._service(parts) is None:
            return
        service = self._service(parts)
        assert service is not None
        if len(parts) == 3:
            yield from self._addresses(name, service, "")
            yield from self._ports(name, parts, service)
        elif len(parts) == 4:
            yield from self._addresses(name, service, parts[0])
        elif len(parts) == 5 and parts[0].startswith("_") and parts[1].startswith("_"):
            yield from self._ports(name, parts[2:], service, parts[0][1:], parts[1][1:])

    def _addresses(self, name: str, service: Object, host: str) -> Iterator[Record]:
        """Of the service, or of those of its endpoints whose name in it is *host*."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName" and not host:
            yield Record(name, "CNAME", spec["externalName"])
        elif spec.get("clusterIP") not in (None, "", "None"):
            for address in (spec.get("clusterIPs") or [spec["clusterIP"]]) if not host else ():
                yield _address_record(name, address)
        else:
            for _, endpoint, hostname in self._endpoints(service):
                for address in endpoint["addresses"] if host in ("", hostname) else ():
                    yield _address_record(name, address)

    def _endpoints(self, service: Object) -> Iterator[tuple[Object, Object, str]]:
        """Slices and endpoints, with the name that each endpoint has in the service."""
        metadata = service["metadata"]
        for one, endpoint in self._table.endpoints((metadata["namespace"], metadata["name"])):
            yield one, endpoint, endpoint.get("hostname") or _dashed(endpoint["addresses"][0])

    def _ports(
        self, name: str, parts: list[str], service: Object, port_name: str = "", protocol: str = ""
    ) -> Iterator[Record]:
        """SRV records: of all ports, or of those of this name and protocol."""
        below = f"{'.'.join(parts)}.{self.domain}"
        headless = service["spec"].get("clusterIP") in (None, "", "None")
        ports = [(one, below) for one in service["spec"].get("ports") or ()] if not headless else []
        if headless:
            for one, _, hostname in self._endpoints(service):
                ports += [(port, f"{hostname}.{below}") for port in one.get("ports") or ()]
        for port, target in ports:
            fits = (port.get("name") or "", (port.get("protocol") or "TCP").lower()) == (port_name, protocol)
            if port.get("name") and (fits or not protocol):
                yield Record(name, "SRV", (0, 100, port["port"], target))

    def _reverse(self, name: str) -> Iterator[Record]:
        text = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        for (namespace, service), found in self._table.services.items():
            below = f"{service}.{namespace}.svc.{self.domain}"
            if text in (found["spec"].get("clusterIPs") or [found["spec"].get("clusterIP")]):
                yield Record(name, "PTR", below)
            elif found["spec"].get("clusterIP") == "None":
                for _, endpoint, hostname in self._endpoints(found):
                    if text in endpoint["addresses"] and endpoint.get("hostname"):
                        yield Record(name, "PTR", f"{hostname}.{below}")


def _address_record(name: str, address: str) -> Record:
    return Record(name, "A" if ip_address(address).version == 4 else "AAAA", address)


def _dashed(address: str) -> str:
    return address.replace(".", "-").replace(":", "-")


def _address(dashed: str) -> str | None:
    """The address that the first label of a pod's name is."""
    try:
        return str(IPv4Address(dashed.replace("-", ".")))
    except ValueError:
        return None
