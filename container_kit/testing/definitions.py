"""What a service is, as a value: its image, ports and environment, its URL, and when it is ready.

Those that many tests need are data, in ``services.toml`` beside this module; any other image is a service as
soon as its port is named.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs

from container_kit.containers.checking import nearest
from container_kit.containers.options import ContainerOptions, as_command
from container_kit.errors import CorruptData, InvalidInput, UnknownOption
from container_kit.wait import words
from container_kit.wait.combined import AllOf, as_strategy

if TYPE_CHECKING:
    from container_kit.containers.strategy import Strategy
    from container_kit.images import Image, Snapshot

__all__ = ["ServiceDefinition", "define", "ready_made"]

_WAITS = {"port": words.port, "http": words.http, "log": words.log, "exec": words.exec, "file": words.file}
# Those of a container besides its options.
_ABOUT_IMAGE = ("pull", "platform")


def _words(value: Any) -> tuple[str, ...] | None:
    return as_command(value)


def _texts(value: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(text) for name, text in (value or {}).items()}


def _ports(value: int | str | Iterable[int | str] | None) -> tuple[int | str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int | str) else tuple(value)


@attrs.frozen(kw_only=True)
class ServiceDefinition:
    """How a service is started, when it is ready, and how it is reached.

    Texts of *env*, *late_env*, *command*, *url* and of the waits may name *values* in braces.

    Args:
        name: What it is called in messages.
        image: The image, or its name; or a snapshot of a container.
        port: The port inside that its URL is about; None when it has none.
        ports: Further ports inside to publish.
        values: Such as user and password.
        env: Environment of the container.
        late_env: As *env*, for what names ``{host}``, ``{port}`` or ``{name}``, which are known only when
            the container has been started; the image needs a shell, and *command* must be given.
        command, entrypoint: Instead of the image's.
        url: Also names ``{host}`` and ``{port}``; values are quoted in it.
        wait: When it is ready: what `Container.wait_for` takes, or tables as in ``services.toml``.
        timeout: Seconds that it may take until then.
        reuse: Leave it running after the tests, and take it again when nothing of its definition changed.
        options: Of its container: see :class:`ContainerOptions`.
    """

    name: str
    image: str | Image | Snapshot
    port: int | None = None
    ports: tuple[int | str, ...] = attrs.field(default=(), converter=_ports)
    values: Mapping[str, str] = attrs.field(factory=dict, converter=_texts)
    env: Mapping[str, str] = attrs.field(factory=dict, converter=_texts)
    late_env: Mapping[str, str] = attrs.field(factory=dict, converter=_texts)
    command: tuple[str, ...] | None = attrs.field(default=None, converter=_words)
    entrypoint: tuple[str, ...] | None = attrs.field(default=None, converter=_words)
    url: str = "http://{host}:{port}"
    wait: Any = None
    timeout: float = 60.0
    reuse: bool = False
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.late_env and self.command is None:
            raise InvalidInput(
                f"service {self.name}: late_env needs the command that it is for: give command"
            )

    def changed(self, wishes: Mapping[str, Any]) -> ServiceDefinition:
        """This definition with *wishes* over it: fields, values by their names, and options of the container.

        ``env``, ``values`` and ``late_env`` are added to, all else is replaced.

        Raises:
            UnknownOption: There is no such field, value or option; has the nearest.
        """
        fields: dict[str, Any] = {}
        options, values = dict(self.options), dict(self.values)
        for name, value in wishes.items():
            if name in ("env", "values", "late_env"):
                fields[name] = {**getattr(self, name), **_texts(value)}
            elif name in _FIELDS:
                fields[name] = value
            elif name in self.values:
                values[name] = str(value)
            elif name in _OPTIONS:
                options[name] = value
            else:
                known = [*_FIELDS, *self.values, *_OPTIONS]
                raise UnknownOption(name, f"service {self.name}", nearest(name, known, {}))
        fields.setdefault("values", values)
        return attrs.evolve(self, **fields, options=options)

    @property
    def published(self) -> tuple[int | str, ...]:
        """All ports that are published."""
        return (*(() if self.port is None else (self.port,)), *self.ports)

    def strategy(self) -> Strategy | None:
        """When it is ready: what was said, else when its port is listened on."""
        wait = self.port if self.wait is None else self.wait
        if wait is None:
            return None
        if isinstance(wait, list | tuple):
            return AllOf(tuple(self._step(one) for one in wait))
        return self._step(wait)

    def _step(self, step: Any) -> Strategy:
        if not isinstance(step, Mapping):
            return as_strategy(step)
        table = {name: self._filled(value) for name, value in step.items()}
        for word, function in _WAITS.items():
            if word in table and (word != "port" or not _WAITS.keys() & (table.keys() - {"port"})):
                make: Any = function
                return make(table.pop(word), **table)  # type: ignore[no-any-return]
        raise InvalidInput(f"service {self.name} waits for {step!r}: give one of {', '.join(_WAITS)}")

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        return self.fill(value) if isinstance(value, str) else value

    def fill(self, text: str, **more: object) -> str:
        """*text* with the values in place of their names in braces."""
        return _fill(text, {**self.values, **{name: str(value) for name, value in more.items()}})

    def fill_url(self, host: str, port: int, **values: object) -> str:
        """The URL for a place, with other *values* than its own."""
        known = {**self.values, **{name: str(value) for name, value in values.items()}}
        quoted = {name: quote(text, safe="") for name, text in known.items()}
        return _fill(self.url, {**quoted, "host": f"[{host}]" if ":" in host else host, "port": str(port)})


_FIELDS = tuple(field.name for field in attrs.fields(ServiceDefinition) if field.name != "options")
_OPTIONS = (*(field.name for field in attrs.fields(ContainerOptions)), *_ABOUT_IMAGE)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Only whole names are replaced: braces of JSON, or of a shell, stay as they are."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


@functools.cache
def _tables() -> dict[str, Any]:
    import tomllib

    path = os.path.join(os.path.dirname(__file__), "services.toml")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise CorruptData(f"the services of this installation cannot be read: {path}: {error}") from None


def ready_made() -> dict[str, ServiceDefinition]:
    """The services that are known, by their names."""
    return {name: ServiceDefinition(name=name, **table) for name, table in _tables().items()}


def _name_of(image: Image | Snapshot) -> str:
    names = getattr(image, "names", ())
    return str(next(iter(names), getattr(image, "name", "") or "service"))


def define(
    service: str | Image | Snapshot | ServiceDefinition, wishes: Mapping[str, Any]
) -> ServiceDefinition:
    """The definition of a service.

    Args:
        service: The name of a ready-made one, perhaps with a tag of its image (``postgres:16``); any other
            image; or a definition.
        wishes: What is to be other: see `ServiceDefinition.changed`.

    Raises:
        UnknownOption: As there.
    """
    if isinstance(service, ServiceDefinition):
        return service.changed(wishes)
    if not isinstance(service, str):
        return ServiceDefinition(name=_name_of(service), image=service).changed(wishes)
    name, _, tag = service.partition(":")
    table = _tables().get(name)
    if table is None:
        return ServiceDefinition(name=service, image=service).changed(wishes)
    known = ServiceDefinition(name=name, **table)
    if tag:
        known = attrs.evolve(known, image=f"{str(known.image).rpartition(':')[0] or known.image}:{tag}")
    return known.changed(wishes)
