"""Images made of programs of this host: what belongs to every such image, and how it is published."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from container_kit.errors import InvalidInput
from container_kit.images import records
from container_kit.images.contents import Contents, Data, Directory, Link
from container_kit.images.notes import Note
from container_kit.oci import Digest, Reference

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.store import Store

__all__ = ["add_base", "from_host", "publish_contents"]

_MERGED = ("bin", "sbin", "lib", "lib64", "lib32")
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"
_NSSWITCH = b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
_HOSTS = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def from_host(
    store: Store, programs: tuple[str, ...], files: tuple[str | tuple[str, str], ...], tag: str | None
) -> Image:
    """See `container_kit.images.image.Image.from_host`."""
    if not programs and not files:
        raise InvalidInput("an image of this host needs at least one program or file")
    for program in programs:
        if not isinstance(program, str | os.PathLike):
            raise InvalidInput(
                f"a program is a name or a path, not {program!r}: give several one by one, "
                "such as Image.from_host('sh', 'cat')"
            )
    name = Reference.parse(tag) if tag is not None else None
    note = Note.of(store, ["host", list(programs), list(files), os.environ.get("PATH")])
    digest = note.image() or _make(store, programs, files, note)
    if name is not None and store.resolve_name(records.TAG, str(name)) != digest:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def _make(
    store: Store, programs: tuple[str, ...], files: tuple[str | tuple[str, str], ...], note: Note
) -> Digest:
    from container_kit.images.closure import IMAGE_PATH, Closure

    closure = Closure()
    add_base(closure.contents)
    places = [closure.add_program(program) for program in programs]
    for file in files:
        closure.add_file(*((file,) if isinstance(file, str) else file))
    shell = next((place for place in places if os.path.basename(place) in ("sh", "bash")), None)
    config = {"Env": [f"PATH={IMAGE_PATH}"], "WorkingDir": "/"}
    command = shell or (places[0] if places else None)
    with store.lease():
        digest = publish_contents(
            store, closure.contents, {**config, **({"Cmd": [command]} if command else {})}, "host programs"
        )
        note.write(digest, closure.contents.sources)
    return digest


def add_base(contents: Contents) -> None:
    """What every system has: places to mount on, a minimal ``/etc``, and the links of a merged ``/usr``."""
    for name in _MERGED:
        if os.path.islink(f"/{name}"):
            contents.put(f"/{name}", Link(os.readlink(f"/{name}")))
            contents.require_directory(os.path.join("/", os.readlink(f"/{name}")))
    for path in ("/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var"):
        contents.put(path, Directory())
    contents.put("/root", Directory(0o700))
    # Places in the image, not on this host.
    for path in ("/tmp", "/var/tmp"):  # noqa: S108
        contents.put(path, Directory(0o1777))
    for name, content in (
        ("passwd", _PASSWD),
        ("group", _GROUP),
        ("nsswitch.conf", _NSSWITCH),
        ("hosts", _HOSTS),
        ("hostname", b""),
        ("resolv.conf", b""),
    ):
        contents.put(f"/etc/{name}", Data(content))


def publish_contents(store: Store, contents: Contents, config: dict[str, Any], step: str) -> Digest:
    """Make *contents* an image of one layer; the same contents and config give the same digest."""
    from container_kit.images.assemble import publish_layers
    from container_kit.images.layers import build_layer
    from container_kit.images.tarwriter import write_contents
    from container_kit.oci import ContainerConfig, History

    if any(path.startswith("/root/") for path in contents.nodes):
        contents.nodes["/root"] = Directory()  # programs that live there are for every user of the image
    layer = build_layer(store, lambda fd: write_contents(contents, fd))
    history = [History(created_by=f"container_kit: {step}")]
    return publish_layers(store, [layer], ContainerConfig.from_json(config, "config"), history)
