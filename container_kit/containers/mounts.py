"""What is mounted into a container besides its root: host directories, files and memory file systems.

Values only: sources are opened, and targets resolved inside the root, when the container starts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Mount"]

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def _words(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@attrs.frozen(kw_only=True)
class Mount:
    """One mount in a container.

    Args:
        target: Absolute path inside the container; made when it is missing.
        source: Absolute path on the host for a bind mount; must exist. Empty for ``tmpfs``.
        type: ``bind`` (a host directory or file) or ``tmpfs`` (memory, gone with the container).
        read_only: Refuse writes through this mount; for binds also below mounts of the source.
        propagation: Whether later mounts on the host show up inside; ``rprivate`` means never.
        options: Further mount options, such as ``("size=64m", "mode=1777", "noexec")``.

    Raises:
        InvalidInput: A path is relative or has a NUL; names it.
    """

    target: str
    source: str = ""
    type: Literal["bind", "tmpfs"] = "bind"
    read_only: bool = False
    propagation: str = attrs.field(default="rprivate")
    options: tuple[str, ...] = attrs.field(default=(), converter=_words)

    def __attrs_post_init__(self) -> None:
        _check_path("mount target", self.target)
        if self.type == "bind":
            _check_path("mount source", self.source)
        elif self.type != "tmpfs":
            raise InvalidInput(f"mount type {self.type!r} is not known: use 'bind' or 'tmpfs'")
        if self.propagation not in _PROPAGATION:
            raise InvalidInput(f"mount propagation {self.propagation!r} is none of {', '.join(_PROPAGATION)}")
        if posixpath.normpath(self.target) == "/":
            raise InvalidInput("the mount target '/' would hide the image: mount below it")

    @classmethod
    def bind(cls, source: str, target: str, *, read_only: bool = False) -> Mount:
        """A directory or file of the host, seen at *target*."""
        return cls(target=target, source=source, read_only=read_only)

    @classmethod
    def tmpfs(cls, target: str, *, size: str = "", mode: str = "") -> Mount:
        """A file system in memory at *target*; *size* such as ``64m``, *mode* octal such as ``1777``."""
        sized = [f"{key}={value}" for key, value in (("size", size), ("mode", mode)) if value]
        return cls(target=target, type="tmpfs", options=tuple(sized))

    @classmethod
    def parse(cls, text: str) -> Mount:
        """The mount that ``SOURCE:TARGET[:OPTION,…]`` means, as after ``docker run -v``.

        Raises:
            InvalidInput: There is no target, or a path is relative.
        """
        source, _, rest = text.partition(":")
        target, _, words = rest.partition(":")
        if not target:
            raise InvalidInput(f"mount {text!r} has no target: write SOURCE:TARGET or SOURCE:TARGET:ro")
        options = [word for word in words.split(",") if word]
        spread = [word for word in options if word in _PROPAGATION]
        others = tuple(word for word in options if word not in ("ro", "rw", "z", "Z", *_PROPAGATION))
        return cls(
            target=target,
            source=source,
            read_only="ro" in options,
            propagation=spread[-1] if spread else "rprivate",
            options=others,
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Mount:
        """The inverse of :func:`attrs.asdict`."""
        return cls(**{**document, "options": tuple(document.get("options", ()))})


def _check_path(what: str, path: str) -> None:
    if not path.startswith("/"):
        raise InvalidInput(f"{what} {path!r} is not an absolute path")
    if "\0" in path:
        raise InvalidInput(f"{what} {path!r} has a NUL character")
