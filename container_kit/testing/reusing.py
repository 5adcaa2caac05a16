"""Services that are left running after the tests, and taken again by the next ones.

The name of the container has a digest of its definition, so that one whose definition changed is another one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from container_kit.errors import NotFound
from container_kit.testing.definitions import ServiceDefinition
from container_kit.testing.fingerprints import fingerprint
from container_kit.testing.locks import locked
from container_kit.testing.services import Service, await_ready, launch

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = ["Reusing"]


class Reusing:
    """The services of a root that outlive the tests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder = os.path.join(engine.root, "testing")

    def obtain(self, definition: ServiceDefinition, fixture: str) -> Service:
        """The service, as it was left or started anew."""
        name = f"reuse-{fixture}-{fingerprint(definition, self._engine)}"
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with locked(os.path.join(self._folder, f"{name}.lock")):
            try:
                container = self._engine.container(name)
                if container.status == "running":
                    return await_ready(container, definition)
                container.remove(force=True)
            except NotFound:
                pass
            container = launch(self._engine, definition, detach=True, name=name)
            try:
                return await_ready(container, definition)
            except BaseException:
                container.close()
                raise
