"""An OCI layout as a place of copies: in a directory, or the same files in a tar.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final

import attrs

from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, KernelError, NotFound
from container_kit.images.archive import MAX_DOCUMENT, check_version, locate, read_document
from container_kit.images.copies.place import Blob, Document, Referrer, Role, Source, Transfer, take_blobs
from container_kit.images.layout import INDEX, LAYOUT, LAYOUT_FILE, NAME_ANNOTATIONS, REF_NAME, blob_path
from container_kit.images.sources import Content, DirectoryFiles, Files
from container_kit.images.tarwriter import TarWriter
from container_kit.native.descriptors import open_path
from container_kit.native.digests import sha256_range
from container_kit.oci import Descriptor, Digest, Index, Manifest
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.media_types import INDEX_TYPES, MANIFEST_TYPES
from container_kit.registry.signatures.attachments import signature_tag

__all__ = ["ArchiveTarget", "DirectoryTarget", "LayoutSource", "directory_target", "with_entry"]

_DRAFT: Final = ".part"
_is_signature: Final = re.compile(r"sha(256|512)-[0-9a-f]+\.sig").fullmatch  # see `signature_tag`
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


@attrs.frozen
class LayoutSource:
    """The image *name* of a layout; empty means the only one."""

    files: Files
    name: str

    def top(self) -> Document:
        return self.document(self._chosen())

    def _chosen(self) -> Descriptor:
        if LAYOUT_FILE not in self.files or INDEX not in self.files:
            raise InvalidInput("this is no OCI layout: it has not both 'oci-layout' and 'index.json'")
        check_version(self.files)
        entries = self._entries()
        if self.name:
            found = {one.digest: one for one in entries if self.name in _names(one)}
        else:  # what refers to another entry is not what was meant
            found = {one.digest: one for one in entries if not any(map(_is_signature, _names(one)))}
            if len(found) > 1:
                found = {key: one for key, one in found.items() if self.document(one).subject is None}
        if len(found) == 1:
            return next(iter(found.values()))
        has = ", ".join(sorted({name for one in entries for name in _names(one)})) or "no names"
        if not found:
            raise NotFound("image in the layout", self.name, f"it has {has}")
        raise InvalidInput(f"the layout has {len(found)} images: say which one; it has {has}")

    def _entries(self) -> list[Descriptor]:
        index = Index.parse(self.files.find(INDEX).read(MAX_DOCUMENT, INDEX))
        return [one for one in index.manifests if one.media_type in MANIFEST_TYPES | INDEX_TYPES]

    def document(self, descriptor: Descriptor) -> Document:
        return parse_manifest(read_document(self.files, descriptor), descriptor.media_type)

    def content(self, descriptor: Descriptor) -> Content:
        return locate(self.files, descriptor)

    def referrers(self, subject: Digest) -> Sequence[Referrer]:
        tag = signature_tag(subject)
        found = [Referrer(one, tag if tag in _names(one) else "") for one in self._entries()]
        return [one for one in found if one.tag or self._subject(one.descriptor) == subject]

    def _subject(self, descriptor: Descriptor) -> Digest | None:
        document = self.document(descriptor)
        return document.subject.digest if document.subject else None

    def cancel(self) -> None:
        """Nothing waits for a file."""


def _names(descriptor: Descriptor) -> list[str]:
    return [name for key in NAME_ANNOTATIONS if (name := descriptor.annotations.get(key, ""))]


def with_entry(index: Index | None, document: Document, name: str) -> Index:
    """The layout's index with one more entry, which takes *name* (or none) from the one that had it."""
    before = list(index.manifests) if index else []
    annotations = {REF_NAME: name} if name else {}
    entry = attrs.evolve(document_descriptor(document), annotations=annotations)
    kept = [one for one in before if one != entry and not (annotations and _names(one) == [name])]
    return Index.build([*kept, entry], index.annotations if index else None)


def document_descriptor(document: Document) -> Descriptor:
    """How an index points at *document*."""
    return Descriptor(
        document.media_type, document.digest, len(document.raw), artifact_type=document.artifact_type
    )


# -- a directory -------------------------------------------------------------------------------


@contextmanager
def directory_target(path: str, name: str) -> Iterator[DirectoryTarget]:
    """The layout in the directory *path*, which is made if it is not there."""
    with ExitStack() as stack:
        try:
            os.makedirs(path, exist_ok=True)
            root = stack.enter_context(open_path(path, os.O_RDONLY | os.O_DIRECTORY))
            files = DirectoryFiles(root.fileno())
            stack.callback(files.close)
            target = DirectoryTarget(root.fileno(), name)
            with target.locked():
                if LAYOUT_FILE in files:
                    check_version(files)
                elif any(not one.endswith(_DRAFT) for one in os.listdir(path)):
                    raise InvalidInput(f"{path!r} is a directory, and neither empty nor an OCI layout")
                else:  # first of all: a copy that is interrupted goes on here
                    target.begin()
            yield target
        except OSError as error:
            if isinstance(error, ContainerKitError):
                raise
            raise KernelError.of(error.errno or 0, "cannot copy to the layout", path) from None


@attrs.frozen
class DirectoryTarget:
    """The image *name* (or none) of the layout whose directory is open as *root*."""

    root: int
    name: str

    def begin(self) -> None:
        """Mark an empty directory as a layout."""
        self._write(LAYOUT, LAYOUT_FILE)

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        take_blobs(self, manifest, source, transfer)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether its bytes are here, and right: a damaged file is written anew."""
        digest = descriptor.digest
        with closing(DirectoryFiles(self.root)) as files, suppress(CorruptData):
            found = files.find(blob_path(digest))
            if found.size == descriptor.size and digest.algorithm == "sha256":
                return sha256_range(found.fd, 0, found.size).hex() == digest.hex
        return False

    def write_blob(self, blob: Blob) -> None:
        with self._replaced(*blob_path(blob.descriptor.digest).split("/")) as fd:
            blob.write_to(fd)

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        self._write(document.raw, *blob_path(document.digest).split("/"))
        if role != "part":
            self._add_to_index(document, self.name if role == "top" else tag)

    def _add_to_index(self, document: Document, name: str) -> None:
        with self.locked(), closing(DirectoryFiles(self.root)) as files:
            has = Index.parse(files.find(INDEX).read(MAX_DOCUMENT, INDEX)) if INDEX in files else None
            self._write(with_entry(has, document, name).raw, INDEX)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process of ours change what leads to the blobs, for the length of a block."""
        fcntl.flock(self.root, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.root, fcntl.LOCK_UN)

    def _write(self, data: bytes, *parts: str) -> None:
        with self._replaced(*parts) as fd:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]

    @contextmanager
    def _replaced(self, *parts: str) -> Iterator[int]:
        """A new file for what *parts* name below the root; it takes its place when the block ends well.

        No link is followed on the way: who made the layout does not decide where we write.
        """
        with ExitStack() as stack:
            folder = self.root
            for part in parts[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                folder = stack.enter_context(open_path(part, _DIRECTORY, dir_fd=folder)).fileno()
            draft = f".{parts[-1][:32]}.{secrets.token_hex(4)}{_DRAFT}"
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            try:
                yield stack.enter_context(open_path(draft, flags, 0o644, dir_fd=folder)).fileno()
                os.rename(draft, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def cancel(self) -> None:
        """Nothing waits for a file."""


# -- a tar -------------------------------------------------------------------------------------


@attrs.frozen
class ArchiveTarget:
    """The image *name* (or none) of a new layout in a tar; `finish` writes what leads to it."""

    tar: TarWriter
    name: str
    _written: set[Digest] = attrs.field(factory=set)
    _entries: list[tuple[Document, str]] = attrs.field(factory=list)

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        take_blobs(self, manifest, source, transfer, at_once=1)

    def has_blob(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self._written

    def write_blob(self, blob: Blob) -> None:
        size = blob.descriptor.size
        blob.write_to(self.tar.begin(blob_path(blob.descriptor.digest), size))
        self.tar.end(size)
        self._written.add(blob.descriptor.digest)

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        if document.digest not in self._written:
            self.tar.data(blob_path(document.digest), document.raw)
            self._written.add(document.digest)
        if role != "part":
            self._entries.append((document, self.name if role == "top" else tag))

    def finish(self) -> None:
        index = None
        for document, name in self._entries:
            index = with_entry(index, document, name)
        assert index is not None
        self.tar.data(INDEX, index.raw)
        self.tar.data(LAYOUT_FILE, LAYOUT)

    def cancel(self) -> None:
        """Nothing waits for a file."""
