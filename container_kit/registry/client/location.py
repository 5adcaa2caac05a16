"""What a request is about: a repository at an origin, and what is wanted there."""

from __future__ import annotations

from typing import Literal

import attrs

from container_kit.registry.client.endpoint import Origin

__all__ = ["Actions", "Location", "Scope"]

Actions = Literal["pull", "pull,push", "pull,push,delete", "delete", "*"]


@attrs.frozen
class Location:
    """A repository of a registry; what credentials are bound to.

    Args:
        domain: The name under which credentials for it are kept (``docker.io``, not where that is served).
        path: The repository; empty for the registry itself.
    """

    origin: Origin
    domain: str
    path: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.domain}/{self.path}" if self.path else self.domain


@attrs.frozen
class Scope:
    """What is wanted; more than one *repositories* for a mount, which reads from another one.

    Source: distribution, "Token Scope Documentation".
    """

    repositories: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, path: str, actions: Actions) -> Scope:
        return cls(((path, actions),))

    def and_pull(self, path: str) -> Scope:
        """With the right to read from *path* too."""
        return Scope((*self.repositories, (path, "pull")))

    @property
    def words(self) -> tuple[str, ...]:
        """As a token server reads it."""
        return tuple(
            f"repository:{path}:{actions}" if path else f"registry:catalog:{actions}"
            for path, actions in self.repositories
        )

    def __str__(self) -> str:
        return " ".join(self.words)
