"""The repositories that a name stands for: its mirrors first, its own place last."""

from __future__ import annotations

from container_kit.oci import Reference
from container_kit.registry.client.location import Actions, Location
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.session import Session

__all__ = ["repositories_of"]


def repositories_of(
    session: Session, reference: Reference, actions: Actions = "pull", *, mirrors: bool = True
) -> list[Repository]:
    """Where *reference* is looked for, at least one; *mirrors* only count for reading.

    Raises:
        AccessDenied: It is blocked by the registries.conf of this host.
    """
    found = []
    for place in session.configuration.places(reference, mirrors):
        origin = session.origin_of(place.reference.domain, place.insecure)
        location = Location(origin, place.reference.domain, place.reference.path)
        found.append(Repository(session, location, actions))
    return found
