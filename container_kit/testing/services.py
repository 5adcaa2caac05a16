"""A service that runs: a container that is ready, with its address and URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from container_kit.errors import WrongState
from container_kit.testing.definitions import ServiceDefinition, define

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.images import Image

__all__ = ["Service", "await_ready", "launch", "start_service", "start_wishes"]

# Waits for lines NAME=VALUE on its input, up to an empty one, before it becomes the command.
_LATE = 'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done; exec "$@" </dev/null'


class Service:
    """A running service; removed at the end of a ``with`` block.

    Attributes:
        container: Its container.
        definition: What it was started from.
    """

    def __init__(self, container: Container, definition: ServiceDefinition) -> None:
        self.container, self.definition = container, definition

    @property
    def values(self) -> Mapping[str, str]:
        """Such as user and password."""
        return self.definition.values

    def address(self, port: int | str | None = None) -> tuple[str, int]:
        """Where this host reaches a port of it.

        Args:
            port: The port inside; None means that of its definition.

        Raises:
            WrongState: It has no port.
        """
        wanted = self.definition.port if port is None else port
        if wanted is None:
            raise WrongState(f"service {self.definition.name} has no port: name one in its definition")
        number, _, protocol = str(wanted).partition("/")
        if self.container.options.network == "host":
            return "127.0.0.1", int(number)
        return self.container.address(int(number), protocol or "tcp")

    @property
    def host(self) -> str:
        """The address at which this host reaches it."""
        return self.address()[0]

    @property
    def port(self) -> int:
        """The port at which this host reaches it."""
        return self.address()[1]

    def url(self, **values: object) -> str:
        """Where this host reaches it; *values* such as ``database="other"`` replace its own."""
        host, port = self.address()
        return self.definition.fill_url(host, port, **values)

    def inside_url(self, **values: object) -> str:
        """Where containers of its networks reach it, by its name."""
        if self.definition.port is None:
            raise WrongState(f"service {self.definition.name} has no port: name one in its definition")
        return self.definition.fill_url(self.container.name, self.definition.port, **values)

    def logs(self, tail: int | None = None) -> str:
        """What it wrote; the last *tail* lines."""
        return "\n".join(line.text for line in self.container.logs(tail=tail))

    def close(self) -> None:
        """Remove it, at once; may be repeated."""
        self.container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Service({self.definition.name}, {self.container.short_id})"


def start_service(
    service: str | Image | ServiceDefinition,
    *,
    engine: Engine | None = None,
    detach: bool = False,
    **wishes: Any,
) -> Service:
    """Start a service and return when it is ready.

    Args:
        service: A ready-made one such as ``postgres`` or ``postgres:16``, or any image.
        wishes: What is to be other than in its definition: its fields, its values (``password="x"``), and
            options of its container.

    Raises:
        TimedOut, ContainerEnded: It did not become ready; nothing of it is left.
        NotFound, InvalidInput, StartFailed: As for `Container.start`.
    """
    definition = define(service, wishes)
    container = launch(engine or _default_engine(), definition, detach=detach)
    try:
        return await_ready(container, definition)
    except BaseException:
        container.close()
        raise


def _default_engine() -> Engine:
    from container_kit.containers.engine import Engine

    return Engine.default()


def start_wishes(definition: ServiceDefinition) -> dict[str, Any]:
    """What the container of a service is started with: the command and its options."""
    wishes: dict[str, Any] = {
        "command": None
        if definition.command is None
        else [definition.fill(word) for word in definition.command],
        "env": {name: definition.fill(text) for name, text in definition.env.items()},
        **definition.options,
    }
    if definition.entrypoint is not None:
        wishes["entrypoint"] = definition.entrypoint
    if definition.published and wishes.get("network") != "host":
        wishes["ports"] = {**dict.fromkeys(definition.published, 0), **dict(wishes.get("ports") or {})}
    if definition.late_env:
        wishes["command"] = ["/bin/sh", "-c", _LATE, "sh", *wishes["command"]]
        wishes |= {"entrypoint": (), "stdin_open": True}
    return wishes


def launch(
    engine: Engine,
    definition: ServiceDefinition,
    *,
    detach: bool,
    start: Callable[[Container], object] | None = None,
    **options: Any,
) -> Container:
    """Start the container of a service, without waiting for it; *start* instead of its own verb."""
    container = engine.create(definition.image, detach=detach, **{**start_wishes(definition), **options})
    try:
        if start is None:
            container.start()
        else:
            start(container)
        if definition.late_env:
            _tell_late(container, definition)
    except BaseException:
        container.close()
        raise
    return container


def _tell_late(container: Container, definition: ServiceDefinition) -> None:
    """Give the program the part of its environment that names its own address."""
    host, port = Service(container, definition).address()
    texts = {
        name: definition.fill(text, host=host, port=port, name=container.name)
        for name, text in definition.late_env.items()
    }
    with container.attach(stdin=True, stdout=False, stderr=False) as attachment:
        attachment.write("".join(f"{name}={text}\n" for name, text in texts.items()).encode() + b"\n")


def await_ready(container: Container, definition: ServiceDefinition) -> Service:
    """The service in *container*, when it is ready."""
    strategy = definition.strategy()
    if strategy is not None:
        container.wait_for(strategy, timeout=definition.timeout)
    return Service(container, definition)
