"""Which packages an image has, read from what dpkg, apk and Python's installers leave in it.

Every byte read here was written by strangers: files are opened beneath the root, are regular, and are read
up to a limit; what cannot be understood is left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from container_kit._values import frozen
from container_kit.errors import KernelError, LimitExceeded
from container_kit.native.trees import open_beneath

__all__ = ["Package", "find_packages"]

_MAX_FILE: Final = 64 << 20
_MAX_METADATA: Final = 64 << 10  # the fields that matter come first
_MAX_PACKAGES: Final = 20_000
_MAX_DIRECTORIES: Final = 500_000
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


@frozen
class Package:
    """One installed package; *purl* says it all, for programs."""

    kind: str
    name: str
    version: str
    purl: str
    license: str = ""
    supplier: str = ""


def find_packages(root_fd: int) -> tuple[Package, ...]:
    """The packages below *root_fd*, each once, in alphabetical order.

    Raises:
        LimitExceeded: More than any image has.
    """
    system = _os_release(root_fd)
    found: dict[str, Package] = {}
    for package in _all(root_fd, system):
        found[package.purl] = package
        if len(found) > _MAX_PACKAGES:
            raise LimitExceeded(f"the image has more than {_MAX_PACKAGES} packages: build it without an SBOM")
    return tuple(found[purl] for purl in sorted(found))


def _all(root_fd: int, system: dict[str, str]) -> Iterator[Package]:
    for record in _records(_read(root_fd, "var/lib/dpkg/status")):
        if record.get("Status", "").endswith(" installed"):
            yield from _dpkg(record, system)
    for name in _names(root_fd, "var/lib/dpkg/status.d"):  # images without a shell have one file a package
        for record in _records(_read(root_fd, f"var/lib/dpkg/status.d/{name}")):
            yield from _dpkg(record, system)
    for path in ("lib/apk/db/installed", "usr/lib/apk/db/installed"):
        for record in _records(_read(root_fd, path)):
            yield from _apk(record, system)
    yield from _python(root_fd)


def _dpkg(record: dict[str, str], system: dict[str, str]) -> Iterator[Package]:
    name, version = record.get("Package", ""), record.get("Version", "")
    if name and version:
        purl = _purl("deb", system.get("ID", "debian"), name, version, record.get("Architecture", ""), system)
        yield Package("deb", name, version, purl, supplier=record.get("Maintainer", ""))


def _apk(record: dict[str, str], system: dict[str, str]) -> Iterator[Package]:
    name, version = record.get("P", ""), record.get("V", "")
    if name and version:
        purl = _purl("apk", system.get("ID", "alpine"), name, version, record.get("A", ""), system)
        yield Package("apk", name, version, purl, record.get("L", ""), record.get("m", ""))


def _python(root_fd: int) -> Iterator[Package]:
    for count, (path, names, _, _) in enumerate(os.fwalk(".", dir_fd=root_fd)):
        if count > _MAX_DIRECTORIES:
            raise LimitExceeded(f"the image has more than {_MAX_DIRECTORIES} directories")
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                file = "METADATA" if name.endswith(".dist-info") else "PKG-INFO"
                yield from _distribution(_read(root_fd, f"{path}/{name}/{file}", _MAX_METADATA))


def _distribution(text: str) -> Iterator[Package]:
    head = next(_records(text.partition("\n\n")[0]), {})
    name, version = head.get("Name", ""), head.get("Version", "")
    if name and version:
        normal = name.lower().replace("_", "-").replace(".", "-")
        licence = head.get("License-Expression", "")
        yield Package("pypi", name, version, f"pkg:pypi/{_quoted(normal)}@{_quoted(version)}", licence)


def _purl(kind: str, space: str, name: str, version: str, architecture: str, system: dict[str, str]) -> str:
    """Source: package-url, PURL-TYPES."""
    pairs = {
        "arch": architecture,
        "distro": f"{space}-{system['VERSION_ID']}" if "VERSION_ID" in system else "",
    }
    query = "&".join(f"{key}={_quoted(value)}" for key, value in pairs.items() if value)
    return f"pkg:{kind}/{_quoted(space)}/{_quoted(name)}@{_quoted(version)}" + (f"?{query}" if query else "")


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _records(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of ``Name: value`` lines; lines that go on with what a line before began are left out."""
    record: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            if record:
                yield record
            record = {}
        elif not line[0].isspace():
            name, colon, value = line.partition(":")
            if colon:
                record.setdefault(name, _printable(value.strip()))
    if record:
        yield record


def _os_release(root_fd: int) -> dict[str, str]:
    places = ("etc/os-release", "usr/lib/os-release")
    text = next(filter(None, (_read(root_fd, path, _MAX_METADATA) for path in places)), "")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: _printable(value.strip("\"'")) for name, sign, value in pairs if sign and value}


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:500]


def _names(root_fd: int, path: str) -> list[str]:
    try:
        fd = open_beneath(root_fd, path, _FLAGS | os.O_DIRECTORY)
    except KernelError:
        return []
    try:
        return [name for name in sorted(os.listdir(fd)) if not name.endswith(".md5sums")]
    finally:
        os.close(fd)


def _read(root_fd: int, path: str, limit: int = _MAX_FILE) -> str:
    """The text of a regular file, cut off at *limit* bytes; empty when there is none."""
    try:
        fd = open_beneath(root_fd, path, _FLAGS)
    except KernelError:
        return ""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return ""
        return file.read(limit).decode("utf-8", "replace")
