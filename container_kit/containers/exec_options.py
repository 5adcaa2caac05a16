"""How a further command is executed in a container, as one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import attrs

from container_kit.containers.checking import nearest
from container_kit.errors import UnknownOption

__all__ = ["ExecArguments", "ExecOptions"]

_OTHER_WORDS = {
    "cwd": "working_dir",
    "workdir": "working_dir",
    "environment": "env",
    "username": "user",
    "uid": "user",
    "terminal": "tty",
}


class ExecArguments(TypedDict, total=False):
    """The keywords that describe an execution; meanings are in :class:`ExecOptions`."""

    env: Mapping[str, str] | Iterable[str] | None
    user: str | int
    working_dir: str
    tty: bool
    privileged: bool


def _given(
    value: Mapping[str, str] | Iterable[str] | None,
) -> Mapping[str, str] | Iterable[str]:
    return () if value is None else value


@attrs.frozen(kw_only=True)
class ExecOptions:
    """How a command is executed beside the program of a container.

    Args:
        env: Added to the container's, ``{"NAME": "value"}`` or ``["NAME=value"]``.
        user: ``user``, ``user:group``, names or numbers; empty means the container's.
        working_dir: Absolute; empty means the container's.
        tty: Give it a terminal.
        privileged: All capabilities that this process has, and no filter.
    """

    env: Mapping[str, str] | Iterable[str] = attrs.field(default=(), converter=_given)
    user: str = attrs.field(default="", converter=str)
    working_dir: str = ""
    tty: bool = False
    privileged: bool = False

    @classmethod
    def of(cls, wishes: Mapping[str, Any], function: str, others: Iterable[str]) -> ExecOptions:
        """The options that a caller gave to the method *function*, which has *others* of its own.

        Raises:
            UnknownOption: There is no such option; the message names the nearest.
        """
        known = [field.name for field in attrs.fields(cls)]
        for name in wishes:
            if name not in known:
                raise UnknownOption(name, function, nearest(name, [*others, *known], _OTHER_WORDS))
        return cls(**wishes)
