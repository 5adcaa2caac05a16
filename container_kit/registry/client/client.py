"""RegistryClient: what a registry has, by name; for those who look at registries without an image in mind."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from container_kit.errors import InvalidInput
from container_kit.oci import Descriptor, Digest, Reference
from container_kit.registry.client import listing
from container_kit.registry.client.location import Actions
from container_kit.registry.client.opening import repositories_of
from container_kit.registry.client.options import RegistryOptions
from container_kit.registry.client.repository import Received, Repository
from container_kit.registry.client.session import Session

__all__ = ["RegistryClient"]


class RegistryClient:
    """Reads and changes registries by the names of images; a context manager.

    Args:
        options: Credentials, trust, patience; by default what docker and podman have stored.
    """

    def __init__(self, options: RegistryOptions | None = None) -> None:
        self._session = Session(options or RegistryOptions())

    def repositories(self, registry: str) -> Iterator[str]:
        """The names of all repositories of *registry* (``host[:port]``), if it gives a list."""
        self._session.give_credentials_to(registry)
        insecure = self._session.configuration.is_insecure(registry)
        return listing.catalogue(self._session, self._session.origin_of(registry, insecure), registry)

    def tags(self, name: str) -> Iterator[str]:
        """All tags of the repository *name*; a tag in *name* is not looked at."""
        return listing.tags(self.repository(name))

    def manifest(self, name: str) -> Received:
        """The manifest or index that *name* means, as the registry has it."""
        reference = Reference.parse(name)
        return self.repository(name).manifest(reference.digest or reference.tag or "latest")

    def referrers(self, name: str, artifact_type: str = "") -> list[Descriptor]:
        """What refers to the manifest *name*: signatures and the like."""
        subject = Reference.parse(name).digest or self.manifest(name).digest
        return listing.referrers(self.repository(name), subject, artifact_type)

    def delete(self, name: str) -> None:
        """Remove the tag of *name*, or the manifest if *name* has a digest.

        Many registries remove only by digest: the tag's manifest is then what goes.
        """
        reference = Reference.parse(name, default_tag=None)
        if reference.digest is None and reference.tag is None:
            raise InvalidInput(f"{name!r} has neither tag nor digest: say what to delete")
        repository = self.repository(name, "pull,push,delete")
        target: Digest | str = reference.digest or reference.tag or ""
        repository.delete_manifest(target)

    def repository(self, name: str, actions: Actions = "pull") -> Repository:
        """The repository of *name* at its registry, for all that the protocol can do."""
        reference = Reference.parse(name)
        self._session.give_credentials_to(reference.domain)
        return repositories_of(self._session, reference, actions, mirrors=False)[-1]

    def cancel(self) -> None:
        """Stop whatever waits for a registry, in any thread, now and from now on: it raises TimedOut."""
        self._session.cancel()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
