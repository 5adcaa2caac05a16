"""Images of the running Python interpreter, so that a program can put itself in a box.

Only what is installed is taken; nothing is downloaded and nothing is run.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from typing import TYPE_CHECKING

from container_kit.errors import NotFound
from container_kit.images import records
from container_kit.images.closure import IMAGE_PATH, Closure
from container_kit.images.contents import Link
from container_kit.images.host import add_base, publish_contents
from container_kit.images.notes import Note
from container_kit.oci import Digest, Reference

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from container_kit.images.image import Image
    from container_kit.store import Store

__all__ = ["from_python"]

# Parts of the standard library that need what the image lacks, or are there to test it.
_LEFT_OUT = frozenset(
    {"__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "turtledemo"}
)
_LEFT_OUT_PREFIXES = ("config-",)
# Loaded by name at run time, so that no ELF word tells: pthread_exit needs it.
_RUNTIME_LIBRARIES = ("libgcc_s.so.1",)


def from_python(store: Store, requirements: Iterable[str] | None, tag: str | None) -> Image:
    """See `container_kit.images.image.Image.from_python`."""
    name = Reference.parse(tag) if tag is not None else None
    wanted = sorted(requirements or ())
    note = Note.of(store, ["python", sys.executable, sys.version, wanted, sys.path])
    digest = note.image() or _make(store, wanted, note)
    if name is not None and store.resolve_name(records.TAG, str(name)) != digest:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def _make(store: Store, requirements: list[str], note: Note) -> Digest:
    closure = Closure()
    add_base(closure.contents)
    closure.add_program("sh")
    interpreter = _add_interpreter(closure)
    for distribution in _distributions(requirements):
        _add_distribution(closure, distribution)
    if "*" in requirements:  # a new distribution changes none of the known files, but one of these
        closure.contents.sources.update(dict.fromkeys(path for path in sys.path if os.path.isdir(path)))
    config = {"Env": [f"PATH={IMAGE_PATH}", "PYTHONUNBUFFERED=1"], "WorkingDir": "/", "Cmd": [interpreter]}
    with store.lease():
        digest = publish_contents(store, closure.contents, config, "the running Python")
        note.write(digest, closure.contents.sources)
    return digest


def _add_interpreter(closure: Closure) -> str:
    """The interpreter without its virtual environment, its standard library, and short names for it."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    program = closure.add_program(os.path.realpath(base))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", "python3", f"python{version}"):
        closure.contents.put(f"/usr/local/bin/{name}", Link(program))
    for library in _RUNTIME_LIBRARIES:
        closure.add_library(library)
    names = {"installed_base": sys.base_prefix, "base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    for key in ("stdlib", "platstdlib"):
        _add_standard_library(closure, sysconfig.get_path(key, vars=names))
    return program


def _add_standard_library(closure: Closure, path: str) -> None:
    real = closure.contents.add_empty(path)
    closure.contents.sources[real] = None
    for name in sorted(os.listdir(real)):
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIXES):
            closure.add_file(f"{real}/{name}", f"{real}/{name}")
    for path in [path for path in closure.contents.nodes if path.startswith(f"{real}/")]:
        if "/test/" in path or "/tests/" in path or not _is_for_us(path):
            del closure.contents.nodes[path]


def _is_for_us(path: str) -> bool:
    """Whether *path* is no compiled file of another interpreter; those of this one save its start."""
    return "/__pycache__/" not in path or path.endswith(f".{sys.implementation.cache_tag}.pyc")


def _distributions(requirements: Iterable[str]) -> list[Distribution]:
    """The installed distributions of these names and, in turn, what they require."""
    from importlib import metadata

    wanted = list(requirements)
    if "*" in wanted:
        return sorted(metadata.distributions(), key=lambda one: _key(one.metadata["Name"]))
    found: dict[str, Distribution] = {}
    while wanted:
        text = wanted.pop()
        optional, name = _parse_requirement(text)
        if not name or _key(name) in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if optional:
                continue
            raise NotFound("installed distribution", name, "install it for this interpreter first") from None
        found[_key(name)] = distribution
        wanted += [f"{line};" if ";" not in line else line for line in distribution.requires or ()]
    return [found[key] for key in sorted(found)]


def _parse_requirement(text: str) -> tuple[bool, str]:
    """Whether it may be absent (it depends on the environment or an extra), and the name.

    Markers are not evaluated: what a marker excludes here is usually not installed here either.
    """
    requirement, semicolon, marker = text.partition(";")
    if "extra" in marker:
        return True, ""
    end = next(
        (at for at, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None
    )
    return bool(semicolon), requirement[:end].strip()


def _key(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _add_distribution(closure: Closure, distribution: Distribution) -> None:
    """The files that the distribution's own record lists, at the interpreter's site directory."""
    site = sysconfig.get_path("purelib", vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    for file in distribution.files or ():
        source = os.path.abspath(str(distribution.locate_file(file)))
        inside = str(file)
        if inside.startswith("..") or not _is_for_us(f"/{inside}") or not os.path.isfile(source):
            continue  # scripts name the interpreter of the environment they were installed in
        closure.add_file(source, f"{site}/{inside}")
