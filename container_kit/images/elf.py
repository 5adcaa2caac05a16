"""What an ELF file says about the libraries that it needs.

Reads the program headers and the dynamic section, nothing else: section headers may be stripped.
Every offset and count is checked, since the file may be anything.

Source: Tool Interface Standard, ELF 1.2; System V ABI, "Dynamic Section"; glibc elf.h.
"""

from __future__ import annotations

import os
import struct

import attrs

from container_kit.errors import CorruptData

__all__ = ["Elf", "read_elf"]

_MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 14, 15, 29
_MAX_HEADERS = 4096
_MAX_DYNAMIC = 1 << 20
_MAX_STRINGS = 16 << 20


@attrs.frozen
class Elf:
    """The words of one ELF file that matter to the dynamic loader.

    Args:
        bits: 32 or 64.
        machine: ``e_machine``: 62 is x86-64, 183 is AArch64.
        interpreter: Path of the dynamic loader (PT_INTERP); None for libraries and static programs.
        needed: Names of the libraries to load (DT_NEEDED), in order.
        rpath, runpath: Directories to search, before ``$ORIGIN`` is filled in.
        soname: The library's own name, or None.
    """

    bits: int
    machine: int
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    soname: str | None = None

    @property
    def kind(self) -> tuple[int, int]:
        """What must be equal for two files to be loaded together."""
        return self.bits, self.machine


@attrs.frozen
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


@attrs.frozen
class _Layout:
    """Where things stand in this class of file: 32 or 64 bits, and the byte order."""

    bits: int
    order: str

    def unpack(self, form: str, data: bytes, offset: int = 0) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, data, offset)

    @property
    def dynamic_entry(self) -> str:
        return "qQ" if self.bits == 64 else "iI"


def read_elf(path: str) -> Elf | None:
    """The ELF words of *path*, or None if it is no ELF program or library.

    Raises:
        CorruptData: It starts as ELF, but its headers contradict its size or each other.
        OSError: It cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(fd, 64, 0)
        if not head.startswith(_MAGIC):
            return None
        try:
            return _parse(fd, head)
        except (struct.error, ValueError) as error:
            raise CorruptData(f"{path} starts as an ELF file but cannot be one: {error}") from None
    finally:
        os.close(fd)


def _parse(fd: int, head: bytes) -> Elf:
    layout = _Layout({1: 32, 2: 64}[head[4]] if head[4] in (1, 2) else _bad("class"), _order(head[5]))
    (machine,) = layout.unpack("H", head, 18)
    segments = _segments(fd, head, layout)
    words = _dynamic_words(fd, segments, layout)
    strings = _strings(fd, segments, words)

    def texts(tag: int) -> list[str]:
        return [_text(strings, offset) for kind, offset in words if kind == tag]

    return Elf(
        bits=layout.bits,
        machine=machine,
        interpreter=_interpreter(fd, segments),
        needed=tuple(texts(_DT_NEEDED)),
        rpath=_directories(texts(_DT_RPATH)),
        runpath=_directories(texts(_DT_RUNPATH)),
        soname=next(iter(texts(_DT_SONAME)), None),
    )


def _bad(what: str) -> int:
    raise ValueError(f"unknown {what}")


def _order(data: int) -> str:
    if data not in (1, 2):
        raise ValueError("unknown byte order")
    return "<" if data == 1 else ">"


def _segments(fd: int, head: bytes, layout: _Layout) -> list[_Segment]:
    if layout.bits == 64:
        (table,) = layout.unpack("Q", head, 32)
        entry_size, count = layout.unpack("HH", head, 54)
    else:
        (table,) = layout.unpack("I", head, 28)
        entry_size, count = layout.unpack("HH", head, 42)
    if count > _MAX_HEADERS or (count and entry_size < (56 if layout.bits == 64 else 32)):
        raise ValueError(f"{count} program headers of {entry_size} bytes")
    data = _read(fd, table, entry_size * count)
    return [_segment(layout, data, index * entry_size) for index in range(count)]


def _segment(layout: _Layout, data: bytes, at: int) -> _Segment:
    if layout.bits == 64:
        kind, _, offset, address, _, size = layout.unpack("IIQQQQ", data, at)
    else:
        kind, offset, address, _, size = layout.unpack("IIIII", data, at)
    return _Segment(kind, offset, address, size)


def _dynamic_words(fd: int, segments: list[_Segment], layout: _Layout) -> list[tuple[int, int]]:
    dynamic = next((segment for segment in segments if segment.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return []
    if dynamic.size > _MAX_DYNAMIC:
        raise ValueError(f"a dynamic section of {dynamic.size} bytes")
    data = _read(fd, dynamic.offset, dynamic.size)
    words = []
    for tag, value in struct.iter_unpack(layout.order + layout.dynamic_entry, data):
        if tag == _DT_NULL:
            break
        words.append((tag, value))
    return words


def _strings(fd: int, segments: list[_Segment], words: list[tuple[int, int]]) -> bytes:
    table = dict(words)
    if _DT_STRTAB not in table:
        return b""
    address, size = table[_DT_STRTAB], table.get(_DT_STRSZ, 0)
    if size > _MAX_STRINGS:
        raise ValueError(f"a string table of {size} bytes")
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return _read(fd, segment.offset + address - segment.address, size)
    raise ValueError("the string table lies outside of every segment")


def _interpreter(fd: int, segments: list[_Segment]) -> str | None:
    for segment in segments:
        if segment.kind == _PT_INTERP:
            if segment.size > 4096:
                raise ValueError("the interpreter's path is too long")
            return os.fsdecode(_read(fd, segment.offset, segment.size).split(b"\0")[0])
    return None


def _directories(lists: list[str]) -> tuple[str, ...]:
    return tuple(entry for text in lists for entry in text.split(":") if entry)


def _text(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset)
    if not 0 <= offset < len(strings) or end < 0:
        raise ValueError("a name lies outside of the string table")
    return os.fsdecode(strings[offset:end])


def _read(fd: int, offset: int, size: int) -> bytes:
    if offset >= 1 << 63:
        raise ValueError("an offset beyond the end of the file")
    data = os.pread(fd, size, offset)
    if len(data) != size:
        raise ValueError(f"{size} bytes at {offset} lie beyond the end of the file")
    return data
