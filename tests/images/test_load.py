"""Loading archives: what comes in is what was packed, whole or not at all."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded, NotFound
from container_kit.images import Image
from container_kit.oci import Digest
from tests.images.archives import (
    docker_archive,
    entry,
    layer,
    layout_files,
    sha256,
    write_directory,
    write_tar,
)
from tests.images.conftest import Engine
from tests.images.trees import layer_root

pytestmark = pytest.mark.usefixtures("both_forms")

LOWER = layer(entry("./"), entry("etc"), entry("etc/name", b"lower"), entry("gone", b"x"))
UPPER = layer(entry("etc"), entry("etc/name", b"upper"), entry(".wh.gone", b""))
LAYERS = [LOWER, UPPER]


def read(image: Image, number: int, path: str) -> bytes:
    with layer_root(image, number) as root:
        return (root / path).read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_a_docker_archive_gives_its_image(engine: Engine, tmp_path: Path, compress: bool) -> None:
    """Config digest, diff ids and names are those of the archive, its layers compressed or not."""
    archive = docker_archive(tmp_path / "a.tar", LAYERS, ["tools:v1", "reg.example:5000/t:x"], compress)
    [image] = Image.load(str(archive), engine=engine)

    assert [str(layer) for layer in image.layers] == [sha256(LOWER), sha256(UPPER)]
    assert set(image.names) == {"tools:v1", "reg.example:5000/t:x"}
    assert read(image, 0, "etc/name") == b"lower" and read(image, 1, "etc/name") == b"upper"
    assert Image.get("tools:v1", engine=engine) == image
    assert image.config.config.cmd == ("/bin/sh",)
    assert not engine.store.fsck().problems


def test_equal_docker_archives_give_equal_images(engine: Engine, tmp_path: Path) -> None:
    """The manifest that a docker-archive lacks is made the same way, whatever is in the store."""
    [one] = Image.load(str(docker_archive(tmp_path / "1.tar", LAYERS, ["a:1"], True)), engine=engine)
    [two] = Image.load(str(docker_archive(tmp_path / "2.tar", LAYERS, ["a:2"], False)), engine=engine)
    assert one == two and set(one.names) == {"a:1", "a:2"}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("as_directory", [False, True])
def test_an_oci_layout_keeps_its_digests(
    engine: Engine, tmp_path: Path, compress: bool, as_directory: bool
) -> None:
    """From a directory and from a tar, the manifest's bytes and digest are kept."""
    files = layout_files(LAYERS, "docker.io/library/tools:v2", compress)
    source = write_directory(tmp_path / "dir", files) if as_directory else write_tar(tmp_path / "t", files)
    [image] = Image.load(str(source), engine=engine)

    [written] = json.loads(files["index.json"])["manifests"]
    assert str(image.digest) == written["digest"] and image.names == ["tools:v2"]
    assert image.manifest.raw == files[f"blobs/sha256/{image.digest.hex}"]
    for descriptor in image.manifest.layers:
        fd = engine.store.open_blob(descriptor.digest)
        with open(fd, "rb") as file:
            assert file.read() == files[f"blobs/sha256/{descriptor.digest.hex}"]
    assert not engine.store.fsck().problems


def test_zstd_layers_are_read(engine: Engine, tmp_path: Path) -> None:
    """A layer compressed with zstd unpacks to the same diff id."""
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress(LOWER)
    files = layout_files([LOWER], "z:1", compress=False)
    text = json.dumps({k: v.decode() for k, v in files.items() if b"mediaType" in v and b"layers" in v})
    [manifest] = [json.loads(value) for value in json.loads(text).values()]
    manifest["layers"] = [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
            "digest": sha256(packed),
            "size": len(packed),
        }
    ]
    raw = json.dumps(manifest).encode()
    index = json.loads(files["index.json"])
    index["manifests"][0] |= {"digest": sha256(raw), "size": len(raw)}
    files |= {f"blobs/sha256/{sha256(data)[7:]}": data for data in (raw, packed)}
    files["index.json"] = json.dumps(index).encode()
    [image] = Image.load(str(write_directory(tmp_path / "dir", files)), engine=engine)
    assert [str(layer) for layer in image.layers] == [sha256(LOWER)]


@pytest.mark.tool("zstd")
def test_a_pipe_and_a_compressed_archive_are_read(engine: Engine, tmp_path: Path) -> None:
    """What cannot be read in place is copied to disk first: a pipe, gzip or zstd around all."""
    archive = docker_archive(tmp_path / "a.tar", LAYERS, ["a:1"])
    packed = tmp_path / "a.tar.gz"
    content = archive.read_bytes()
    packed.write_bytes(gzip.compress(content[:2000]) + gzip.compress(content[2000:]))

    with subprocess.Popen(["cat", packed], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        [piped] = Image.load(process.stdout, engine=engine)
    subprocess.run(["zstd", "-q", archive], check=True)
    [from_zstd] = Image.load(f"{archive}.zst", engine=engine)
    [unpacked] = Image.load(str(packed), engine=engine)
    with open(archive, "rb") as file:
        [opened] = Image.load(file, engine=engine)
    [in_memory] = Image.load(io.BytesIO(content), engine=engine)
    assert piped == from_zstd == unpacked == opened == in_memory


def test_links_between_layers_of_old_archives_are_followed(engine: Engine, tmp_path: Path) -> None:
    """Old writers put one layer in the archive and link the others of the same content to it."""
    path = tmp_path / "a.tar"
    docker_archive(path, [LOWER, LOWER], ["a:1"])
    with tarfile.open(path) as old:
        files = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr]
    del files["1/layer.tar"]
    write_tar(path, files)
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("1/layer.tar")
        info.type, info.linkname = tarfile.SYMTYPE, "../0/layer.tar"
        tar.addfile(info)
    [image] = Image.load(str(path), engine=engine)
    assert image.layers == (Digest.parse(sha256(LOWER)),) * 2


def test_many_layers_load_in_parallel(engine: Engine, tmp_path: Path) -> None:
    """Sixty layers come in, each where it belongs."""
    layers = [layer(entry(f"file{number}", b"%d" % number)) for number in range(60)]
    [image] = Image.load(str(write_tar(tmp_path / "t", layout_files(layers, "many:1"))), engine=engine)
    assert [read(image, number, f"file{number}") for number in range(60)] == [b"%d" % n for n in range(60)]


def test_a_second_load_unpacks_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that are in the store are used, not unpacked again."""
    archive = str(write_tar(tmp_path / "t", layout_files(LAYERS, "a:1")))
    [image] = Image.load(archive, engine=engine)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("unpacked again")

    monkeypatch.setattr("container_kit.images.layers.native.unpack", refuse)
    assert Image.load(archive, engine=engine) == [image]


# -- damage and hostility ----------------------------------------------------------------------


def damaged(files: dict[str, bytes], name: str, **changes: Any) -> dict[str, bytes]:
    document = json.loads(files[name])
    document.update(changes)
    return {**files, name: json.dumps(document).encode()}


def test_every_changed_byte_of_a_layout_is_noticed(engine: Engine, tmp_path: Path) -> None:
    """Damage in any blob is CorruptData, and leaves neither an image nor contents behind."""
    files = layout_files(LAYERS, "a:1")
    for name in [name for name in files if name.startswith("blobs/")]:
        content = bytearray(files[name])
        content[len(content) // 2] ^= 0x20
        source = write_directory(tmp_path / name.replace("/", "-"), {**files, name: bytes(content)})
        with pytest.raises(ContainerKitError):
            Image.load(str(source), engine=engine)
        engine.store.gc()  # or the next attempt would find the layers that were whole
    assert Image.list(engine=engine) == []
    assert engine.store.df().blobs == engine.store.df().trees == engine.store.df().temporary_bytes == 0


def test_a_wrong_diff_id_is_noticed(engine: Engine, tmp_path: Path) -> None:
    """A layer whose bytes are whole but not those of the config is CorruptData."""
    archive = tmp_path / "a.tar"
    docker_archive(archive, LAYERS, ["a:1"])
    with tarfile.open(archive) as old:
        files = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr]
    files["0/layer.tar"], files["1/layer.tar"] = files["1/layer.tar"], files["0/layer.tar"]
    with pytest.raises(CorruptData, match="digest"):
        Image.load(str(write_tar(archive, files)), engine=engine)
    assert Image.list(engine=engine) == []


def test_missing_pieces_are_named(engine: Engine, tmp_path: Path) -> None:
    """A blob, config or layer that is not there is CorruptData that names it."""
    files = layout_files(LAYERS, "a:1")
    for name in [name for name in files if name.startswith("blobs/")]:
        part = {other: content for other, content in files.items() if other != name}
        with pytest.raises(CorruptData, match=name):
            Image.load(str(write_directory(tmp_path / name.replace("/", "-"), part)), engine=engine)


def test_an_archive_that_means_two_images_is_refused(engine: Engine, tmp_path: Path) -> None:
    """When manifest.json and index.json name different images, neither is loaded."""
    other = b'{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}'
    manifest = json.dumps([{"Config": "other.json", "RepoTags": ["a:1"], "Layers": []}]).encode()
    files = {**layout_files(LAYERS, "a:1"), "other.json": other, "manifest.json": manifest}
    with pytest.raises(CorruptData, match="disagree"):
        Image.load(str(write_tar(tmp_path / "t", files)), engine=engine)


def test_links_out_of_a_layout_are_not_followed(engine: Engine, tmp_path: Path) -> None:
    """A layout directory whose blob is a link to a file outside gives an error, not that file."""
    files = layout_files([LOWER], "a:1", compress=False)
    source = write_directory(tmp_path / "dir", files)
    blob = source / f"blobs/sha256/{sha256(LOWER)[7:]}"
    (tmp_path / "outside").write_bytes(blob.read_bytes())
    blob.unlink()
    blob.symlink_to(tmp_path / "outside")
    with pytest.raises(CorruptData):
        Image.load(str(source), engine=engine)


def test_a_fifo_in_a_layout_does_not_block(engine: Engine, tmp_path: Path) -> None:
    """A special file where a blob should be is an error at once."""
    source = write_directory(tmp_path / "dir", layout_files([LOWER], "a:1", compress=False))
    blob = source / f"blobs/sha256/{sha256(LOWER)[7:]}"
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(CorruptData, match="regular"):
        Image.load(str(source), engine=engine)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", InvalidInput),
        (b"hello", InvalidInput),
        (b"\x1f\x8bjunk", CorruptData),
        (bytes(10240), InvalidInput),
    ],
)
def test_what_is_no_archive_is_refused(
    engine: Engine, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    """Other files are told apart before anything is stored."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(error):
        Image.load(str(tmp_path / "file"), engine=engine)
    with pytest.raises(NotFound):
        Image.load(str(tmp_path / "absent"), engine=engine)


def test_a_tar_without_images_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A tar of something else is an error that says what was looked for."""
    with pytest.raises(InvalidInput, match=r"manifest\.json"):
        Image.load(str(write_tar(tmp_path / "t", {"hello": b""})), engine=engine)


def test_names_that_cannot_be_are_refused(engine: Engine, tmp_path: Path) -> None:
    """A docker-archive whose tag is no reference loads nothing."""
    with pytest.raises(InvalidInput):
        Image.load(str(docker_archive(tmp_path / "t", LAYERS, ["../../etc:1"])), engine=engine)
    assert Image.list(engine=engine) == []


def test_a_bomb_around_the_archive_stops_at_the_limit(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S14: an archive that inflates a thousandfold is refused, and its copy on disk is gone."""
    monkeypatch.setattr("container_kit.images.sources._RATIO_FREE", 32 << 20)
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(LimitExceeded):
        Image.load(str(bomb), engine=engine)
    assert engine.store.df().temporary_bytes == 0


def test_a_layer_bomb_leaves_no_file_behind(engine: Engine, tmp_path: Path) -> None:
    """S14: a layer that claims a terabyte of holes is refused, and nothing of it stays."""
    info, _ = entry("huge", b"")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    info.size = 512
    layers = [layer((info, b"0\n".ljust(512, b"\0")))]
    with pytest.raises(LimitExceeded):
        Image.load(str(write_tar(tmp_path / "t", layout_files(layers, "bomb:1"))), engine=engine)
    engine.store.gc()
    assert engine.store.df().temporary_bytes == engine.store.df().trees_bytes == 0


def test_an_interrupted_load_stops_its_threads_and_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    """Ctrl-C in the middle of several layers ends the call, and no layer goes on in the background."""
    layers = [layer(entry(f"zeros{number}", bytes(150 << 20))) for number in range(2)]
    archive = docker_archive(tmp_path / "big.tar", layers, ["big:1"])
    before = threading.active_count()
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            Image.load(str(archive), engine=engine)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert threading.active_count() == before
    assert Image.list(engine=engine) == []
    engine.store.gc()
    assert engine.store.df().trees == engine.store.df().temporary_bytes == 0


def test_loading_takes_little_memory(engine: Engine, tmp_path: Path) -> None:
    """A process that loads 300 MB grows by less than 64 MB."""
    layers = [layer(entry(f"zeros{number}", bytes(100 << 20))) for number in range(3)]
    archive = docker_archive(tmp_path / "big.tar", layers, ["big:1"])
    program = (
        "import resource, sys\nfrom container_kit.images import Image\n"
        "from container_kit.store import Store\n"
        "class Engine: store = Store.open(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); Image.load(sys.argv[2], engine=Engine); print(peak() - before)\n"
    )
    command = [sys.executable, "-c", program, engine.store.root, str(archive)]
    grown_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_kib < 64 << 10


def test_loading_runs_no_program_and_asks_no_host_name_service(engine: Engine, tmp_path: Path) -> None:
    """S12: nothing is executed, and only the archive, the store and our own code are opened."""
    info, content = entry("file", b"x", uname="root; id", gname="$(id)")
    files = layout_files([layer((info, content))], "a:1")
    archive = write_tar(tmp_path / "t", files)
    program = (
        "import os, sys, sysconfig\nfrom container_kit.images import Image\n"
        "from container_kit.store import Store\n"
        "class Engine: store = Store.open(sys.argv[1])\n"
        "own = (*sys.argv[1:], sysconfig.get_path('stdlib'), '/proc/self/', sys.prefix)\n"
        "runs = ('subprocess', 'os.exec', 'os.posix_spawn', 'os.system', 'os.fork', 'socket')\n"
        "def watch(event, arguments):\n"
        "    if event.startswith(runs):\n"
        "        print(event, arguments)\n"
        "    if event == 'open' and isinstance(arguments[0], str) and not arguments[0].startswith(own):\n"
        "        print(event, arguments)\n"
        "sys.addaudithook(watch); Image.load(sys.argv[2], engine=Engine)\n"
    )
    package = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", program, engine.store.root, str(archive), package]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
