"""Build contexts: a directory, an archive, a git repository, a mapping, or nothing but a Dockerfile.

Whatever it was, a context becomes one tree of files with its ignore rules, and the Dockerfile's bytes.

Source: Docker documentation, "Build context".
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, TypeAlias

import attrs

from container_kit.build.archives import is_tar, unpacked_fd
from container_kit.build.dockerfile.ignore import EMPTY, IgnoreRules
from container_kit.build.downloading import downloaded, is_url
from container_kit.build.gitsource import GitReference, checked_out
from container_kit.build.hashes import HashCache
from container_kit.build.trees import Tree, normal_path
from container_kit.errors import InvalidInput, KernelError, LimitExceeded
from container_kit.native.trees import open_beneath

__all__ = ["Context", "ContextSource", "open_context"]

# A directory, an archive or a URL by name; an open archive or Dockerfile; paths with their contents; nothing.
ContextSource: TypeAlias = "str | os.PathLike[str] | BinaryIO | Mapping[str, bytes | str] | None"

_MAX_TEXT = 2 << 20
_OWNER = (0, 0)  # who the files of a context belong to in an image


@attrs.frozen
class Context:
    """What a build may read.

    Attributes:
        tree: Its files without those that are ignored.
        dockerfile: The bytes of the Dockerfile; None when none was asked for.
        dockerfile_name: What errors call it.
    """

    tree: Tree
    dockerfile: bytes | None
    dockerfile_name: str


@contextlib.contextmanager
def open_context(
    source: ContextSource,
    *,
    dockerfile: str | bytes | os.PathLike[str] | None = "Dockerfile",
    scratch: str | None = None,
    hashes: str | None = None,
) -> Iterator[Context]:
    """The context that *source* means, for the length of the block.

    Args:
        source: A directory; an archive (plain or compressed); ``https://host/repo.git#ref:directory``,
            ``git@host:repo``, ``file:///repo`` or the URL of an archive; an open binary file with an archive
            or a Dockerfile (standard input, say); ``{path: content}``; or None for an empty context.
        dockerfile: A path within the context, an absolute path of the host, the text as bytes, or None.
        scratch: Where archives and repositories are unpacked; None for the system's temporary directory.
        hashes: A file that keeps digests of files between builds; None keeps none.

    Raises:
        InvalidInput: There is no such context or Dockerfile; says what was looked for.
        ContainerKitError: A repository or URL cannot be fetched.
    """
    cache = HashCache(hashes)
    with _opened(source, scratch) as found:
        if isinstance(found, bytes):  # the stream was a Dockerfile
            with _opened({}, scratch) as empty:
                assert isinstance(empty, Tree)
                yield Context(empty, found, "Dockerfile")
            return
        text, name, rules = _dockerfile(found, dockerfile)
        yield Context(attrs.evolve(found, rules=rules, hashes=cache), text, name)
        cache.save()


@contextlib.contextmanager
def _opened(source: ContextSource, scratch: str | None) -> Iterator[Tree | bytes]:
    if source is None or isinstance(source, Mapping):
        with _mapping(source or {}, scratch) as tree:
            yield tree
    elif isinstance(source, str | os.PathLike):
        with _named(os.fspath(source), scratch) as found:
            yield found
    elif hasattr(source, "read"):
        with _stream(source, scratch) as found:
            yield found
    else:
        raise InvalidInput(
            f"cannot use {source!r} as a build context: give a path, a URL, an open file or a mapping"
        )


@contextlib.contextmanager
def _named(name: str, scratch: str | None) -> Iterator[Tree | bytes]:
    reference = GitReference.parse(name, allow_local=True)
    if reference is not None:
        with checked_out(reference, scratch=scratch, allow_local=True) as checkout:
            yield checkout.tree
    elif is_url(name):
        with downloaded(name, scratch=scratch) as download:
            fd = download.tree.open(download.name)
            with open(fd, "rb") as file, _stream(file, scratch) as found:
                yield found
    elif os.path.isdir(name):
        with _directory(name) as tree:
            yield tree
    else:
        try:
            file = open(name, "rb")  # noqa: SIM115
        except OSError as error:
            raise InvalidInput(f"cannot use {name!r} as a build context: {error.strerror}") from None
        with file, _stream(file, scratch) as found:
            if isinstance(found, bytes):
                raise InvalidInput(f"cannot use {name!r} as a build context: no directory and no archive")
            yield found


@contextlib.contextmanager
def _directory(path: str) -> Iterator[Tree]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot use {path!r} as a build context: {error.strerror}") from None
    try:
        yield Tree(fd, owner=_OWNER)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _stream(file: BinaryIO, scratch: str | None) -> Iterator[Tree | bytes]:
    """An archive, or the bytes of a Dockerfile if that is what comes."""
    beginning = file.read(1 << 16)
    if not is_tar(beginning, ".tar.zst"):
        text = beginning + file.read(_MAX_TEXT)
        if len(text) > _MAX_TEXT:
            raise LimitExceeded("what was given as the context is no archive, and too long for a Dockerfile")
        yield text
        return
    with tempfile.TemporaryFile(dir=scratch) as spool:
        size = spool.write(beginning)
        while chunk := file.read(1 << 20):
            size += spool.write(chunk)
        spool.flush()
        os.lseek(spool.fileno(), 0, os.SEEK_SET)
        with unpacked_fd(spool.fileno(), "the build context", scratch) as tree:
            yield attrs.evolve(tree, owner=_OWNER)


@contextlib.contextmanager
def _mapping(files: Mapping[str, bytes | str], scratch: str | None) -> Iterator[Tree]:
    """A directory with these files, mode 0644, all of the time 0: the same mapping is the same context."""
    with tempfile.TemporaryDirectory(prefix="ckit-context-", dir=scratch) as directory:
        for path, content in files.items():
            normal = normal_path(path)
            if not normal or "\0" in path or ".." in path.split("/"):
                raise InvalidInput(f"{path!r} is no path of a file within a context")
            place = os.path.join(directory, normal)
            try:
                os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
                with open(place, "xb") as file:
                    os.fchmod(file.fileno(), 0o644)
                    file.write(content.encode() if isinstance(content, str) else content)
            except OSError as error:
                raise InvalidInput(
                    f"cannot make the file {path!r} of the context: {error.strerror}"
                ) from None
        with _directory(directory) as tree:
            yield attrs.evolve(tree, time_ns=0)


def _dockerfile(
    tree: Tree, dockerfile: str | bytes | os.PathLike[str] | None
) -> tuple[bytes | None, str, IgnoreRules]:
    """The text of the Dockerfile, its name, and the ignore rules that go with it."""
    if dockerfile is None or isinstance(dockerfile, bytes):
        return dockerfile, "Dockerfile", _rules(tree, [".dockerignore"])
    path = os.fspath(dockerfile)
    if os.path.isabs(path):
        return _host_text(path), path, _host_rules(path) or _rules(tree, [".dockerignore"])
    text = _text(tree, path)
    if text is None and path == "Dockerfile":
        text = _text(tree, "dockerfile")
    if text is None:
        raise InvalidInput(
            f"there is no {path!r} in {tree.name}: give its path there, an absolute one, or its text as bytes"
        )
    return text, path, _rules(tree, [f"{path}.dockerignore", ".dockerignore"])


def _rules(tree: Tree, names: list[str]) -> IgnoreRules:
    for name in names:
        text = _text(tree, name)
        if text is not None:
            return IgnoreRules.parse(text, name=name)
    return EMPTY


def _text(tree: Tree, path: str) -> bytes | None:
    """A text file of the context; links in it lead nowhere but within it."""
    try:
        found = open_beneath(tree.fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except KernelError:
        return None
    with open(found, "rb") as file:
        return _limited(file, path)


def _host_text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _limited(file, path)
    except OSError as error:
        raise InvalidInput(f"cannot read the Dockerfile {path!r}: {error.strerror}") from None


def _host_rules(path: str) -> IgnoreRules | None:
    name = f"{path}.dockerignore"
    if not os.path.exists(name):
        return None
    return IgnoreRules.parse(_host_text(name), name=name)


def _limited(file: io.BufferedReader, path: str) -> bytes:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise InvalidInput(f"cannot read {path!r}: it is no regular file")
    text = file.read(_MAX_TEXT + 1)
    if len(text) > _MAX_TEXT:
        raise LimitExceeded(f"{path} is larger than {_MAX_TEXT} bytes")
    return text
