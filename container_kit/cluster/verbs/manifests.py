"""Objects from what users have: a path, a folder, text, a dict, an object of a client library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from container_kit.errors import InvalidInput, NotFound

__all__ = ["SUFFIXES", "Manifest", "objects_of"]

Object = dict[str, Any]
Manifest = Any
SUFFIXES = (".yaml", ".yml", ".json")
# Documents of one stream are apart before they are read: a broken one is named, not the whole.
_TAB = re.compile(rb"^ *\t", re.MULTILINE)
_SEPARATOR = re.compile(rb"^---(?:[ \t].*)?$", re.MULTILINE)


def objects_of(what: Manifest) -> list[Object]:
    """The objects in *what*, with those of lists one by one.

    Args:
        what: The path of a file or folder, the text of YAML or JSON documents, a mapping, an object that has
            ``to_dict`` or ``model_dump``, or several of these.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It holds no objects, or one without a name.
    """
    found = list(_objects(what))
    if not found:
        raise InvalidInput(f"{what!r} holds no objects" if isinstance(what, str) else "there are no objects")
    return found


def _objects(what: Manifest) -> Iterator[Object]:
    if isinstance(what, Mapping):
        yield from _flat(dict(what), "the mapping")
    elif isinstance(what, str | os.PathLike):
        yield from _of_words(os.fspath(what))
    elif hasattr(what, "to_dict") or hasattr(what, "model_dump"):
        yield from _flat(_typed(what), type(what).__name__)
    elif isinstance(what, Iterable):
        for one in what:
            yield from _objects(one)
    else:
        raise InvalidInput(
            f"{type(what).__name__} is no manifest: give a path, text, a dict or a typed object"
        )


def _of_words(words: str) -> Iterator[Object]:
    if "\n" in words or words.lstrip().startswith("{"):
        yield from _documents(words.encode(), "the text")
    elif os.path.isdir(words):
        for entry in sorted(os.scandir(words), key=lambda entry: entry.name):
            if entry.is_file() and entry.name.endswith(SUFFIXES):
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

    line = 0
    for text in _SEPARATOR.split(data):
        if text.strip():
            try:  # behind as many lines as come before it, so that errors name those of the whole
                document, _ = decode_body(b"\n" * line + text, "application/yaml")
            except InvalidInput as error:
                hint = "; indent with spaces, as YAML takes no tabs" if _TAB.search(text) else ""
                raise InvalidInput(f"{origin} cannot be read: {error}{hint}") from error
            if document is not None:
                yield from _flat(document, origin)
        line += text.count(b"\n")


def _flat(document: Any, origin: str) -> Iterator[Object]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise InvalidInput(f"{origin} has a document that is no object: it needs apiVersion and kind")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _flat(item, origin)
    else:
        meta = document.get("metadata") or {}
        if not isinstance(meta, Mapping) or not (meta.get("name") or meta.get("generateName")):
            raise InvalidInput(f"{origin} has a {document['kind']} without a name: give it metadata.name")
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
