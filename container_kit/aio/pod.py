"""Pod for coroutines: the same handle, whose verbs that wait are awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from container_kit.aio._work import Opening, call, finish, stream
from container_kit.aio.container import Container
from container_kit.pods.pod import Pod as SyncPod

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.logs import LogLine
    from container_kit.containers.options import Command
    from container_kit.containers.results import ExecResult
    from container_kit.pods.seam import Object

__all__ = ["Pod"]


class Pod:
    """A :class:`container_kit.Pod` whose verbs are awaited.

    Attributes:
        sync: The same pod for programs without an event loop.
    """

    def __init__(self, sync: SyncPod) -> None:
        self.sync = sync

    @classmethod
    def start(cls, manifest: Mapping[str, Any], **options: Any) -> Opening[Pod]:
        """A new pod: await this, or ``async with`` it to have it removed; see `container_kit.Pod.start`."""
        return Opening(cls._started(manifest, options))

    @classmethod
    async def _started(cls, manifest: Mapping[str, Any], options: Mapping[str, Any]) -> Pod:
        made = await call(lambda: SyncPod.start(manifest, **options), undo=lambda pod: pod.close())
        return cls(made)

    @classmethod
    async def get(cls, name: str, *, engine: Engine | None = None) -> Pod:
        """The pod with this name, uid, id or unique beginning of an id; see `container_kit.Pod.get`."""
        return cls(await call(lambda: SyncPod.get(name, engine=engine)))

    @classmethod
    async def list(cls, *, engine: Engine | None = None) -> list[Pod]:
        """All pods, newest first."""
        return [cls(one) for one in await call(lambda: SyncPod.list(engine=engine))]

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.sync.id

    @property
    def name(self) -> str:
        """As its manifest says."""
        return self.sync.name

    def status(self) -> Object:
        """``PodStatus``; see `container_kit.Pod.status`."""
        return self.sync.status()

    async def wait(
        self, condition: Literal["Ready", "Ended"] = "Ready", timeout: float | None = None
    ) -> Object:
        """Wait until it is ready, or has ended for good; returns its status."""
        return await call(lambda: self.sync.wait(condition, timeout))

    async def stop(self, grace_s: float | None = None, *, timeout: float | None = None) -> None:
        """End it in good order; who is cancelled waits no longer, the pod ends all the same."""
        await call(lambda: self.sync.stop(grace_s, timeout=timeout))

    async def update(self, manifest: Mapping[str, Any]) -> None:
        """Take over what may change in a running pod."""
        await call(lambda: self.sync.update(manifest))

    async def remove(self, *, force: bool = False) -> None:
        """Remove it with its containers; goes on to its end also when cancelled."""
        await finish(lambda: self.sync.remove(force=force))

    def container(self, container: str = "", *, previous: bool = False) -> Container:
        """The container of this name as it is now; see `container_kit.Pod.container`."""
        return Container(self.sync.container(container, previous=previous))

    def logs(self, container: str = "", *, previous: bool = False, **options: Any) -> AsyncIterator[LogLine]:
        """The lines that one of its containers wrote; see `container_kit.Container.logs`."""
        return stream(lambda: self.sync.logs(container, previous=previous, **options))

    async def exec(self, command: Command, container: str = "", **options: Any) -> ExecResult:
        """Execute a command in one of its containers; see `container_kit.Container.exec`."""
        return await call(lambda: self.sync.exec(command, container, **options))

    async def close(self) -> None:
        """End and remove it if this process owns it; else only stop supervising."""
        await finish(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
