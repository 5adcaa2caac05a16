"""Messages of nfnetlink that make, change and remove tables of the packet filter.

Pure: what comes out are bytes for a socket of NETLINK_NETFILTER.  What stands in one batch happens all at
once or not at all.

Source: linux/netfilter/nf_tables.h and nfnetlink.h; nf_tables_api.c of the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from container_kit._values import frozen
from container_kit.network.attributes import attribute, nested, text, u32

__all__ = ["NETFILTER", "Message", "SetKind", "Table", "batch", "questions"]

NETFILTER = 12  # NETLINK_NETFILTER

Family = Literal["inet", "bridge", "netdev"]
_FAMILIES = {"inet": 1, "netdev": 5, "bridge": 7}
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4, "ingress": 0, "egress": 1}

_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct(">BBH")
_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _CREATE, _EXCLUSIVE, _APPEND = 0x1, 0x400, 0x200, 0x800
_OWNED = 0x6  # NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST
_MAP = 0x8  # NFT_SET_MAP
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET = 0, 1, 2, 3, 6, 9
_NEW_ELEMENT, _DELETE_ELEMENT = 12, 14
_KEY_AS_IT_STANDS = b"\0\4" + struct.pack("=I", 1)  # a note of nft's for itself: the bytes are in our order
# An attribute has a length of 16 bits, and all elements of a message are in one.
_ELEMENTS_AT_ONCE = 400


@frozen
class Message:
    """One message of a batch: its kind among those of nftables, its flags, and what follows the header."""

    kind: int
    flags: int
    body: bytes


def batch(messages: Iterable[Message]) -> bytes:
    """*messages* as one transaction; the kernel's answers have the place of a message, counted from 1."""
    begin = _GENERIC.pack(0, 0, _NFTABLES)
    parts = [_packed(_BATCH_BEGIN, _REQUEST, 0, begin)]
    for number, one in enumerate(messages, 1):
        parts.append(_packed(_NFTABLES << 8 | one.kind, _REQUEST | one.flags, number, one.body))
    parts.append(_packed(_BATCH_END, _REQUEST, 0, begin))
    return b"".join(parts)


def questions(messages: Iterable[Message]) -> bytes:
    """*messages* that ask for something; these are in no transaction."""
    numbered = enumerate(messages, 1)
    return b"".join(
        _packed(_NFTABLES << 8 | one.kind, _REQUEST, number, one.body) for number, one in numbered
    )


def _packed(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body


@frozen
class SetKind:
    """What a set or map is made of.

    Args:
        key_type: As `nft` numbers its types; it is how the set is shown, the kernel does not look at it.
        key_size: In bytes, each part filled up to a multiple of four.
        data_type, data_size: The same of what a map leads to; 0 for a set.
        is_text: Whether a key is a text, so that `nft` shows it as one.
    """

    key_type: int
    key_size: int
    data_type: int = 0
    data_size: int = 0
    is_text: bool = False


@frozen
class Table:
    """A table by its name; each method gives a message about it."""

    family: Family
    name: str

    def new(self, *, owned: bool = False, exclusive: bool = True) -> Message:
        """Make the table.

        Args:
            owned: It can be changed through the same socket only, whatever others flush; when that is closed,
                by who makes it his in the same way.  From Linux 6.9 on; EOPNOTSUPP before.
            exclusive: The batch fails with EEXIST when the table is there.
        """
        flags = u32(2, _OWNED) if owned else b""
        return self._message(
            _NEW_TABLE, _CREATE | (_EXCLUSIVE if exclusive else 0), text(1, self.name), flags
        )

    def get(self) -> Message:
        """Ask for the table: ENOENT when it is not there."""
        return self._message(_GET_TABLE, 0, text(1, self.name))

    def delete(self) -> Message:
        """Remove the table with all that is in it."""
        return self._message(_DELETE_TABLE, 0, text(1, self.name))

    def chain(self, name: str) -> Message:
        """A chain that rules jump to."""
        return self._message(_NEW_CHAIN, _CREATE, text(1, self.name), text(3, name))

    def base_chain(
        self, hook: str, priority: int, *, kind: str = "filter", name: str = "", device: str = ""
    ) -> Message:
        """A chain that packets come to by themselves, and pass unless a rule says otherwise.

        Args:
            kind: ``filter`` or ``nat``.
            name: That of the hook unless given.
            device: The interface, for a table of family ``netdev``.
        """
        where = [u32(1, _HOOKS[hook]), u32(2, priority), text(3, device) if device else b""]
        return self._message(
            _NEW_CHAIN, _CREATE, text(1, self.name), text(3, name or hook), nested(4, *where), text(7, kind)
        )

    def rule(self, chain: str, *expressions: bytes) -> Message:
        """A rule behind those that the chain has."""
        return self._message(
            _NEW_RULE, _CREATE | _APPEND, text(1, self.name), text(2, chain), nested(4, *expressions)
        )

    def set(self, name: str, kind: SetKind, number: int) -> Message:
        """A set, or a map when its kind has data; *number* is its own within the batch."""
        what = [u32(3, _MAP if kind.data_size else 0), u32(4, kind.key_type), u32(5, kind.key_size)]
        if kind.data_size:
            what += [u32(6, kind.data_type), u32(7, kind.data_size)]
        if kind.is_text:
            what.append(attribute(13, _KEY_AS_IT_STANDS))
        return self._message(_NEW_SET, _CREATE, text(1, self.name), text(2, name), *what, u32(10, number))

    def add(self, name: str, elements: Sequence[tuple[bytes, bytes]]) -> Iterator[Message]:
        """Put *elements*, each a key and its data, into a set or map: EBUSY when a key leads elsewhere."""
        return self._elements(_NEW_ELEMENT, _CREATE, name, elements)

    def remove(self, name: str, elements: Sequence[tuple[bytes, bytes]]) -> Iterator[Message]:
        """Take *elements* out again, by their keys: ENOENT when one is not there."""
        return self._elements(_DELETE_ELEMENT, 0, name, [(key, b"") for key, _ in elements])

    def _elements(
        self, kind: int, flags: int, name: str, elements: Sequence[tuple[bytes, bytes]]
    ) -> Iterator[Message]:
        for start in range(0, len(elements), _ELEMENTS_AT_ONCE):
            some = elements[start : start + _ELEMENTS_AT_ONCE]
            packed = nested(3, *(nested(1, *_element(key, data)) for key, data in some))
            yield self._message(kind, flags, text(1, self.name), text(2, name), packed)

    def _message(self, kind: int, flags: int, *attributes: bytes) -> Message:
        head = _GENERIC.pack(_FAMILIES[self.family], 0, 0)
        return Message(kind, flags, head + b"".join(attributes))


def _element(key: bytes, data: bytes) -> Iterator[bytes]:
    yield nested(1, attribute(1, key))
    if data:
        yield nested(2, attribute(1, data))
