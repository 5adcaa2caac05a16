"""What is mounted into a container besides its root: directories of the host, volumes, images and memory.

Values only: sources are opened, and targets resolved inside the root, when the container starts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from container_kit.errors import InvalidInput
from container_kit.volumes.record import check_volume_name

if TYPE_CHECKING:
    from container_kit.images import Image
    from container_kit.volumes import Volume

__all__ = ["Mount"]

Pairs: TypeAlias = tuple[tuple[str, str], ...]
MountType = Literal["bind", "volume", "tmpfs", "image"]

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_RECURSIVE = ("readonly", "writable", "disabled")
# Of SELinux and of file sharing with virtual machines: accepted, as there is nothing here that they change.
_NOTHING = ("rw", "z", "Z", "consistent", "cached", "delegated", "default", "copy", "rbind")
# What the kernel can be told of any mount.
_ATTRIBUTES = (
    "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "diratime", "nodiratime",
    "relatime", "norelatime", "strictatime", "nostrictatime", "symfollow", "nosymfollow",
)  # fmt: skip
_EMPTY = "a mount {0} cannot have {1}: only a mount of type {2} can"


def _words(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _pairs(value: Mapping[str, str] | Iterable[Iterable[str]]) -> Pairs:
    found = value.items() if isinstance(value, Mapping) else [tuple(pair) for pair in value]
    return tuple(sorted((str(key), str(text)) for key, text in found))


@attrs.frozen(kw_only=True)
class Mount:
    """One mount in a container.

    Args:
        target: Absolute path inside the container; made when it is missing.
        source: For ``bind`` an absolute path on the host, which must exist; for ``volume`` a name, made on
            first use, or nothing for an anonymous volume; for ``image`` its name. Empty for ``tmpfs``.
        type: ``bind`` (a host directory or file), ``volume`` (see :class:`Volume`), ``image`` (its files,
            always read-only) or ``tmpfs`` (memory, gone with the container).
        read_only: Refuse writes through this mount; for binds also below mounts of the source.
        propagation: Whether later mounts on the host show up inside; ``rprivate`` means never.
        options: Further mount options, such as ``("size=64m", "mode=1777", "noexec")``.
        subpath: What of the source is meant: a path in it. Links are followed, but never out of the source.
        copy: Fill a volume that has never been used with what the image has at the target, and take over its
            owner and mode.
        recursive: What of the mounts below a bind's source comes along: ``readonly`` all, read-only if this
            is; ``writable`` all as they are; ``disabled`` none.
        id_map: In a user namespace, show the owners as that namespace has them. None: volumes and images do,
            binds do not.
        driver, driver_options, labels: Of a volume that has to be made.

    Raises:
        InvalidInput: A path is relative or has a NUL, a name cannot be one, or a field is of another type's;
            names it.
    """

    target: str
    source: str = attrs.field(default="", converter=str)
    type: MountType = "bind"
    read_only: bool = False
    propagation: str = attrs.field(default="rprivate")
    options: tuple[str, ...] = attrs.field(default=(), converter=_words)
    subpath: str = ""
    copy: bool = True
    recursive: Literal["readonly", "writable", "disabled"] = "readonly"
    id_map: bool | None = None
    driver: str = ""
    driver_options: Pairs = attrs.field(default=(), converter=_pairs)
    labels: Pairs = attrs.field(default=(), converter=_pairs)

    def __attrs_post_init__(self) -> None:
        _check_path("mount target", self.target)
        self._check_source()
        if self.propagation not in _PROPAGATION:
            raise InvalidInput(f"mount propagation {self.propagation!r} is none of {', '.join(_PROPAGATION)}")
        if self.recursive not in _RECURSIVE:
            raise InvalidInput(f"mount recursive={self.recursive!r} is none of {', '.join(_RECURSIVE)}")
        if posixpath.normpath(self.target).strip("/") == "":
            raise InvalidInput("the mount target '/' would hide the image: mount below it")
        self._check_options()
        self._check_subpath()

    def _check_source(self) -> None:
        if self.type == "bind":
            _check_path("mount source", self.source)
        elif self.type == "volume":
            if self.source:
                check_volume_name(self.source)
        elif self.type == "image":
            if not self.source:
                raise InvalidInput(f"the image mount on {self.target!r} names no image: give its source")
        elif self.type != "tmpfs":
            raise InvalidInput(f"mount type {self.type!r} is not known: use bind, volume, tmpfs or image")

    def _check_options(self) -> None:
        if self.type != "volume" and (self.driver or self.driver_options or self.labels or not self.copy):
            what = "a driver, labels or nocopy"
            raise InvalidInput(_EMPTY.format(f"on {self.target!r}", what, "volume"))
        for word in self.options if self.type != "tmpfs" else ():
            if word not in _ATTRIBUTES:
                raise InvalidInput(f"option {word!r} of the mount on {self.target!r} is not known")

    def _check_subpath(self) -> None:
        if not self.subpath:
            return
        if self.type == "tmpfs":
            raise InvalidInput(_EMPTY.format(f"on {self.target!r}", "a subpath", "volume, image or bind"))
        parts = self.subpath.split("/")
        if self.subpath.startswith("/") or ".." in parts or "\0" in self.subpath:
            raise InvalidInput(f"subpath {self.subpath!r} is not a relative path without '..'")

    @classmethod
    def bind(cls, source: str, target: str, *, read_only: bool = False, subpath: str = "") -> Mount:
        """A directory or file of the host, seen at *target*."""
        return cls(target=target, source=source, read_only=read_only, subpath=subpath)

    @classmethod
    def volume(
        cls,
        source: str | Volume,
        target: str,
        *,
        read_only: bool = False,
        subpath: str = "",
        copy: bool = True,
    ) -> Mount:
        """The volume *source* at *target*; an empty name is a volume of this container alone."""
        return cls(
            target=target, source=source, type="volume", read_only=read_only, subpath=subpath, copy=copy
        )

    @classmethod
    def image(cls, source: str | Image, target: str, *, subpath: str = "") -> Mount:
        """The files of an image at *target*, read-only."""
        name = source if isinstance(source, str) else str(source.digest)
        return cls(target=target, source=name, type="image", read_only=True, subpath=subpath)

    @classmethod
    def tmpfs(cls, target: str, *, size: str = "", mode: str = "") -> Mount:
        """A file system in memory at *target*; *size* such as ``64m``, *mode* octal such as ``1777``."""
        sized = [f"{key}={value}" for key, value in (("size", size), ("mode", mode)) if value]
        return cls(target=target, type="tmpfs", options=tuple(sized))

    @classmethod
    def parse(cls, text: str) -> Mount:
        """The mount that ``[SOURCE:]TARGET[:OPTION,…]`` means, as after ``docker run -v``.

        A source that begins with ``/`` is a path of this host, another one the name of a volume; without one
        it is an anonymous volume.

        Raises:
            InvalidInput: There is no target, or an option is not known.
        """
        source, colon, rest = text.partition(":")
        if not colon:
            return cls(target=source, type="volume")
        target, _, words = rest.partition(":")
        if not target:
            raise InvalidInput(f"mount {text!r} has no target: write SOURCE:TARGET or SOURCE:TARGET:ro")
        found = _parse_words(text, [word for word in words.split(",") if word])
        kind: MountType = "bind" if source.startswith("/") else "volume"
        return cls(target=target, source=source, type=kind, **found)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Mount:
        """The inverse of :func:`attrs.asdict`."""
        return cls(**{**document, "options": tuple(document.get("options", ()))})

    @property
    def place(self) -> str:
        """The target without repeated or trailing slashes, to compare it."""
        return "/" + posixpath.normpath(self.target).lstrip("/")

    @property
    def is_anonymous(self) -> bool:
        """Whether it is a volume without a name."""
        return self.type == "volume" and not self.source


def _parse_words(text: str, words: list[str]) -> dict[str, Any]:
    """The fields that the words after the second colon mean."""
    found: dict[str, Any] = {}
    options = []
    for word in words:
        if word in _PROPAGATION:
            found["propagation"] = word
        elif word == "ro":
            found["read_only"] = True
        elif word == "nocopy":
            found["copy"] = False
        elif word == "idmap":
            found["id_map"] = True
        elif word == "bind":
            found["recursive"] = "disabled"
        elif word in _ATTRIBUTES:
            options.append(word)
        elif word not in _NOTHING:
            raise InvalidInput(f"mount {text!r} cannot be read: there is no option {word!r}")
    return {**found, "options": tuple(options)}


def _check_path(what: str, path: str) -> None:
    if not path.startswith("/"):
        raise InvalidInput(f"{what} {path!r} is not an absolute path")
    if "\0" in path:
        raise InvalidInput(f"{what} {path!r} has a NUL character")
