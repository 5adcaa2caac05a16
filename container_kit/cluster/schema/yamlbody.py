"""YAML bodies, read as the API server reads them: YAML 1.1 into what JSON can say.

PyYAML's resolver is close to Go's, not equal: Go takes ``y`` for true, knows floats without a point, and
leaves dates as text.  Aliases are counted out before anything is copied, so a few lines cannot become
gigabytes when they are written as JSON.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["decode_yaml"]

_MOST_NODES = 200_000
_DEEPEST = 1000
_OPENERS = (b"[", b"{", b"- ", b"? ")
_NOT_AS_IN_GO = (":timestamp", ":bool", ":float", ":value")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Go's idea of YAML 1.1, and a list of the keys that came twice."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

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


def _construct_float(loader: Any, node: Any) -> int | float:
    """Go writes a float without a fraction as an integer."""
    value = float(yaml.SafeLoader.construct_yaml_float(loader, node))
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


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
_Loader.bool_values = {**_Base.bool_values, "y": True, "n": False}
_Loader.add_constructor("tag:yaml.org,2002:merge", yaml.SafeLoader.construct_scalar)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def decode_yaml(data: bytes, error_type: type[Exception]) -> tuple[Any, list[str]]:
    """The first document in *data*, and what the original says of each key that came twice.

    Raises:
        error_type: It is no YAML, has nothing that JSON can say, or its aliases multiply too far.
    """
    loader = _Loader(data)
    try:
        _refuse_deep(data, error_type)
        node = loader.get_node() if loader.check_node() else None
        if node is None:
            return None, []
        _count_aliases(node, error_type)
        return loader.construct_document(node), loader.duplicates
    except yaml.YAMLError as error:
        raise error_type(_go_message(error)) from error
    except RecursionError as error:
        raise error_type("yaml: exceeded max depth") from error
    finally:
        loader.dispose()


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
