"""The containers of one process of a run of pytest: what is starting, what runs, and for which tests.

Services that a test needs are started at the same time by threads, before pytest sets up its fixtures one
after the other; each fixture then takes what was begun for it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import ContainerKitError
from container_kit.testing.definitions import ServiceDefinition, define
from container_kit.testing.factories import ContainerFactory
from container_kit.testing.reports import kept_hint, log_section
from container_kit.testing.reusing import Reusing
from container_kit.testing.services import Service, await_ready, launch
from container_kit.testing.sharing import Shared

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.testing.fixtures import ServiceWish

__all__ = ["Run", "run_if_any", "run_of", "unique_name"]

_AT_ONCE = 32
# What others may have to remove as soon as the container is gone.
_SHARED_OPTIONS = ("network", "networks", "mounts")
_KEY = pytest.StashKey["Run"]()


def run_of(config: pytest.Config) -> Run:
    """The containers of this process."""
    if _KEY not in config.stash:
        config.stash[_KEY] = Run(config)
    return config.stash[_KEY]


def run_if_any(config: pytest.Config) -> Run | None:
    """As `run_of`, if anything was asked of it before."""
    return config.stash.get(_KEY, None)


def unique_name() -> str:
    """A name that no other test has."""
    return f"test-{os.urandom(6).hex()}"


@attrs.define
class _Begun:
    """A service that is being started, for a fixture that will take it."""

    wish: ServiceWish
    service: Future[Service]


class Run:
    """The containers of one process; see the module."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._engine: Engine | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._begun: dict[str, _Begun] = {}
        self._active: dict[str, Service] = {}
        self._ending: list[Future[None]] = []
        self._factories: dict[str, ContainerFactory] = {}
        self._kept: dict[str, Container] = {}
        self._shared_by_all: Shared | None = None
        self.keep_failed: bool = config.getoption("--ck-keep-failed")
        _end_with(config)

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        if self._engine is None:
            root = self._config.getoption("--ck-root")
            self._engine = Engine.default() if root is None else Engine(root)
        return self._engine

    @property
    def threads(self) -> ThreadPoolExecutor:
        """What starts several at once."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "container-kit-testing")
        return self._threads

    # Services.

    def begin(self, services: Mapping[str, tuple[Any, ServiceWish]]) -> None:
        """Start those that are not there yet; by fixture name, the fixture's definition and the wish."""
        for name, (definition, wish) in services.items():
            if definition.cached_result is None and name not in self._begun:
                service = self.threads.submit(self._start, wish, name, {})
                self._begun[name] = _Begun(wish, service)

    def serve(
        self, request: pytest.FixtureRequest, wish: ServiceWish, further: Mapping[str, Any]
    ) -> Iterator[Service]:
        """A fixture: the service for as long as its scope lasts."""
        name = request.fixturename or wish.scope
        begun = self._begun.pop(name, None)
        if begun is not None and begun.wish is not wish:
            self._discard(begun)
            begun = None
        service = self._start(wish, name, further) if begun is None else begun.service.result()
        self._active[name] = service
        try:
            yield service
        finally:
            del self._active[name]
            if wish.scope != "run":
                self._end(service)

    def _start(self, wish: ServiceWish, name: str, further: Mapping[str, Any]) -> Service:
        definition = define(wish.service, wish.wishes).changed(further)
        if wish.scope == "run":
            return self._shared.obtain(definition, name)
        if definition.reuse or self._config.getoption("--ck-reuse"):
            return Reusing(self.engine).obtain(attrs.evolve(definition, reuse=True), name)
        return self._start_alone(definition)

    def _start_alone(self, definition: ServiceDefinition) -> Service:
        container = launch(self.engine, definition, detach=self.keep_failed)
        try:
            return await_ready(container, definition)
        except BaseException as error:
            if self.keep_failed:
                self._kept[container.id] = container
                error.add_note(kept_hint(container))
            else:
                container.close()
            raise

    @property
    def _shared(self) -> Shared:
        if self._shared_by_all is None:
            self._shared_by_all = Shared(self.engine, self._config)
        return self._shared_by_all

    def _end(self, service: Service) -> None:
        """Remove it, at the same time as others that end now, unless somebody waits for what it uses."""
        if service.container.id in self._kept or service.definition.reuse:
            return
        if any(name in service.definition.options for name in _SHARED_OPTIONS):
            service.close()
        else:
            self._ending.append(self.threads.submit(service.close))

    def settle(self) -> None:
        """Return when what ended with a test, or was begun for it and never used, is gone."""
        for begun in self._begun.values():
            self._discard(begun)
        self._begun.clear()
        while self._ending:
            self._ending.pop().result()

    def _discard(self, begun: _Begun) -> None:
        with contextlib.suppress(ContainerKitError):
            service = begun.service.result()
            if begun.wish.scope != "run":
                self._end(service)

    def take_part(self) -> None:
        """Hold on to the services of the whole run, until `close`."""
        self._shared.take_part()

    # Containers that tests start by themselves.

    def factory(self, request: pytest.FixtureRequest) -> Iterator[ContainerFactory]:
        """A fixture: starts containers, which end with the test."""
        factory = ContainerFactory(self.engine, self.threads, detach=self.keep_failed)
        self._factories[request.node.nodeid] = factory
        try:
            yield factory
        finally:
            del self._factories[request.node.nodeid]
            factory.close(keep=self._kept)

    # Telling.

    def tell_of(self, item: pytest.Item, since: float | None) -> list[tuple[str, str]]:
        """The sections of a failed test's report: what its containers wrote, and that they are kept."""
        names = getattr(item, "fixturenames", ())
        used = {name: self._active[name].container for name in names if name in self._active}
        factory = self._factories.get(item.nodeid)
        used |= {} if factory is None else {one.name: one for one in factory.containers}
        lines = self._config.getoption("--ck-log-lines")
        sections = []
        for name, container in used.items():
            hint = self._keep(container)
            sections.append((f"container {name}", log_section(container, since, lines) + hint))
        return sections

    def _keep(self, container: Container) -> str:
        if not self.keep_failed or (self._shared_by_all and self._shared_by_all.has(container.id)):
            return ""
        self._kept[container.id] = container
        return "\n" + kept_hint(container)

    def close(self) -> None:
        """The tests of this process are done."""
        self.settle()
        if self._threads is not None:
            self._threads.shutdown()
        if self._shared_by_all is not None:
            self._shared_by_all.close()
        if self._engine is not None:
            self._engine.settle()
            if self._config.getoption("--ck-root") is not None:
                self._engine.close()


def _end_with(config: pytest.Config) -> None:
    """Have a worker of pytest-xdist end with the process that gives it tests: nobody hears of it any more.

    It would notice by itself only after the test that it is running, and its containers would live as long.
    """
    owner = getattr(config, "workerinput", {}).get("container_kit_owner")
    if owner is None:
        return
    import select
    import signal
    import threading

    from container_kit.native.descriptors import open_process

    def watch() -> None:
        with contextlib.suppress(ProcessLookupError), open_process(owner) as process:
            poller = select.poll()
            poller.register(process, select.POLLIN)
            poller.poll()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="container-kit-owner", daemon=True).start()
