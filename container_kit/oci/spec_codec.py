"""Between runtime configuration values and JSON: driven by the fields' own types.

Kept out of `runtime_spec` so that a program that never reads a ``config.json`` does not pay for it.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs

from container_kit.errors import InvalidInput, LimitExceeded
from container_kit.oci import runtime_spec
from container_kit.oci.runtime_spec import Range, Spec

__all__ = ["decode_process", "decode_spec", "encode"]

MAX_DOCUMENT_BYTES = 16 << 20
_REQUIRED_VERSION = "1."

Decoder = Callable[[Any, str], Any]


def decode_spec(document: bytes | str | Mapping[str, Any]) -> Spec:
    """The `Spec` in *document*; errors as in `Spec.parse`."""
    values = document if isinstance(document, Mapping) else _load(document)
    spec: Spec = _decoder(Spec)(values, "")
    if not isinstance(values.get("ociVersion"), str) or not spec.oci_version.startswith(_REQUIRED_VERSION):
        raise InvalidInput(f"ociVersion is {values.get('ociVersion')!r}: this runtime reads versions 1.x")
    return spec


def decode_process(document: bytes | str | Mapping[str, Any]) -> runtime_spec.Process:
    """The `Process` in *document*, such as the file of ``exec --process``."""
    values = document if isinstance(document, Mapping) else _load(document)
    process: runtime_spec.Process = _decoder(runtime_spec.Process)(values, "process")
    return process


def encode(value: Any) -> Any:
    """*value* as JSON-ready data, without the fields that have their default."""
    if attrs.has(type(value)):
        return {
            _json_key(field): encode(item)
            for field in attrs.fields(type(value))
            if (item := getattr(value, field.name)) != _default(field)
        }
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def _load(document: bytes | str) -> Any:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise LimitExceeded(f"configuration of {len(document)} bytes: at most {MAX_DOCUMENT_BYTES} are read")
    try:
        return json.loads(document, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"configuration is not JSON: {error}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"key {twice!r} stands twice in one object of the configuration")
    return values


def _default(field: Any) -> Any:
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return field.default.factory()
    return field.default


def _json_key(field: Any) -> str:
    if "key" in field.metadata:
        return str(field.metadata["key"])
    first, *rest = field.name.split("_")
    return str(first) + "".join(word.capitalize() for word in rest)


@functools.cache
def _decoder(kind: Any) -> Decoder:
    """A function that turns JSON data into *kind* and names the place of what is wrong."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _integer(kind.__metadata__[0])
    if origin in (Union, types.UnionType):
        return _decoder(next(part for part in get_args(kind) if part is not type(None)))
    if origin is tuple:
        return _array(_decoder(get_args(kind)[0]))
    if origin is not None:
        return _mapping(_decoder(get_args(kind)[1]))
    if attrs.has(kind):
        return _object(kind)
    return _scalar(kind)


def _object(kind: Any) -> Decoder:
    hints = get_type_hints(kind, vars(runtime_spec), include_extras=True)
    decoders = [
        (field.name, _json_key(field), _decoder(hints[field.name]), field.default is attrs.NOTHING)
        for field in attrs.fields(kind)
    ]

    def decode(data: Any, where: str) -> Any:
        if not isinstance(data, Mapping):
            raise _wrong(where or "configuration", "an object", data)
        values = {}
        for name, key, decoder, required in decoders:
            place = f"{where}.{key}" if where else key
            if data.get(key) is not None:
                values[name] = decoder(data[key], place)
            elif required:
                raise InvalidInput(f"{place} is missing from the configuration")
        return kind(**values)

    return decode


def _array(element: Decoder) -> Decoder:
    def decode(data: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise _wrong(where, "an array", data)
        return tuple(element(item, f"{where}[{index}]") for index, item in enumerate(data))

    return decode


def _mapping(element: Decoder) -> Decoder:
    def decode(data: Any, where: str) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise _wrong(where, "an object", data)
        return {key: element(item, f"{where}.{key}") for key, item in data.items()}

    return decode


def _integer(limits: Range) -> Decoder:
    def decode(data: Any, where: str) -> int:
        if type(data) is not int:
            raise _wrong(where, "an integer", data)
        number = int(data)
        if not limits.low <= number <= limits.high:
            raise InvalidInput(f"{where} is {number}: it must be {limits.low} to {limits.high}")
        return number

    return decode


def _scalar(kind: type) -> Decoder:
    def decode(data: Any, where: str) -> Any:
        if type(data) is not kind:
            raise _wrong(where, "a string" if kind is str else "true or false", data)
        if "\0" in str(data):
            raise InvalidInput(f"{where} has a NUL character, which no kernel string can hold")
        return data

    return decode


def _wrong(where: str, wanted: str, data: Any) -> InvalidInput:
    return InvalidInput(f"{where} must be {wanted}, not {type(data).__name__}")
