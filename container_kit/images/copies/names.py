"""Names of places, in skopeo's words: ``docker://NAME``, ``oci:DIRECTORY:TAG``, ``oci-archive:FILE:TAG``."""

from __future__ import annotations

from typing import Final, Literal, get_args

import attrs

from container_kit.errors import InvalidInput

__all__ = ["PlaceName"]

Transport = Literal["docker", "oci", "oci-archive", "docker-archive", "store"]
_FOREIGN: Final = ("dir", "docker-daemon", "containers-storage", "ostree", "sif", "tarball", "atomic")


@attrs.frozen
class PlaceName:
    """Where an image is: for registries and the store *name* alone counts, else the *path* and its name.

    Raises:
        InvalidInput: The transport is not known, or its part is missing.
    """

    transport: Transport
    name: str = ""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> PlaceName:
        """What a person means by *text*; without a transport it is a name in a registry."""
        transport, colon, rest = text.partition(":")
        if not colon or transport not in (*get_args(Transport), *_FOREIGN):
            return cls("docker", _required(text, text))
        if transport in _FOREIGN:
            raise InvalidInput(
                f"cannot copy from or to {text!r}: "
                "use docker://, oci:, oci-archive:, docker-archive: or store:"
            )
        if transport == "docker" and rest.startswith("//"):
            return cls("docker", _required(rest[2:], text))
        if transport == "docker":  # an image called "docker", with a tag
            return cls("docker", text)
        if transport == "store":
            return cls("store", rest)
        path, _, name = rest.partition(":")
        return cls(transport, name, _required(path, text))  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.transport == "docker":
            return f"docker://{self.name}"
        rest = f"{self.path}:{self.name}" if self.path and self.name else self.path or self.name
        return f"{self.transport}:{rest}"


def _required(part: str, text: str) -> str:
    if not part:
        raise InvalidInput(f"{text!r} says no place: write docker://NAME, oci:DIRECTORY:TAG or store:NAME")
    return part
