"""Services that all processes of one run of pytest share: one container, started by who needs it first.

The processes agree in ``<root>/testing/<run>/``: each has a locked file in ``present`` from the end of its
collection to the end of its tests, and each service is a file with the id of its container.  The last one
that leaves removes the containers.  Besides, the process that gave out the tests owns
them: when it ends, however it ends, their monitors and a guardian of its own end them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.container import Container
from container_kit.containers.guardian import Guardian
from container_kit.containers.lifecycle import start
from container_kit.containers.record import write_record
from container_kit.containers.state_file import write_private
from container_kit.errors import ContainerKitError, StartFailed
from container_kit.testing.definitions import ServiceDefinition
from container_kit.testing.fingerprints import fingerprint
from container_kit.testing.locks import Presence, locked, who_is_present
from container_kit.testing.services import Service, await_ready, launch

if TYPE_CHECKING:
    import pytest

    from container_kit.containers.engine import Engine

__all__ = ["Shared"]


class Shared:
    """The services of a run, as one of its processes sees them."""

    def __init__(self, engine: Engine, config: pytest.Config) -> None:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        self._engine = engine
        self._owner_pid: int = worker.get("container_kit_owner", os.getpid())
        self._name = str(worker.get("workerid", "main"))
        self._all = os.path.join(engine.root, "testing")
        self._folder = os.path.join(
            self._all, str(worker.get("testrunuid", f"{os.getpid()}-{os.urandom(4).hex()}"))
        )
        self._presence: Presence | None = None
        self._guardian: Guardian | None = None
        self._ids: set[str] = set()

    def take_part(self) -> None:
        """Have the services of this run kept until `close`; may be repeated."""
        if self._presence is not None:
            return
        os.makedirs(self._all, mode=0o700, exist_ok=True)
        with locked(os.path.join(self._all, "lock")):
            self._sweep()
            os.makedirs(self._present, mode=0o700, exist_ok=True)
            self._presence = Presence(self._present, self._name)

    @property
    def _present(self) -> str:
        return os.path.join(self._folder, "present")

    def _sweep(self) -> None:
        """Remove what runs have left whose processes were all killed; their containers are gone already."""
        for name in os.listdir(self._all):
            folder = os.path.join(self._all, name)
            if folder != self._folder and os.path.isdir(os.path.join(folder, "present")):
                with contextlib.suppress(OSError):
                    if not who_is_present(os.path.join(folder, "present")):
                        shutil.rmtree(folder)

    def obtain(self, definition: ServiceDefinition, fixture: str) -> Service:
        """The service of a fixture, started by us if nobody has.

        Raises:
            StartFailed: Another process could not start it; says why.
            ContainerKitError: We could not.
        """
        self.take_part()
        path = os.path.join(self._folder, f"{fixture}-{fingerprint(definition, self._engine)}")
        with locked(f"{path}.lock"):
            known = _read(path)
            if known is None:
                return self._start(definition, path)
        if "failed" in known:
            raise StartFailed(
                f"service {definition.name} could not be started by {known['by']}: {known['failed']}"
            )
        self._ids.add(known["id"])
        return await_ready(Container(self._engine, known["id"]), definition)

    def has(self, container_id: str) -> bool:
        """Whether it is the container of a service that was obtained here."""
        return container_id in self._ids

    def _start(self, definition: ServiceDefinition, path: str) -> Service:
        try:
            container = launch(self._engine, definition, detach=False, start=self._start_for_owner)
            try:
                service = await_ready(container, definition)
            except BaseException:
                container.close()
                raise
        except ContainerKitError as error:
            _write(path, {"failed": str(error), "by": self._name})
            raise
        _write(path, {"id": container.id, "by": self._name})
        self._ids.add(container.id)
        return service

    def _start_for_owner(self, container: Container) -> None:
        """Start a container of ours so that it ends with the owner of the run, and no longer with us."""
        if self._owner_pid == os.getpid():
            container.start()
            return
        engine, record = self._engine, self._engine.record(container.id)
        directory = engine.catalogue.directory(container.id)
        if self._guardian is None:
            self._guardian = Guardian(engine.root, owner_pid=self._owner_pid)
        self._guardian.add(container.id, directory, name_file=engine.name_file(record.options.name))
        start(container, owner_pid=self._owner_pid)
        write_record(directory, attrs.evolve(record, owner=""))
        engine.disown(container.id)

    def close(self) -> None:
        """Leave; the last one removes the containers. May be repeated."""
        if self._presence is None:
            return
        with locked(os.path.join(self._all, "lock")):
            self._presence.close()
            self._presence = None
            if not who_is_present(self._present):
                self._remove_all()

    def _remove_all(self) -> None:
        for name in os.listdir(self._folder):
            known = None if "." in name else _read(os.path.join(self._folder, name))
            if known is not None and "id" in known:
                with contextlib.suppress(ContainerKitError):
                    Container(self._engine, known["id"]).close()
                if self._guardian is not None:
                    self._guardian.remove(known["id"])
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(path: str) -> dict[str, str] | None:
    try:
        with open(path, "rb") as file:
            found: dict[str, str] = json.load(file)
    except (FileNotFoundError, IsADirectoryError):
        return None
    return found


def _write(path: str, known: dict[str, str]) -> None:
    """Under another name first: a reader sees a whole file or none."""
    write_private(f"{path}.new", json.dumps(known).encode())
    os.rename(f"{path}.new", path)
