"""Macros: the parts of the language that bind names, ``list.all(x, x > 0)`` and its like.

Each gets the compiler, the tree of what it goes over, its arguments, and the names that are bound already.
Each turn pays for the steps that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from container_kit.cluster.schema.cel.meter import Meter, TooCostly
from container_kit.cluster.schema.cel.parsing import CelError, Tree
from container_kit.cluster.schema.cel.values import NOTHING, Optional, no_overload

__all__ = ["MACROS", "has"]

Scope = dict[str, Any]
Step = Callable[[Scope], Any]
Bound = frozenset[str]


class Compiler(Protocol):
    """What macros need to make steps of their arguments."""

    def step(self, tree: Tree, bound: Bound) -> Step: ...
    def measured(self, tree: Tree, bound: Bound) -> tuple[Step, int]: ...


Macro = Callable[[Compiler, Tree, tuple[Tree, ...], Bound], Step]


def has(source: Step, *names: str) -> Step:
    """Whether there is a field."""

    def look(scope: Scope) -> bool:
        value = source(scope)
        if type(value) is Optional:
            value = value.get() if value.is_there else {}
        if type(value) is not dict:
            raise no_overload("has", value)
        return any(name in value for name in names)

    return look


class _Loop:
    """Goes over a list or the keys of a map, with its items under names.

    Args:
        at_most: How many expressions there may be after the names.
    """

    def __init__(
        self, compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound, at_most: int = 1
    ) -> None:
        self._source = compiler.step(target, bound)
        self.names = [part[1] for part in arguments[: 2 if len(arguments) > 1 + at_most else 1]]
        bodies = arguments[len(self.names) :]
        if not 1 <= len(bodies) <= at_most or any(part[0] != "name" for part in arguments[: len(self.names)]):
            raise CelError("ERROR: <input>:1:1: argument must be a simple name")
        made = [compiler.measured(body, bound | set(self.names)) for body in bodies]
        self.bodies = [step for step, _ in made]
        self._cost = 1 + sum(size for _, size in made)

    def turns(self, scope: Scope) -> Iterator[tuple[Scope, Any]]:
        """The scope of each turn, and what the last name stands for in it."""
        value = self._source(scope)
        if type(value) is not list and type(value) is not dict:
            raise no_overload("comprehension", value)
        inner, meter = dict(scope), scope[""]
        assert isinstance(meter, Meter)
        *first, last = self.names
        keyed: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in keyed if first else ((None, each) for each in value):
            meter.spend(self._cost)
            for name in first:
                inner[name] = key
            inner[last] = item
            yield inner, item


def _is_true(value: Any) -> bool:
    if value is not True and value is not False:
        raise no_overload("@truth", value)
    return bool(value)


def _decided(deciding: bool) -> Macro:
    """``exists`` and ``all``: one turn that decides is enough, even if others fail."""

    def macro(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
        loop = _Loop(compiler, target, arguments, bound)
        body = loop.bodies[0]

        def judge(scope: Scope) -> bool:
            failure: CelError | None = None
            for inner, _ in loop.turns(scope):
                try:
                    if _is_true(body(inner)) is deciding:
                        return deciding
                except TooCostly:
                    raise
                except CelError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return not deciding

        return judge

    return macro


def _exists_one(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    loop = _Loop(compiler, target, arguments, bound)
    return lambda scope: sum(_is_true(loop.bodies[0](inner)) for inner, _ in loop.turns(scope)) == 1


def _filter(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    loop = _Loop(compiler, target, arguments, bound)
    return lambda scope: [item for inner, item in loop.turns(scope) if _is_true(loop.bodies[0](inner))]


def _map(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    return _listed(_Loop(compiler, target, arguments, bound, at_most=2))


def _transform_list(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    return _listed(_over_both(compiler, target, arguments, bound))


def _over_both(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> _Loop:
    if len(arguments) == 3:  # without a condition all are taken
        arguments = (*arguments[:2], ("literal", True), arguments[2])
    return _Loop(compiler, target, arguments, bound, at_most=2)


def _listed(loop: _Loop) -> Step:
    *conditions, made = loop.bodies

    def build(scope: Scope) -> list[Any]:
        return [
            made(inner)
            for inner, _ in loop.turns(scope)
            if all(_is_true(condition(inner)) for condition in conditions)
        ]

    return build


def _transform_map(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    loop = _over_both(compiler, target, arguments, bound)
    condition, made = loop.bodies
    key = loop.names[0]

    def build(scope: Scope) -> dict[Any, Any]:
        return {inner[key]: made(inner) for inner, _ in loop.turns(scope) if _is_true(condition(inner))}

    return build


def _bind(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
    """``cel.bind(name, value, expression)``."""
    if len(arguments) != 3 or arguments[0][0] != "name":
        raise CelError("ERROR: <input>:1:1: cel.bind() variable name must be a simple identifier")
    name = arguments[0][1]
    value, body = compiler.step(arguments[1], bound), compiler.step(arguments[2], bound | {name})
    return lambda scope: body({**scope, name: value(scope)})


def _opt_map(is_flat: bool) -> Macro:
    """``optional.optMap(name, expression)``."""

    def macro(compiler: Compiler, target: Tree, arguments: tuple[Tree, ...], bound: Bound) -> Step:
        if len(arguments) != 2:
            raise CelError("ERROR: <input>:1:1: optMap() variable name must be a simple identifier")
        name = arguments[0][1]
        source, body = compiler.step(target, bound), compiler.step(arguments[1], bound | {name})

        def build(scope: Scope) -> Any:
            value = source(scope)
            if type(value) is not Optional:
                raise no_overload("optMap", value)
            if not value.is_there:
                return NOTHING
            found = body({**scope, name: value.get()})
            return found if is_flat else Optional(found)

        return build

    return macro


MACROS: dict[str, Macro] = {
    "all": _decided(False),
    "exists": _decided(True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "filter": _filter,
    "map": _map,
    "transformList": _transform_list,
    "transformMap": _transform_map,
    "bind": _bind,
    "optMap": _opt_map(is_flat=False),
    "optFlatMap": _opt_map(is_flat=True),
}
