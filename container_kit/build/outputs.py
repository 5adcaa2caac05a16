"""Where a build's result goes beside the store: archives, a layout, a directory of files, a tar of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from container_kit.build.words import Words
from container_kit.errors import InvalidInput, KernelError
from container_kit.images import Image, records, save_images
from container_kit.images.copies.copier import copy_image
from container_kit.images.copies.copying import Copying, opened_target
from container_kit.images.copies.names import PlaceName
from container_kit.images.copies.stored import IndexSource
from container_kit.images.layers import stream
from container_kit.images.pushing import push_all, push_index
from container_kit.images.views import view
from container_kit.native import layers as native
from container_kit.oci import Index, ProgressCallback
from container_kit.registry.client import RegistryOptions

__all__ = ["Output", "parse_outputs", "write_outputs"]

_ARCHIVES = {"oci": "oci", "docker": "docker-archive"}
_TYPES = ("local", "tar", "oci", "docker", "image", "registry")


@attrs.frozen
class Output:
    """One output: *path* is empty for the store, ``-`` for standard output; *name* is what is pushed."""

    type: str
    path: str = ""
    name: str = ""
    is_directory: bool = False


def parse_outputs(value: str | os.PathLike[str] | Iterable[str] | None) -> tuple[Output, ...]:
    """The outputs that ``output=`` means: a path is a directory of files, ``-`` a tar on standard output.

    Raises:
        InvalidInput: A type is not known, or its destination is missing.
    """
    if value is None:
        return ()
    many = [os.fspath(value)] if isinstance(value, str | os.PathLike) else [os.fspath(one) for one in value]
    return tuple(_output(text) for text in many)


def _output(text: str) -> Output:
    words = Words.parse(text, "output", plain="tar" if text == "-" else "local")
    if words.type not in _TYPES:
        raise InvalidInput(f"output type={words.type} is not known: use {', '.join(_TYPES)}")
    if words.type in ("image", "registry"):
        pushes = words.type == "registry" or words.values.get("push") == "true"
        return Output("image", name=words.required("name") if pushes else "")
    target = words.get("dest")
    if not target:
        raise InvalidInput(f"output type={words.type} needs dest=PATH")
    if target == "-" and words.type == "local":
        raise InvalidInput("output type=local cannot go to standard output: use type=tar")
    is_directory = words.type in _ARCHIVES and words.values.get("tar") == "false"
    return Output(words.type, target if target == "-" else os.path.abspath(target), is_directory=is_directory)


def write_outputs(
    outputs: Sequence[Output],
    images: Sequence[Image],
    chosen: Image,
    index: Index | None = None,
    report: ProgressCallback | None = None,
) -> None:
    """Write *images*, one a platform, to each output; *chosen* where only one can be had.

    Args:
        index: The images with their attestations, for outputs that can hold an index.

    Raises:
        KernelError: A destination cannot be written.
    """
    for output in outputs:
        match output.type:
            case "oci" if index is not None:
                _write_index(output, index, chosen)
            case "oci" | "docker":
                _archive(output, images, chosen)
            case "local":
                _unpack(chosen, output.path)
            case "tar":
                with _opened(output.path) as fd:
                    _pack(chosen, fd)
            case _ if output.name and index is not None:
                # Layers keep their bytes: the attestations are of the images as they are.
                options = RegistryOptions()
                push_index(
                    chosen.store, index, output.name, compression="keep", progress=report, options=options
                )
            case _:
                if output.name:
                    push_all(images, output.name, report, RegistryOptions())


def _write_index(output: Output, index: Index, chosen: Image) -> None:
    """As an OCI layout: the index is what its name means."""
    if output.path == "-":
        raise InvalidInput("attestations cannot go to standard output: give a path with dest=")
    name = next((str(one) for one in records.references_of(chosen.store, chosen.digest)), "")
    place = PlaceName("oci" if output.is_directory else "oci-archive", name, output.path)
    source = IndexSource(chosen.store, chosen.digest, None, True, index)
    how = Copying(chosen.store, RegistryOptions(), RegistryOptions())
    with opened_target(place, "", source, how) as target:
        copy_image(source, target, None, whole=True, referrers=False, report=lambda _: None)


def _archive(output: Output, images: Sequence[Image], chosen: Image) -> None:
    if output.is_directory:
        save_images(list(images), output.path, "oci-dir")
    elif output.path == "-":
        with open(1, "wb", closefd=False) as file:
            save_images([chosen], file, "docker-archive" if output.type == "docker" else "oci")
    elif output.type == "docker":
        save_images([chosen], output.path, "docker-archive")
    else:
        save_images(list(images), output.path, "oci")


def _pack(image: Image, fd: int) -> None:
    with view(image.store, image.layers) as root:
        native.pack(root, fd, form="archive")


def _unpack(image: Image, path: str) -> None:
    """Into a directory that may have files already."""
    try:
        os.makedirs(path, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot write the output to a directory", path) from None
    try:
        stream(
            lambda out: _pack(image, out),
            lambda source: native.unpack(source, fd, compression="none", form="archive"),
        )
    finally:
        os.close(fd)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    if path == "-":
        yield 1
        return
    try:
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot write the output", path) from None
    try:
        yield fd
    finally:
        os.close(fd)
