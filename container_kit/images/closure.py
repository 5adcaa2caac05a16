"""The closure of host programs: each with its loader, its libraries and its interpreters.

Decides only what belongs together; `contents` keeps the books and `host` makes the image.
"""

from __future__ import annotations

import os

from container_kit.errors import CorruptData, InvalidInput, NotFound
from container_kit.images.contents import Contents, Link
from container_kit.images.elf import Elf, read_elf
from container_kit.images.libraries import Loader

__all__ = ["IMAGE_PATH", "Closure", "find_program"]

IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_SHEBANG = 256  # BINPRM_BUF_SIZE
_MAX_SCRIPT_DEPTH = 5


def find_program(name: str) -> str:
    """Absolute path of program *name*: itself if it has a slash, else looked up on ``PATH``.

    Raises:
        NotFound: There is no such program on this host.
    """
    if not name or "\0" in name:
        raise InvalidInput(f"{name!r} cannot be the name of a program")
    folders = [""] if "/" in name else (os.environ.get("PATH", "") + ":" + IMAGE_PATH).split(":")
    for folder in folders:
        path = os.path.abspath(os.path.join(folder, name)) if folder or "/" in name else ""
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise NotFound("program on this host", name, "give its full path, or install it")


class Closure:
    """Collects programs and files, and whatever these need, into `contents`."""

    def __init__(self, loader: Loader | None = None) -> None:
        self.contents = Contents()
        self._loader = loader or Loader()
        self._seen: set[str] = set()
        self._found: dict[tuple[str, str], str | None] = {}

    def add_program(self, name: str) -> str:
        """Add the program and all it needs; return its path in the image."""
        return self._add_executable(find_program(name), depth=0)

    def add_file(self, source: str, target: str | None = None) -> str:
        """Add a file or directory; the libraries of programs among them come too, as far as they exist."""
        if not os.path.lexists(source):
            raise NotFound("file of this host", source)
        place = self.contents.add(source, target)
        for path in self.contents.take_unexamined():
            self._add_libraries_of(path)
        return place

    def add_library(self, name: str) -> None:
        """Add a library that programs load by name at run time, if this host has it."""
        shell = find_program("sh")
        elf = read_elf(os.path.realpath(shell))
        if elf is not None:
            found = self._loader.find(name, elf, shell, (elf, shell))
            if found is not None:
                self.add_file(found)

    def _add_executable(self, path: str, depth: int) -> str:
        real = self.contents.add(path)
        self._add_needs(real, depth)
        if os.path.dirname(path) not in IMAGE_PATH.split(":"):
            self.contents.put(f"/usr/local/bin/{os.path.basename(path)}", Link(path))
        return path

    def _add_needs(self, path: str, depth: int) -> None:
        """What *path* needs to run: an interpreter if it is a script, libraries if it is ELF."""
        if path in self._seen:
            return
        self._seen.add(path)
        head = _head(path)
        if head.startswith(b"#!"):
            self._add_interpreter(path, head, depth)
        elif head.startswith(b"\x7fELF"):
            elf = read_elf(path)
            if elf is not None:
                self._add_libraries(elf, path, (elf, path))

    def _add_libraries_of(self, path: str) -> None:
        """The libraries of *path* if it is ELF.  One that lacks a library does not run here either."""
        if path in self._seen or not _head(path).startswith(b"\x7fELF"):
            return
        self._seen.add(path)
        try:
            elf = read_elf(path)
            if elf is not None:
                self._add_libraries(elf, path, (elf, path))
        except (CorruptData, NotFound):
            return

    def _add_interpreter(self, script: str, head: bytes, depth: int) -> None:
        if depth >= _MAX_SCRIPT_DEPTH:
            raise InvalidInput(f"cannot add {script!r} to an image: too many interpreters of interpreters")
        words = [os.fsdecode(word) for word in head[2:].split(b"\n")[0].split()]
        if not words:
            return
        self._add_executable(find_program(words[0]), depth + 1)
        if os.path.basename(words[0]) == "env":
            program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
            if program:
                self._add_executable(find_program(program), depth + 1)

    def _add_libraries(self, elf: Elf, path: str, executable: tuple[Elf, str]) -> None:
        if elf.interpreter:
            self.contents.add(elf.interpreter)
        for name in elf.needed:
            found = self._find(name, elf, path, executable)
            if found is None:
                raise NotFound("library on this host", name, f"{path} needs it")
            real = self.contents.add(found)
            self._keep_findable(name, found, elf)
            if real not in self._seen:
                self._seen.add(real)
                library = read_elf(real)
                if library is not None:
                    self._add_libraries(library, real, executable)

    def _find(self, name: str, elf: Elf, path: str, executable: tuple[Elf, str]) -> str | None:
        searched_by = (
            "" if not (elf.rpath or elf.runpath or executable[0].rpath) else f"{path}:{executable[1]}"
        )
        key = (f"{elf.kind}:{searched_by}", name)
        if key not in self._found:
            self._found[key] = self._loader.find(name, elf, path, executable)
        return self._found[key]

    def _keep_findable(self, name: str, found: str, elf: Elf) -> None:
        """A library from a directory of ld.so.conf gets a link where a bare loader looks."""
        folder = os.path.dirname(found)
        if folder not in self._loader.configured or folder in self._loader.standard(elf):
            return
        c_library = self._loader.find("libc.so.6", Elf(elf.bits, elf.machine), found, (elf, found))
        if c_library is not None:
            self.contents.put(f"{os.path.realpath(os.path.dirname(c_library))}/{name}", Link(found))


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_SHEBANG)
