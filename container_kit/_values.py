"""Value classes whose methods are written when they are needed.

attrs writes the source of ``__init__``, ``__eq__`` and so on and compiles it while a class is made: 0.3 ms
each time, which a program pays for every class of every module that it imports, and was a third of the time
of a short command.  Many of these classes are never used by that program, and hardly any is compared.

`frozen` means what `attrs.frozen` means, but for slots.  It is for the many small words of a specification; a
class that users make themselves is better with plain attrs, which tells `help` its signature at once.

What was not finished, as a signal handler may raise anywhere, is done again from the start; two threads that
do the same at once do it alike.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(cls: type | None = None, /, *, kw_only: bool = False) -> Any:
        """As `attrs.frozen`, without slots."""
        if cls is None:
            return partial(frozen, kw_only=kw_only)
        _Draft(cls, kw_only).install()
        return cls


__all__ = ["frozen"]

# Made by the interpreter for each class.
_OF_A_CLASS = frozenset(("__dict__", "__weakref__"))
_COMPARING = ("__eq__", "__ne__", "__hash__", "__repr__")


class _Draft:
    """A class as it was written, from which the finished methods are made: for instances, and to compare."""

    def __init__(self, cls: type, kw_only: bool) -> None:
        self.cls, self._kw_only = cls, kw_only
        self._body = {name: value for name, value in vars(cls).items() if name not in _OF_A_CLASS}

    def install(self) -> None:
        """Put in place what finishes the class at its first use."""
        for name in self._body.get("__annotations__", ()):
            if name in self._body:
                delattr(self.cls, name)  # the default of a field, which is no attribute of the class
        self._set("__init__", _first_instance(self))
        self._set("__attrs_attrs__", _Fields(self))
        for name in _COMPARING:
            if name not in self._body:
                self._set(name, _first_call(self, name))

    def finish_instances(self) -> None:
        """Give the class what its instances need; ``__init__``, which brings us here, at the very end."""
        found = self._made(eq=False, repr=False)
        init = found.pop("__init__")
        for name, value in found.items():
            self._set(name, value)
        self._set("__init__", init)

    def finish_comparing(self) -> None:
        """Give the class the rest."""
        found = self._made(eq=True, repr=True)
        for name in _COMPARING:
            if name in found:
                self._set(name, found[name])

    def _made(self, **what: bool) -> dict[str, Any]:
        """What attrs adds to a copy of the class."""
        import attrs

        copy = type(self.cls)(self.cls.__name__, self.cls.__bases__, dict(self._body))
        made: type = attrs.frozen(slots=False, kw_only=self._kw_only, **what)(copy)  # type: ignore[call-overload]
        return {
            name: value
            for name, value in vars(made).items()
            if name not in _OF_A_CLASS and self._body.get(name, self) is not value
        }

    def _set(self, name: str, value: Any) -> None:
        type.__setattr__(self.cls, name, value)


class _Fields:
    """Stands for ``__attrs_attrs__``, by which attrs knows its classes, until the class is finished."""

    def __init__(self, draft: _Draft) -> None:
        self._draft = draft

    def __get__(self, instance: object, owner: type) -> Any:
        self._draft.finish_instances()
        return self._draft.cls.__attrs_attrs__  # type: ignore[attr-defined]


def _first_instance(draft: _Draft) -> Any:
    def initialise(self: Any, *arguments: Any, **keywords: Any) -> None:
        draft.finish_instances()
        draft.cls.__init__(self, *arguments, **keywords)  # type: ignore[misc]

    return initialise


def _first_call(draft: _Draft, name: str) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        draft.finish_comparing()
        return getattr(draft.cls, name)(self, *arguments)

    return method
