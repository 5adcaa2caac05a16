"""From the tree of an expression to nested functions, which are called each time that it is evaluated.

Each gets the scope: what names stand for, with the meter under a name that no expression can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from container_kit.cluster.schema.cel.library import FUNCTIONS, METERED, PATTERNS
from container_kit.cluster.schema.cel.macros import MACROS, has
from container_kit.cluster.schema.cel.meter import MOST_STEPS, Meter, TooCostly, weight
from container_kit.cluster.schema.cel.operators import OPERATORS, as_integer
from container_kit.cluster.schema.cel.parsing import CelError, Tree, located, parse
from container_kit.cluster.schema.cel.values import NOTHING, Kind, Optional, no_overload
from container_kit.cluster.schema.patterns import is_known

__all__ = ["Program", "compile_expression"]

Scope = dict[str, Any]
Step = Callable[[Scope], Any]

_KINDS = (
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
)
_LONG_KINDS = ("google.protobuf.Timestamp", "google.protobuf.Duration", "net.IP", "net.CIDR")
_ESCAPES = {"__dot__": ".", "__dash__": "-", "__slash__": "/", "__underscores__": "__"}
_STEPS_OF_A_PATTERN = 20_000  # to compile one may take 40 ms
_MISTAKES = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, IndexError, RecursionError)


class Program:
    """A compiled expression; may be evaluated by any thread.

    Args:
        text: The expression.

    Attributes:
        tree: See `container_kit.cluster.schema.cel.parsing`.
        names: The variables of which it speaks.

    Raises:
        CelError: It is none, or uses functions that there are not.
    """

    def __init__(self, text: str) -> None:
        self.text, self.tree = text, parse(text)
        self.names: set[str] = set()
        compiler = _Compiler(text, self.names)
        try:
            self._run = compiler.step(self.tree, frozenset())
        except RecursionError:
            raise CelError("the expression is nested too deeply") from None
        self._size = compiler.size

    def evaluate(self, variables: Mapping[str, Any], *, meter: Meter | None = None) -> Any:
        """The value of the expression, as plain JSON where JSON has it.

        Args:
            variables: What the names in it stand for.
            meter: What it may cost; `MOST_STEPS` if not given.

        Raises:
            CelError: It has no value: a field is missing, types do not fit, or it costs too much.
        """
        meter = meter or Meter(MOST_STEPS)
        meter.spend(self._size)
        try:
            return self._run({**variables, "": meter})
        except _MISTAKES as error:
            if isinstance(error, CelError):
                raise
            raise CelError(f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Program:
    """The compiled *text*, kept for the next time.

    Raises:
        CelError: It is no expression.
    """
    return Program(text)


class _Compiler:
    """Makes steps of trees, counts them, and notes the names that the expression itself does not bind."""

    def __init__(self, text: str, names: set[str]) -> None:
        self._text, self._names = text, names
        self.size = 0

    def step(self, tree: Tree, bound: frozenset[str]) -> Step:
        """What evaluates *tree*, where the expression has bound these names."""
        self.size += 1
        made: Step = getattr(self, f"_{tree[0]}")(tree, bound)
        return made

    def measured(self, tree: Tree, bound: frozenset[str]) -> tuple[Step, int]:
        """The step, and how many it is made of."""
        before = self.size
        return self.step(tree, bound), self.size - before

    def _literal(self, tree: Tree, bound: frozenset[str]) -> Step:
        value = tree[1]
        return lambda scope: value

    def _name(self, tree: Tree, bound: frozenset[str]) -> Step:
        name = tree[1]
        if name not in bound and name in _KINDS:
            return lambda scope: Kind(name)
        if name not in bound:
            self._names.add(name)

        def look_up(scope: Scope) -> Any:
            if name not in scope:
                raise CelError(f"no such attribute(s): {name}")
            return scope[name]

        return look_up

    def _field(self, tree: Tree, bound: frozenset[str]) -> Step:
        _, of, name, is_optional, _ = tree
        if dotted(tree) in _LONG_KINDS:
            return lambda scope: Kind(dotted(tree))
        source = self.step(of, bound)
        return _optional(source, lambda scope: name) if is_optional else _selection(source, name)

    def _item(self, tree: Tree, bound: frozenset[str]) -> Step:
        _, of, index, is_optional = tree
        source, place = self.step(of, bound), self.step(index, bound)
        if is_optional:
            return _optional(source, place)
        return lambda scope: _at(source(scope), place(scope))

    def _list(self, tree: Tree, bound: frozenset[str]) -> Step:
        steps = [self.step(item, bound) for item in tree[1:]]
        return lambda scope: [step(scope) for step in steps]

    def _map(self, tree: Tree, bound: frozenset[str]) -> Step:
        pairs = [(self.step(key, bound), self.step(value, bound), opt) for key, value, opt in tree[1:]]

        def build(scope: Scope) -> dict[Any, Any]:
            made = {}
            for key, value, is_optional in pairs:
                found = value(scope)
                if not is_optional:
                    made[key(scope)] = found
                elif found.is_there:
                    made[key(scope)] = found.get()
            return made

        return build

    def _and(self, tree: Tree, bound: frozenset[str]) -> Step:
        return self._decided(tree, bound, False)

    def _or(self, tree: Tree, bound: frozenset[str]) -> Step:
        return self._decided(tree, bound, True)

    def _decided(self, tree: Tree, bound: frozenset[str], deciding: bool) -> Step:
        """One part that has the deciding value is enough, even if another one fails."""
        steps = [self.step(part, bound) for part in tree[1:]]

        def judge(scope: Scope) -> bool:
            failure: CelError | None = None
            for step in steps:
                try:
                    if _truth(step(scope)) is deciding:
                        return deciding
                except TooCostly:
                    raise
                except CelError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return not deciding

        return judge

    def _if(self, tree: Tree, bound: frozenset[str]) -> Step:
        test, then, otherwise = (self.step(part, bound) for part in tree[1:])
        return lambda scope: then(scope) if _truth(test(scope)) else otherwise(scope)

    def _not(self, tree: Tree, bound: frozenset[str]) -> Step:
        step = self.step(tree[1], bound)
        return lambda scope: not _truth(step(scope))

    def _minus(self, tree: Tree, bound: frozenset[str]) -> Step:
        step = self.step(tree[1], bound)

        def negate(scope: Scope) -> Any:
            value = step(scope)
            if type(value) is int:
                return as_integer(-value)
            if type(value) is float:
                return -value
            raise no_overload("-_", value)

        return negate

    def _operator(self, tree: Tree, bound: frozenset[str]) -> Step:
        operate, left, right = OPERATORS[tree[1]], self.step(tree[2], bound), self.step(tree[3], bound)
        return lambda scope: operate(left(scope), right(scope), scope[""])

    def _call(self, tree: Tree, bound: frozenset[str]) -> Step:
        _, target, name, arguments, at = tree
        if target is None and name == "has" and len(arguments) == 1 and arguments[0][0] == "field":
            return has(self.step(arguments[0][1], bound), unescaped(arguments[0][2]), arguments[0][2])
        prefix = dotted(target) if target is not None else ""
        if f"{prefix}.{name}" == "cel.bind":
            return MACROS["bind"](self, target, arguments, bound)
        if target is not None and arguments and name in MACROS and arguments[0][0] == "name":
            return MACROS[name](self, target, arguments, bound)
        if prefix and f"{prefix}.{name}" in FUNCTIONS and prefix not in bound:
            return self._calling(f"{prefix}.{name}", arguments, bound, at)
        return self._calling(name, arguments if target is None else (target, *arguments), bound, at)

    def _calling(self, name: str, arguments: tuple[Tree, ...], bound: frozenset[str], at: int) -> Step:
        function = FUNCTIONS.get(name)
        if function is None:
            raise located(self._text, at, f"undeclared reference to '{name}' (in container '')")
        steps = [self.step(argument, bound) for argument in arguments]
        is_metered, has_pattern = name in METERED, name in PATTERNS

        def call(scope: Scope) -> Any:
            values = [step(scope) for step in steps]
            meter: Meter = scope[""]
            meter.spend(sum(map(weight, values)))
            if has_pattern and not is_known(str(values[1 if len(values) > 1 else 0])):
                meter.spend(_STEPS_OF_A_PATTERN)
            try:
                result = function(*values, meter=meter) if is_metered else function(*values)
            except CelError:
                raise
            except (TypeError, AttributeError):
                raise no_overload(name, *values) from None
            except _MISTAKES as error:
                raise CelError(str(error)) from None
            meter.spend(weight(result))
            return result

        return call


def dotted(tree: Tree) -> str:
    """``a.b.c`` when the tree is just that, or nothing."""
    if tree[0] == "name":
        return str(tree[1])
    if tree[0] != "field" or tree[3]:
        return ""
    start = dotted(tree[1])
    return f"{start}.{tree[2]}" if start else ""


def unescaped(name: str) -> str:
    """The field that is meant: ``my__dash__field`` is ``my-field``, ``__namespace__`` is a word."""
    if "__" not in name:
        return name
    for written, meant in _ESCAPES.items():
        name = name.replace(written, meant)
    return name[2:-2] if name.startswith("__") and name.endswith("__") and len(name) > 4 else name


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_overload("@truth", value)


def _selection(source: Step, name: str) -> Step:
    meant = unescaped(name)

    def select(scope: Scope) -> Any:
        value = source(scope)
        if type(value) is dict:
            if meant in value:
                return value[meant]
            if name in value:
                return value[name]
            raise CelError(f"no such key: {name}")
        if type(value) is Optional:
            return _maybe(value, name)
        raise CelError(f"no such key: {name}") if value is None else no_overload("select", value)

    return select


def _at(value: Any, place: Any) -> Any:
    if type(value) is Optional:
        return _maybe(value, place)
    if type(value) is list and type(place) in (int, float) and place == int(place):
        if 0 <= place < len(value):
            return value[int(place)]
        raise CelError(f"index out of bounds: {place}")
    if type(value) is dict and type(place) in (str, int, bool):
        if place in value:
            return value[place]
        raise CelError(f"no such key: {place}")
    raise no_overload("_[_]", value, place)


def _optional(source: Step, place: Step) -> Step:
    return lambda scope: _maybe(source(scope), place(scope))


def _maybe(value: Any, place: Any) -> Optional:
    if type(value) is Optional:
        if not value.is_there:
            return NOTHING
        value = value.get()
    try:
        return Optional(_at(value, unescaped(place) if type(place) is str else place))
    except TooCostly:
        raise
    except CelError:
        return NOTHING
