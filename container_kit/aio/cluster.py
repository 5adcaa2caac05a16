"""Cluster for coroutines: the same verbs, awaited."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from container_kit.aio._work import Opening, call, finish, stream
from container_kit.cluster.cluster import Cluster as SyncCluster
from container_kit.cluster.verbs.forwarding import PortForward as SyncPortForward
from container_kit.cluster.verbs.rollouts import Rollout as SyncRollout
from container_kit.errors import WrongState
from container_kit.native.interrupts import hooked

if TYPE_CHECKING:
    import os

    from container_kit.cluster.client.watch import WatchEvent
    from container_kit.cluster.cluster import Named
    from container_kit.cluster.verbs.attaching import Output

__all__ = ["Cluster", "PortForward", "Rollout"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _verb(
    method: Callable[Concatenate[SyncCluster, _P], _T],
) -> Callable[Concatenate[Cluster, _P], Coroutine[Any, Any, _T]]:
    """A verb of the other face, awaited; arguments, results and errors are the same."""

    @functools.wraps(method)
    async def awaited(self: Cluster, /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        return await call(lambda: method(self.sync, *arguments, **options))

    return awaited


def _lines(
    method: Callable[Concatenate[SyncCluster, _P], Iterator[_T]],
) -> Callable[Concatenate[Cluster, _P], AsyncIterator[_T]]:
    """A verb that goes on, for ``async for``."""

    @functools.wraps(method)
    def iterated(self: Cluster, /, *arguments: _P.args, **options: _P.kwargs) -> AsyncIterator[_T]:
        return stream(lambda: method(self.sync, *arguments, **options))

    return iterated


class Cluster:
    """A :class:`container_kit.Cluster` whose verbs are awaited.

    ``async with aio.Cluster() as cluster`` starts one and ends it; ``await aio.Cluster()`` starts one that
    `stop` ends.  Arguments are those of `container_kit.Cluster`.
    """

    def __init__(self, **options: Any) -> None:
        self._make: Callable[[], SyncCluster] = lambda: SyncCluster(**options)
        self._sync: SyncCluster | None = None

    @classmethod
    def connect(
        cls, kubeconfig: str | os.PathLike[str] | None = None, context: str = "", *, namespace: str = ""
    ) -> Cluster:
        """A cluster that runs elsewhere, to be awaited as well; see `container_kit.Cluster.connect`."""
        made = cls()
        made._make = lambda: SyncCluster.connect(kubeconfig, context, namespace=namespace)
        return made

    @property
    def sync(self) -> SyncCluster:
        """The same cluster for programs without an event loop.

        Raises:
            WrongState: It has not been started.
        """
        if self._sync is None:
            raise WrongState("the cluster is not there yet: `async with` it, or await it first")
        return self._sync

    def using(self, namespace: str) -> Cluster:
        """The same cluster, with *namespace* meant where a call names none; ends with this one."""
        view = type(self)()
        view._sync = self.sync.using(namespace)
        return view

    async def _open(self) -> Self:
        if self._sync is None:
            self._sync = await call(self._make, undo=lambda made: made.stop())
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End it; goes on to its end also when cancelled."""
        await finish(self.sync.stop)

    @property
    def address(self) -> str:
        """Where the API server of this process listens, ``https://host:port``."""
        return self.sync.address

    kubeconfig = _verb(SyncCluster.kubeconfig)
    load = _verb(SyncCluster.load)
    snapshot = _verb(SyncCluster.snapshot)
    apply = _verb(SyncCluster.apply)
    create = _verb(SyncCluster.create)
    get = _verb(SyncCluster.get)
    list = _verb(SyncCluster.list)
    delete = _verb(SyncCluster.delete)
    patch = _verb(SyncCluster.patch)
    label = _verb(SyncCluster.label)
    annotate = _verb(SyncCluster.annotate)
    wait = _verb(SyncCluster.wait)
    scale = _verb(SyncCluster.scale)
    logs = _verb(SyncCluster.logs)
    exec = _verb(SyncCluster.exec)
    cp = _verb(SyncCluster.cp)
    copy_in = _verb(SyncCluster.copy_in)
    copy_out = _verb(SyncCluster.copy_out)
    pods = _verb(SyncCluster.pods)
    top = _verb(SyncCluster.top)
    describe = _verb(SyncCluster.describe)
    events = _verb(SyncCluster.events)
    cordon = _verb(SyncCluster.cordon)
    uncordon = _verb(SyncCluster.uncordon)
    drain = _verb(SyncCluster.drain)
    follow_logs = _lines(SyncCluster.follow_logs)

    def attach(self, what: Named, namespace: str = "", **options: Any) -> AsyncIterator[Output]:
        """What a container's own process writes; see `container_kit.Cluster.attach`."""
        return stream(lambda: self.sync.attach(what, namespace, **options))

    def watch(self, kind: str, namespace: str | None = "", **options: Any) -> AsyncIterator[WatchEvent]:
        """Changes as they come, until the iteration ends; see `container_kit.Cluster.watch`."""

        def events() -> Iterator[WatchEvent]:
            with self.sync.watch(kind, namespace, **options) as watch, hooked(watch.close):
                yield from watch

        return stream(events)

    def rollout(self, what: Named, namespace: str = "") -> Rollout:
        """The rollout of a workload; see `container_kit.Cluster.rollout`."""
        return Rollout(lambda: self.sync.rollout(what, namespace))

    def port_forward(
        self, what: Named, port: int, namespace: str = "", *, local_port: int = 0, host: str = "127.0.0.1"
    ) -> Opening[PortForward]:
        """A local port that leads to *port* of a pod: ``async with`` it, or await and close it."""

        async def made() -> PortForward:
            def open_it() -> SyncPortForward:
                return self.sync.port_forward(what, port, namespace, local_port=local_port, host=host)

            return PortForward(await call(open_it, undo=lambda one: one.close()))

        return Opening(made())


def _step(
    method: Callable[Concatenate[SyncRollout, _P], _T],
) -> Callable[Concatenate[Rollout, _P], Coroutine[Any, Any, _T]]:
    @functools.wraps(method)
    async def awaited(self: Rollout, /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        return await call(lambda: method(self._make(), *arguments, **options))

    return awaited


class Rollout:
    """A `container_kit.cluster.verbs.rollouts.Rollout` whose verbs are awaited."""

    def __init__(self, make: Callable[[], SyncRollout]) -> None:
        self._make = make

    status = _step(SyncRollout.status)
    wait = _step(SyncRollout.wait)
    restart = _step(SyncRollout.restart)
    pause = _step(SyncRollout.pause)
    resume = _step(SyncRollout.resume)
    history = _step(SyncRollout.history)
    undo = _step(SyncRollout.undo)


class PortForward:
    """A port that leads to a pod, until it is closed.

    Attributes:
        sync: The same for programs without an event loop, with ``address``, ``port`` and ``errors``.
    """

    def __init__(self, sync: SyncPortForward) -> None:
        self.sync = sync

    @property
    def port(self) -> int:
        """The local one."""
        return self.sync.port

    async def close(self) -> None:
        """Close the port and every connection through it."""
        await finish(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
