"""Where the dynamic loader finds a library: its search order, replayed without running it.

What is opened with dlopen at run time (name service modules, character sets) cannot be seen here.

Source: ld.so(8), ldconfig(8).
"""

from __future__ import annotations

import glob
import os

import attrs

from container_kit.errors import CorruptData
from container_kit.images.elf import Elf, read_elf

__all__ = ["Loader", "search_directories"]

_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_MACHINE_DIRECTORIES = {
    (64, 62): ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"),
    (64, 183): ("/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"),
    (32, 3): ("/lib/i386-linux-gnu", "/usr/lib/i386-linux-gnu", "/lib32", "/usr/lib32"),
}
_MACHINE_NAMES = {62: "x86_64", 183: "aarch64", 3: "i686"}


def search_directories(conf: str = "/etc/ld.so.conf") -> tuple[str, ...]:
    """The directories that ``ld.so.conf`` and what it includes name, in order."""
    found: list[str] = []
    _read_conf(conf, found, depth=0)
    return tuple(dict.fromkeys(found))


def _read_conf(path: str, found: list[str], depth: int) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except OSError:
        return  # absent on musl and in minimal systems: the defaults remain
    for line in lines:
        if line.startswith("include ") and depth < 8:
            pattern = os.path.join(os.path.dirname(path), line.removeprefix("include ").strip())
            for included in sorted(glob.glob(pattern)):
                _read_conf(included, found, depth + 1)
        elif line.startswith("/"):
            found.append(line)


@attrs.frozen
class Loader:
    """Finds libraries as the loader of this host would.

    Args:
        configured: Directories of ``ld.so.conf``; see `search_directories`.
    """

    configured: tuple[str, ...] = attrs.field(factory=search_directories)

    def find(self, name: str, elf: Elf, path: str, executable: tuple[Elf, str]) -> str | None:
        """Path of library *name* that *elf* at *path* needs, or None if it is nowhere.

        *executable* is the program that all is loaded for: its RPATH serves its libraries too.
        """
        if "/" in name:
            return name if self._fits(name, elf) else None
        for directory in self._order(elf, path, executable):
            candidate = os.path.join(directory, name)
            if self._fits(candidate, elf):
                return candidate
        return None

    def standard(self, elf: Elf) -> tuple[str, ...]:
        """The directories that a loader searches with no configuration at all."""
        return (*_MACHINE_DIRECTORIES.get(elf.kind, ()), *_DEFAULT)

    def _order(self, elf: Elf, path: str, executable: tuple[Elf, str]) -> list[str]:
        directories = [_expand(entry, elf, path) for entry in elf.runpath]
        if not elf.runpath:  # RPATH counts only where there is no RUNPATH
            own = [_expand(entry, elf, path) for entry in elf.rpath]
            inherited = [] if executable[0].runpath else list(executable[0].rpath)
            directories = own + [_expand(entry, executable[0], executable[1]) for entry in inherited]
        return [*directories, *self.configured, *self.standard(elf)]

    def _fits(self, path: str, wanted: Elf) -> bool:
        """Whether *path* is a library of the same class: the loader skips others in silence."""
        try:
            found = read_elf(path) if os.path.isfile(path) else None
        except (OSError, CorruptData):
            return False
        return found is not None and found.kind == wanted.kind


def _expand(entry: str, elf: Elf, path: str) -> str:
    origin = os.path.dirname(os.path.realpath(path))
    values = {"ORIGIN": origin, "LIB": "lib64" if elf.bits == 64 else "lib"}
    values["PLATFORM"] = _MACHINE_NAMES.get(elf.machine, "")
    for name, value in values.items():
        entry = entry.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return os.path.normpath(entry)
