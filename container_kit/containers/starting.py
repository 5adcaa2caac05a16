"""`Container.start`: on the class it makes a container and starts it, on a container it starts that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.option_arguments import OptionArguments
    from container_kit.containers.options import Command
    from container_kit.images import Image, Snapshot

__all__ = ["Start", "StartNew"]


class Start:
    """``Container.start(image, …)`` makes and starts one; ``container.start()`` starts this one."""

    @overload
    def __get__(self, instance: None, owner: type[Container]) -> StartNew: ...

    @overload
    def __get__(self, instance: Container, owner: type[Container]) -> Callable[[], Container]: ...

    def __get__(self, instance: Container | None, owner: type[Container]) -> Any:
        return StartNew() if instance is None else instance._start


class StartNew:
    """The form of ``start`` that is called on the class."""

    def __call__(
        self,
        image: Image | Snapshot | str,
        command: Command | None = None,
        *,
        engine: Engine | None = None,
        detach: bool = False,
        **options: Unpack[OptionArguments],
    ) -> Container:
        """Make a container and start it.

        It is *owned*: when this process ends, however it ends, the container is gone within a second.
        With ``detach=True`` it is independent of this process.

        Raises:
            NotFound: There is no such image.
            NameInUse: Another container has the name.
            InvalidInput: An option cannot be used; names it.
            StartFailed: The program or a wall of the container could not be set up; nothing is left.
        """
        if engine is None:
            from container_kit.containers.engine import Engine

            engine = Engine.default()
        return engine.start(image, command, detach=detach, **options)
