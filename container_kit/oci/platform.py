"""Platforms: which operating system and processor an image is for."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci.json_document import Fields

__all__ = ["Platform"]

# What other tools and kernels call the architectures that Go's GOARCH names (and its default variant).
_ALIASES: Final = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_ARCHITECTURES: Final = frozenset((
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
))  # fmt: skip
# The variant that no variant means.
_DEFAULT_VARIANT: Final = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_is_word: Final = re.compile("(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,63})?").fullmatch


@frozen
class Platform:
    """The operating system and processor that an image is for.

    Args:
        os: Such as ``linux`` (Go's GOOS).
        architecture: Such as ``amd64`` or ``arm64`` (Go's GOARCH); ``x86_64`` and the like are translated by
            :meth:`parse`.
        variant: Such as ``v8``; empty where the architecture has one default.
        os_version: Only Windows images use it.
        os_features: Features that the host must have.

    Source: OCI image-spec, image-index.md, "platform".
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        for name in ("os", "architecture", "variant"):
            if not _is_word(getattr(self, name)):
                raise InvalidInput(f"platform {name} {getattr(self, name)[:80]!r} is not one word")

    @classmethod
    def parse(cls, text: str) -> Platform:
        """``os/architecture[/variant]``, or only an architecture of Linux.

        Raises:
            InvalidInput: It is not written so, or a single word is no architecture that Go knows.
        """
        parts = text.split("/")
        if not all(parts) or len(parts) > 3:
            raise InvalidInput(f"platform {text[:80]!r} is not written os/architecture[/variant]")
        system = parts[0] if len(parts) > 1 else "linux"
        architecture, variant = _ALIASES.get(
            parts[min(1, len(parts) - 1)], (parts[min(1, len(parts) - 1)], "")
        )
        if len(parts) == 1 and architecture not in _ARCHITECTURES:
            raise InvalidInput(
                f"platform {text[:80]!r} is no architecture: write os/architecture, such as linux/arm64"
            )
        return cls(system.lower(), architecture, parts[2] if len(parts) == 3 else variant)

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine."""
        machine = os.uname().machine
        architecture, variant = _ALIASES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Platform:
        fields = Fields(value, where, ("os", "architecture", "variant", "os.version", "os.features"))
        return cls(
            os=fields.text("os"),
            architecture=fields.text("architecture"),
            variant=fields.text("variant"),
            os_version=fields.text("os.version"),
            os_features=fields.texts("os.features"),
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            value["os.version"] = self.os_version
        if self.os_features:
            value["os.features"] = list(self.os_features)
        if self.variant:
            value["variant"] = self.variant
        return value

    def runs(self, image: Platform) -> bool:
        """Whether this platform runs *image* natively."""
        same = (self.os, self.architecture) == (image.os, image.architecture)
        return same and self._level() >= image._level()

    def _level(self) -> int:
        """The variant as a number: v8 is 8; a later processor runs what an earlier one runs."""
        variant = self.variant or _DEFAULT_VARIANT.get(self.architecture, "v0")
        digits = variant.removeprefix("v").partition(".")[0]
        return int(digits) if digits.isdecimal() and len(digits) < 4 else 0

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
