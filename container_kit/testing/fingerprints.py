"""A short digest of what the container of a service is made from, equal in every process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import ContainerKitError
from container_kit.images import Image, Snapshot
from container_kit.native.digests import Hasher
from container_kit.testing.definitions import ServiceDefinition

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = ["fingerprint"]

_DIGITS = 12
# These say nothing about the container.
_IRRELEVANT = ("wait", "timeout", "reuse", "url")


def fingerprint(definition: ServiceDefinition, engine: Engine) -> str:
    """Twelve digits; another image behind the same name gives others."""
    fields = {
        field.name: getattr(definition, field.name)
        for field in attrs.fields(ServiceDefinition)
        if field.name not in _IRRELEVANT
    }
    fields["image"] = _image(definition.image, engine)
    text = json.dumps(_plain(fields), sort_keys=True)
    return Hasher(text.encode()).hexdigest()[:_DIGITS]


def _image(image: Image | Snapshot | str, engine: Engine) -> str:
    if not isinstance(image, str):
        return str(image.digest)
    try:
        return str(Image.get(image, engine=engine).digest)
    except ContainerKitError:
        return image  # it is yet to be pulled


def _plain(value: Any) -> Any:
    """*value* in words that do not depend on where it lies in memory."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(str(one) for one in value)
    if attrs.has(type(value)):
        return [
            type(value).__qualname__,
            {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))},
        ]
    name = getattr(value, "id", None) or getattr(value, "__qualname__", None) or type(value).__qualname__
    return str(name)
