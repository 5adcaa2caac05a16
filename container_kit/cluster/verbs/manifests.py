"""Objects from what users have: a path, a folder, text, a dict, an object of a client library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from container_kit.errors import InvalidInput, NotFound

__all__ = ["Manifest", "objects_of"]

Object = dict[str, Any]
Manifest = Any
_SUFFIXES = (".yaml", ".yml", ".json")
# Documents of one stream are apart before they are read: a broken one is named, not the whole.
_SEPARATOR = re.compile(rb"^---(?:[ \t].*)?$", re.MULTILINE)


def objects_of(what: Manifest) -> Iterator[Object]:
    """The objects in *what*, with those of lists one by one.

    Args:
        what: The path of a file or folder, the text of YAML or JSON documents, a mapping, an object that has
            ``to_dict`` or ``model_dump``, or several of these.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It holds no objects.
    """
    if isinstance(what, Mapping):
        yield from _flat(dict(what), "the mapping")
    elif isinstance(what, str | os.PathLike):
        yield from _of_words(os.fspath(what))
    elif hasattr(what, "to_dict") or hasattr(what, "model_dump"):
        yield from _flat(_typed(what), type(what).__name__)
    elif isinstance(what, Iterable):
        for one in what:
            yield from objects_of(one)
    else:
        raise InvalidInput(
            f"{type(what).__name__} is no manifest: give a path, text, a dict or a typed object"
        )


def _of_words(words: str) -> Iterator[Object]:
    if "\n" in words or words.lstrip().startswith("{"):
        yield from _documents(words.encode(), "the text")
    elif os.path.isdir(words):
        for entry in sorted(os.scandir(words), key=lambda entry: entry.name):
            if entry.is_file() and entry.name.endswith(_SUFFIXES):
                yield from _of_words(entry.path)
    else:
        try:
            with open(words, "rb") as file:
                yield from _documents(file.read(), words)
        except FileNotFoundError as error:
            raise NotFound(
                "manifest", words, "give the path of a file or folder, or the text itself"
            ) from error


def _documents(data: bytes, origin: str) -> Iterator[Object]:
    from container_kit.cluster.schema.decode import decode_body

    for text in _SEPARATOR.split(data):
        if text.strip():
            try:
                document, _ = decode_body(text, "application/yaml")
            except InvalidInput as error:
                raise InvalidInput(f"{origin} cannot be read: {error}") from error
            if document is not None:
                yield from _flat(document, origin)


def _flat(document: Any, origin: str) -> Iterator[Object]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise InvalidInput(f"{origin} has a document that is no object: it needs apiVersion and kind")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _flat(item, origin)
    else:
        yield document


def _typed(value: Any) -> Object:
    """As JSON has it: without what is None, times as text."""
    made = value.to_dict() if hasattr(value, "to_dict") else value.model_dump(mode="json", by_alias=True)
    found: Object = msgspec.json.decode(msgspec.json.encode(_without_none(made)))
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
