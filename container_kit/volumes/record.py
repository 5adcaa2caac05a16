"""What is written down about a volume, as ``volume.json`` keeps it, and what may be asked of a new one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from container_kit.errors import CorruptData, InvalidInput

if TYPE_CHECKING:
    Pairs: TypeAlias = tuple[tuple[str, str], ...]

__all__ = ["VolumeRecord", "VolumeRequest", "check_volume_name", "new_anonymous_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}\Z")


def check_volume_name(name: str) -> str:
    """*name* itself, when it can be a volume's name.

    Raises:
        InvalidInput: It is empty, too long or has other characters.
    """
    if not _NAME.match(name):
        raise InvalidInput(
            f"volume name {name!r} cannot be used: up to 255 letters, digits, '_', '.' and '-', beginning "
            "with a letter or a digit; to mount a path of this host, give it whole, such as /srv/data"
        )
    return name


def new_anonymous_name() -> str:
    """64 random hex digits."""
    return os.urandom(32).hex()


def _pairs(value: Mapping[str, Any] | Iterable[tuple[str, Any]] | None) -> Pairs:
    found = dict(value or {})
    for key, text in found.items():
        if not isinstance(key, str) or not key or "\0" in f"{key}{text}":
            raise InvalidInput(f"a volume cannot have {key!r}={text!r}: no empty name, and no NUL")
    return tuple(sorted((key, str(text)) for key, text in found.items()))


@attrs.frozen(kw_only=True)
class VolumeRequest:
    """What a new volume is to be.

    Args:
        name: None makes one up: the volume is then *anonymous*.
        driver: ``local``, or the name of an installed driver; empty is ``local``, or that of the volume which
            there is.
        options: For the driver; see :class:`LocalDriver` for those of ``local``.
        labels: For people and programs.
        anonymous: Made for one container, and pruned like a file without a name; None means without a name.
    """

    name: str | None = None
    driver: str = "local"
    options: Pairs = attrs.field(default=(), converter=_pairs)
    labels: Pairs = attrs.field(default=(), converter=_pairs)
    anonymous: bool | None = None

    def __attrs_post_init__(self) -> None:
        if self.name is not None:
            check_volume_name(self.name)


@attrs.frozen(kw_only=True)
class VolumeRecord:
    """One volume as it is kept.

    Args:
        name: It never changes.
        driver, options, labels: As asked for.
        created_ns: Nanoseconds since the epoch.
        anonymous: Whether nobody chose the name.
    """

    name: str
    driver: str = "local"
    options: Pairs = attrs.field(default=(), converter=_pairs)
    labels: Pairs = attrs.field(default=(), converter=_pairs)
    created_ns: int = 0
    anonymous: bool = False

    @classmethod
    def of(cls, request: VolumeRequest, created_ns: int) -> VolumeRecord:
        """The record of a new volume."""
        anonymous = request.name is None if request.anonymous is None else request.anonymous
        return cls(
            name=request.name or new_anonymous_name(),
            driver=request.driver or "local",
            options=request.options,
            labels=request.labels,
            created_ns=created_ns,
            anonymous=anonymous,
        )

    def to_json(self) -> bytes:
        """The document."""
        fields = attrs.asdict(self) | {"options": dict(self.options), "labels": dict(self.labels)}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, document: bytes, name: str) -> VolumeRecord:
        """The inverse of :meth:`to_json`, for the volume that lies at *name*.

        Raises:
            CorruptData: It is not such a document.
        """
        try:
            fields = json.loads(document)
            return cls(**{**fields, "name": name})
        except (ValueError, TypeError) as error:
            raise CorruptData(f"the record of volume {name!r} cannot be read: {error}") from None
