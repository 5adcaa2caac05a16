"""How the slices of a service change: as few of them as possible, each by as little as possible.

A slice holds endpoints with the same ports, 100 at most.  Whoever follows slices pays for each that changes,
so endpoints stay where they are, new ones fill gaps, and a slice that is not needed any more is used again
for endpoints that need a new one.

Source: kubernetes.io, "EndpointSlices" (distribution of EndpointSlices).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from container_kit._values import frozen
from container_kit.cluster.meta import Object

__all__ = ["Group", "SliceChanges", "plan"]


@frozen
class Group:
    """Endpoints with the same ports and kind of address."""

    address_type: str
    ports: Sequence[Object]
    endpoints: Sequence[Object]


@frozen
class SliceChanges:
    """What to do: slices to make (without metadata), slices with new content, and slices to delete."""

    create: list[Object]
    update: list[Object]
    delete: list[Object]


def plan(
    existing: Sequence[Object], groups: Iterable[Group], address_type: str, size: int = 100
) -> SliceChanges:
    """How to get from the existing slices to these groups.

    Args:
        address_type: Of the empty slice that stands for a service without endpoints.
        size: How many endpoints a slice holds.
    """
    create: list[Object] = []
    update: list[Object] = []
    free = list(existing)
    for group in groups:
        if group.endpoints:
            own = [each for each in existing if _serves(each, group)]
            free = [each for each in free if not _serves(each, group)]
            _refill(group, own, size, create, update, free)
    if not create and len(free) == len(existing):
        create.append(_content(Group(address_type, (), ()), ()))
    return _reuse(create, update, free)


def _serves(piece: Object, group: Group) -> bool:
    return piece["addressType"] == group.address_type and list(piece.get("ports") or ()) == list(group.ports)


def _refill(
    group: Group,
    own: Sequence[Object],
    size: int,
    create: list[Object],
    update: list[Object],
    free: list[Object],
) -> None:
    """Keep in each slice who is in it, fill what is left, and make new ones for the rest."""
    wanted = {_identity(endpoint): endpoint for endpoint in group.endpoints}
    kept = {id(piece): _kept(piece, wanted) for piece in own}
    rest = list(wanted.values())
    for piece in sorted(own, key=lambda piece: -len(kept[id(piece)])):
        endpoints = kept[id(piece)]
        more = rest[: max(0, size - len(endpoints))]
        del rest[: len(more)]
        endpoints += more
        if not endpoints:
            free.append(piece)
        elif endpoints != (piece.get("endpoints") or []):
            update.append(piece | {"endpoints": endpoints})
    for start in range(0, len(rest), size):
        create.append(_content(group, rest[start : start + size]))


def _kept(piece: Object, wanted: dict[str, Object]) -> list[Object]:
    """The endpoints of a slice that are still wanted, as they are now; they are taken out of *wanted*."""
    identities = (_identity(endpoint) for endpoint in piece.get("endpoints") or ())
    return [wanted.pop(identity) for identity in identities if identity in wanted]


def _identity(endpoint: Mapping[str, object]) -> str:
    target = endpoint.get("targetRef")
    return f"{endpoint['addresses']}{target['uid'] if isinstance(target, dict) else ''}"


def _content(group: Group, endpoints: Sequence[Object]) -> Object:
    """What a slice says; nothing is written as null, as the original does."""
    return {
        "addressType": group.address_type,
        "endpoints": list(endpoints) or None,
        "ports": [dict(port) for port in group.ports] or None,
    }


def _reuse(create: list[Object], update: list[Object], free: list[Object]) -> SliceChanges:
    """A slice to delete and one to make are one slice to change, if their addresses are of one kind."""
    left: list[Object] = []
    unused = list(free)
    for content in create:
        match = next((each for each in unused if each["addressType"] == content["addressType"]), None)
        if match is None:
            left.append(content)
            continue
        unused.remove(match)
        if any((match.get(field) or None) != content[field] for field in ("endpoints", "ports")):
            update.append(match | content)
    return SliceChanges(left, update, unused)
