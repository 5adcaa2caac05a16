"""Images made of programs of this host.

The second request for the same programs is answered from a note in the store: the paths that were looked
at, with what identifies their content.  If none has changed, neither has the image.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from container_kit.errors import ContainerKitError, InvalidInput, NotFound
from container_kit.images import records
from container_kit.images.contents import Contents, Data, Directory, Link
from container_kit.oci import Digest, Reference
from container_kit.oci.json_document import encode

if TYPE_CHECKING:
    from container_kit.images.image import Image
    from container_kit.store import Store

__all__ = ["add_base", "from_host", "publish_contents"]

_NOTE = "host-note"
_FORMAT = 1  # raise it when the same inputs give other bytes
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
    name = Reference.parse(tag) if tag is not None else None
    key = _key(programs, files)
    digest = _remembered(store, key) or _make(store, programs, files, key)
    if name is not None and store.resolve_name(records.TAG, str(name)) != digest:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def _make(
    store: Store, programs: tuple[str, ...], files: tuple[str | tuple[str, str], ...], key: str
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
        _remember(store, key, digest, closure.contents)
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

    layer = build_layer(store, lambda fd: write_contents(contents, fd))
    history = [History(created_by=f"container_kit: {step}")]
    return publish_layers(store, [layer], ContainerConfig.from_json(config, "config"), history)


def _key(programs: tuple[str, ...], files: tuple[str | tuple[str, str], ...]) -> str:
    inputs = {
        "format": _FORMAT,
        "programs": list(programs),
        "files": list(files),
        "path": os.environ.get("PATH"),
    }
    return Digest.of(encode(inputs)).hex


def _identity(path: str) -> list[int]:
    """What changes when the content of *path* does; links are not followed."""
    info = os.lstat(path)
    return [info.st_dev, info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def _remember(store: Store, key: str, image: Digest, contents: Contents) -> None:
    try:
        seen = {path: _identity(path) for path in contents.sources}
        raw = encode({"image": str(image), "seen": seen})
    except (OSError, UnicodeEncodeError):
        return  # a file that changed meanwhile, or a name that JSON cannot hold: made again next time
    store.set_name(_NOTE, key, store.put_blob(raw))


def _remembered(store: Store, key: str) -> Digest | None:
    """The image that was made from the same inputs, if it is there and the inputs are unchanged."""
    try:
        note = store.resolve_name(_NOTE, key)
        if note is None:
            return None
        document = json.loads(store.read_blob(note, 64 << 20))
        image = Digest.parse(document["image"])
        unchanged = all(_identity(path) == identity for path, identity in document["seen"].items())
    except (OSError, ValueError, KeyError, NotFound, ContainerKitError):
        return None
    return image if unchanged and store.resolve_name(records.IMAGE, str(image)) == image else None
