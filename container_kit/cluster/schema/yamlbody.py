"""YAML bodies, read as the API server reads them: YAML 1.1 into what JSON can say.

PyYAML's resolver is close to Go's, not equal: Go takes ``y`` for true, knows floats without a point, and
leaves dates as text.  Aliases are counted out before anything is copied, so a few lines cannot become
gigabytes when they are written as JSON.
"""

from __future__ import annotations

import codecs
import math
import re
from typing import Any

import yaml

__all__ = ["decode_yaml"]

_MOST_NODES = 200_000
_DEEPEST = 1000
_OPENERS = (b"[", b"{", b"- ", b"? ")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_NUMBER = 400  # characters: no number of 64 bits, integer or float, needs as many
_NOT_AS_IN_GO = (":timestamp", ":bool", ":float", ":int", ":value")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Go's idea of YAML 1.1, and a list of the keys that came twice."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []
        self._nodes = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that names none; counted here, so that composing ends when there are too many."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise yaml.YAMLError("document contains excessive aliasing")
        return super().resolve(kind, value, implicit)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A map with text as keys, as JSON wants them."""
        self.flatten_mapping(node)
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _as_key(self.construct_object(key_node, deep=True))
            if key in made:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            made[key] = self.construct_object(value_node, deep=True)
        return made


def _as_key(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _construct_int(loader: Any, node: Any) -> int | float | str:
    """Go knows integers of 64 bits; larger ones are floats to it, or text when they are too large."""
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_NUMBER:
        return str(text)
    value = int(yaml.SafeLoader.construct_yaml_int(loader, node))
    return value if -(1 << 63) <= value < 1 << 64 else _construct_float(loader, node)


def _construct_float(loader: Any, node: Any) -> int | float | str:
    """Go writes a float without a fraction as an integer, and leaves one without an end as text."""
    text = loader.construct_scalar(node)
    value = math.inf if len(text) > _LONGEST_NUMBER else float(text.replace("_", ""))
    if not math.isfinite(value):
        return str(text)
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _construct_binary(loader: Any, node: Any) -> str:
    """The text that is written in base64."""
    return bytes(yaml.SafeLoader.construct_yaml_binary(loader, node)).decode()


def _construct_text(loader: Any, node: Any) -> str:
    return str(loader.construct_scalar(node))


def _construct_list(loader: Any, node: Any) -> list[Any]:
    return list(loader.construct_sequence(node, deep=True))


def _construct_map(loader: Any, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node)  # type: ignore[no-any-return]


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith(_NOT_AS_IN_GO)]
    for first, rules in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$"),
    list("yYnNtTfFoO"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.bool_values = {**_Base.bool_values, "y": True, "n": False}
_Loader.add_constructor("tag:yaml.org,2002:merge", yaml.SafeLoader.construct_scalar)
for _tags, _constructor in {
    ("map", "set"): _construct_map,
    ("seq", "omap", "pairs"): _construct_list,
    ("timestamp",): _construct_text,
    ("binary",): _construct_binary,
    ("int",): _construct_int,
    ("float",): _construct_float,
}.items():
    for _tag in _tags:
        _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _constructor)


def decode_yaml(data: bytes, error_type: type[Exception]) -> tuple[Any, list[str]]:
    """The first document in *data*, and what the original says of each key that came twice.

    Raises:
        error_type: It is no YAML, has nothing that JSON can say, or its aliases multiply too far.
    """
    loader = None
    try:
        data = _narrow(data)
        _refuse_deep(data, error_type)
        loader = _Loader(data)
        node = loader.get_node() if loader.check_node() else None
        if node is None:
            return None, []
        _count_aliases(node, error_type)
        return loader.construct_document(node), loader.duplicates
    except yaml.YAMLError as error:
        raise error_type(_go_message(error)) from error
    except RecursionError as error:
        raise error_type("yaml: exceeded max depth") from error
    except error_type:
        raise
    except (ValueError, LookupError) as error:
        raise error_type(f"yaml: a value is not what its tag says: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _narrow(data: bytes) -> bytes:
    """The same text in UTF-8, in which what is looked for in bytes is found."""
    return data.decode("utf-16").encode() if data.startswith(_WIDE) else data


def _refuse_deep(data: bytes, error_type: type[Exception]) -> None:
    """Refuse what is nested so deep that the composer, a recursion in C, would overrun its stack.

    The parser below it has no recursion, but is slow to ask: only what could be that deep is parsed for it.
    """
    if sum(map(data.count, _OPENERS)) < _DEEPEST // 2 and b" " * (_DEEPEST // 2) not in data:
        return
    depth = 0
    for event in yaml.parse(data, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise error_type(f"yaml: exceeded max depth of {_DEEPEST}")


def _count_aliases(root: Any, error_type: type[Exception]) -> None:
    """Refuse a document whose aliases stand for more than `_MOST_NODES` nodes, or for themselves."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        known = sizes.get(id(node))
        if known is not None:
            if known == 0:
                raise error_type("yaml: anchor contains itself")
            return known
        sizes[id(node)] = 0
        children = _children(node)
        total = sizes[id(node)] = 1 + sum(size(child) for child in children)
        if total > _MOST_NODES:
            raise error_type("yaml: document contains excessive aliasing")
        return total

    size(root)


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _go_message(error: Any) -> str:
    """A parser's complaint in the form of the original's: ``yaml: line 3: …``."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"
