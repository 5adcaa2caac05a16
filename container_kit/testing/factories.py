"""What tests make containers and images with by themselves."""

from __future__ import annotations

import os
from collections.abc import Container as Collection
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from container_kit.containers.container import Container
from container_kit.images import Image

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.options import Command

__all__ = ["ContainerFactory", "ImageFactory"]


class ContainerFactory:
    """Starts containers that are removed when the test is over.

    Attributes:
        containers: Those that were started.
    """

    def __init__(self, engine: Engine, threads: Executor, *, detach: bool = False) -> None:
        self._engine, self._threads, self._detach = engine, threads, detach
        self._futures: list[Future[Container]] = []
        self.containers: list[Container] = []

    def __call__(
        self,
        image: Image | str,
        command: Command | None = None,
        *,
        wait: Any = None,
        timeout: float = 60.0,
        **options: Any,
    ) -> Container:
        """Start a container: see `Container.start`.

        Args:
            wait: What to wait for, if anything: see `Container.wait_for`.
            timeout: Seconds for that.

        Raises:
            TimedOut, ContainerEnded: It did not become ready.
        """
        container = self._engine.start(image, command, detach=self._detach, **options)
        self.containers.append(container)
        if wait is not None:
            container.wait_for(wait, timeout=timeout)
        return container

    def submit(
        self, image: Image | str, command: Command | None = None, **arguments: Any
    ) -> Future[Container]:
        """As a call, in another thread: several start at the same time. ``.result()`` is the container."""
        future = self._threads.submit(self, image, command, **arguments)
        self._futures.append(future)
        return future

    def close(self, *, keep: Collection[str] = ()) -> None:
        """Remove the containers but for those with ids to *keep*; may be repeated."""
        for future in self._futures:
            future.exception()
        self._futures.clear()
        from container_kit.containers.lifecycle import close_all

        close_all(self._engine, [one.id for one in self.containers if one.id not in keep])
        self.containers.clear()


class ImageFactory:
    """Finds, pulls, builds and makes images in the engine of the tests.

    The verbs ``build``, ``from_host``, ``from_python``, ``from_rootfs``, ``load`` and ``pull`` are those of
    `Image`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, name: str) -> Image:
        """The image of this name, pulled when it is not here."""
        return Image.pull(name, policy="missing", engine=self._engine)

    def build(self, context: Any = ".", **arguments: Any) -> Image:
        """As `Image.build`; what was built before costs milliseconds."""
        return Image.build(context, engine=self._engine, **arguments)

    def from_host(self, *programs: str, **arguments: Any) -> Image:
        """As `Image.from_host`."""
        return Image.from_host(*programs, engine=self._engine, **arguments)

    def from_python(self, *arguments: Any, **named: Any) -> Image:
        """As `Image.from_python`."""
        return Image.from_python(*arguments, engine=self._engine, **named)

    def from_rootfs(self, source: str | os.PathLike[str], *arguments: Any, **named: Any) -> Image:
        """As `Image.from_rootfs`."""
        return Image.from_rootfs(source, *arguments, engine=self._engine, **named)

    def load(self, source: Any) -> list[Image]:
        """As `Image.load`."""
        return list(Image.load(source, engine=self._engine))

    def pull(self, name: str, **arguments: Any) -> Image:
        """As `Image.pull`."""
        return Image.pull(name, engine=self._engine, **arguments)
