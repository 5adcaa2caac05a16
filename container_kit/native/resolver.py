"""What a network's keeper would answer to a question, without one: the same C code decides."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.native._binding import check, ffi, lib

__all__ = ["Resolver"]

_OWNER_SIZE = 64
_LEAST_ROOM = 512
_WORTH_NONE = -1


@frozen(kw_only=True)
class Resolver:
    """The resolver of one network.

    Args:
        endpoints: The text of each endpoint's file, by its owner (64 hex digits).
        subnet: The gateway with prefix length, such as ``10.89.1.1/24``.
        domain: The network's name.
        internal: Whether nothing is asked of servers.
    """

    endpoints: Mapping[str, str]
    subnet: str
    domain: str = ""
    internal: bool = False

    def answer(self, question: bytes, client: str = "", room: int = 1232) -> bytes | None:
        """The answer to a DNS message.

        Args:
            question: The message, which may be anything.
            client: The address that it came from; what is no endpoint's is the host's.
            room: How many bytes the answer may have at most, if the question allows so many.

        Returns:
            The answer; empty when the question is not worth one; None when it is to be asked of a server.

        Raises:
            InvalidInput: The subnet is none, or *room* is less than 512.
        """
        if any(len(owner) != _OWNER_SIZE for owner in self.endpoints):
            raise InvalidInput("an owner is 64 hexadecimal digits")
        owners = [ffi.new("char[]", owner.encode()) for owner in self.endpoints]
        texts = [ffi.new("char[]", text.encode()) for text in self.endpoints.values()]
        reply = ffi.new("unsigned char[]", max(room, _LEAST_ROOM))
        size = lib.ck_resolve(
            ffi.new("const char *[]", owners),
            ffi.new("const char *[]", texts),
            len(owners),
            client.encode(),
            self.subnet.encode(),
            self.domain.encode(),
            self.internal,
            question,
            len(question),
            reply,
            room,
        )
        if size == -errno.EINVAL:
            raise InvalidInput(
                f"{self.subnet!r} is no subnet such as 10.89.1.1/24, or room {room} is too small"
            )
        if size == _WORTH_NONE:
            return b""
        return bytes(ffi.buffer(reply, size)) if check(size, "cannot answer") else None
