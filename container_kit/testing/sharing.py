"""Services that all processes of one run of pytest share: one container, started by who needs it first.

The processes agree in ``<root>/testing/<run>/``, where each service is a file with the id of its container.
The containers belong to the process that gave out the tests, named in the file ``owner``: it removes them
when the last worker is down, since one that comes late, for one that crashed, is to find what the others
used.  When that process is killed, the containers' monitors and a guardian of its own end them.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.container import Container
from container_kit.containers.guardian import Guardian
from container_kit.containers.lifecycle import close_all, start
from container_kit.containers.record import write_record
from container_kit.containers.state_file import start_ticks, write_private
from container_kit.errors import ContainerKitError, StartFailed
from container_kit.testing.definitions import ServiceDefinition
from container_kit.testing.fingerprints import fingerprint
from container_kit.testing.locks import locked
from container_kit.testing.services import Service, await_ready, launch

if TYPE_CHECKING:
    import pytest

    from container_kit.containers.engine import Engine

__all__ = ["OUTPUT", "Shared", "end_run"]

# Under which a worker tells its root and the folder of the run.
OUTPUT = "container_kit_run"


class Shared:
    """The services of a run, as one of its processes sees them."""

    def __init__(self, engine: Engine, config: pytest.Config) -> None:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        self._engine = engine
        self._output: dict[str, Any] = getattr(config, "workeroutput", {})
        self._owner_pid: int = worker.get("container_kit_owner", os.getpid())
        self._name = str(worker.get("workerid", "main"))
        self._all = os.path.join(engine.root, "testing")
        self._folder = os.path.join(
            self._all, str(worker.get("testrunuid", f"{os.getpid()}-{os.urandom(4).hex()}"))
        )
        self._takes_part = False
        self._guardian: Guardian | None = None
        self._ids: set[str] = set()

    def take_part(self) -> None:
        """Have the services of this run removed when it ends; may be repeated."""
        if self._takes_part:
            return
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with locked(os.path.join(self._all, "lock")):
            _write(self._folder, "owner", {"pid": self._owner_pid, "ticks": start_ticks(self._owner_pid)})
            self._sweep()
        self._output[OUTPUT] = [self._engine.root, self._folder]
        self._takes_part = True

    def _sweep(self) -> None:
        """Remove what runs have left whose owner was killed; their containers are gone already."""
        for name in os.listdir(self._all):
            folder = os.path.join(self._all, name)
            owner = _read(folder, "owner")
            if owner is not None and start_ticks(owner["pid"]) != owner["ticks"]:
                shutil.rmtree(folder, ignore_errors=True)

    def obtain(self, definition: ServiceDefinition, fixture: str) -> Service:
        """The service of a fixture, started by us if nobody has.

        Raises:
            StartFailed: Another process could not start it; says why.
            ContainerKitError: We could not.
        """
        self.take_part()
        name = f"{fixture}-{fingerprint(definition, self._engine)}"
        with locked(os.path.join(self._folder, f"{name}.lock")):
            known = _read(self._folder, name)
            if known is None:
                return self._start(definition, name)
        if "failed" in known:
            raise StartFailed(
                f"service {definition.name} could not be started by {known['by']}: {known['failed']}"
            )
        self._ids.add(known["id"])
        return await_ready(Container(self._engine, known["id"]), definition)

    def has(self, container_id: str) -> bool:
        """Whether it is the container of a service that was obtained here."""
        return container_id in self._ids

    def _start(self, definition: ServiceDefinition, name: str) -> Service:
        try:
            container = launch(self._engine, definition, detach=False, start=self._start_for_owner)
            try:
                service = await_ready(container, definition)
            except BaseException:
                container.close()
                raise
        except ContainerKitError as error:
            _write(self._folder, name, {"failed": str(error), "by": self._name})
            raise
        _write(self._folder, name, {"id": container.id, "by": self._name})
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
        """Our tests are done; if nobody gave them to us, the run is over."""
        if self._takes_part and self._owner_pid == os.getpid():
            end_run(self._engine, self._folder)


def end_run(engine: Engine, folder: str) -> None:
    """Remove the containers of a run whose workers are all down, and the files by which they agreed."""
    if os.path.isdir(folder):
        found = [_read(folder, name) for name in os.listdir(folder) if "." not in name]
        close_all(engine, [known["id"] for known in found if known is not None and "id" in known])
        shutil.rmtree(folder, ignore_errors=True)


def _read(folder: str, name: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            found: dict[str, Any] = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def _write(folder: str, name: str, known: dict[str, Any]) -> None:
    """Under another name first: a reader sees a whole file or none."""
    draft = os.path.join(folder, f"{name}.{os.getpid()}.new")
    write_private(draft, json.dumps(known).encode())
    os.rename(draft, os.path.join(folder, name))
