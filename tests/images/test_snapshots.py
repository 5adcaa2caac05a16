"""One suite for both snapshotters: what a container sees, what it changed, and what becomes of it."""

import ctypes
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.errors import NotFound, UnsupportedFeature
from container_kit.images import Change, Image, Snapshotter, overlayprobe, snapshotter
from container_kit.native.layer_mounts import opened_layers
from container_kit.oci import Digest, Overlay
from tests.images.archives import docker_archive, entry, layer
from tests.images.conftest import Engine
from tests.images.trees import describe

pytestmark = pytest.mark.root

LOWER = layer(
    entry("./", mode=0o751), entry("etc"), entry("etc/keep", b"1"), entry("etc/change", b"1"),
    entry("gone", b"x"),
    entry("dir"), entry("dir/old", b"o"), entry("dir/sub"), entry("dir/sub/deep", b"d"), entry("hidden"),
    entry("hidden/a", b"a"),
)  # fmt: skip
UPPER = layer(
    entry("./", mode=0o751), entry("hidden"), entry("hidden/.wh..wh..opq", b""), entry("hidden/b", b"b")
)

_MS_NODEV, _MNT_DETACH = 4, 2


@attrs.frozen
class Root:
    """A prepared root that is really mounted."""

    snapshots: Snapshotter
    directory: str
    layers: tuple[Digest, ...]
    path: Path

    def changes(self) -> dict[str, str]:
        return {change.path: change.kind for change in self.snapshots.changes(self.directory, self.layers)}


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> Image:
    [image] = Image.load(str(docker_archive(tmp_path / "a.tar", [LOWER, UPPER], ["base:1"])), engine=engine)
    return image


@pytest.fixture(params=["erofs", "overlay", "copy"])
def engine(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """Each of the ways to keep layers and to make roots of them."""
    engine.store.snapshotter = request.param
    return engine


@pytest.fixture
def root(engine: Engine, image: Image, tmp_path: Path) -> Iterator[Root]:
    snapshots = snapshotter(engine.store)
    directory = tmp_path / "container"
    directory.mkdir()
    prepared = snapshots.prepare(str(directory), image.layers)
    if not isinstance(prepared, Overlay):
        yield Root(snapshots, str(directory), image.layers, Path(prepared.path))
        return
    target = tmp_path / "mounted"
    target.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    with opened_layers(prepared.lowers) as lowers:
        options = f"lowerdir={':'.join(lowers)},upperdir={prepared.upper},workdir={prepared.work}"
        assert libc.mount(b"overlay", os.fsencode(target), b"overlay", _MS_NODEV, options.encode()) == 0
    try:
        yield Root(snapshots, str(directory), image.layers, target)
    finally:
        libc.umount2(os.fsencode(target), _MNT_DETACH)


def test_a_root_shows_its_layers_merged(root: Root) -> None:
    """Whiteouts and opaque directories have taken effect, and the root has the mode of the top layer."""
    assert (root.path / "etc/keep").read_bytes() == b"1"
    assert os.listdir(root.path / "hidden") == ["b"]
    assert stat.S_IMODE(root.path.stat().st_mode) == 0o751
    assert root.changes() == {}


def test_changes_are_those_that_were_made(root: Root) -> None:
    """Added, changed and deleted paths come as docker diff shows them, parents as changed."""
    (root.path / "etc/change").write_bytes(b"2")
    (root.path / "gone").unlink()
    (root.path / "new").mkdir()
    (root.path / "new/file").write_bytes(b"n")
    (root.path / "dir/sub/deep").chmod(0o600)

    # Overlay copies the directories on the way up; a plain copy has no reason to touch them.
    parents = {"/etc": "C", "/dir": "C", "/dir/sub": "C"} if root.snapshots.name == "overlay" else {}
    made = {"/etc/change": "C", "/gone": "D", "/new": "A", "/new/file": "A", "/dir/sub/deep": "C"}
    assert root.changes() == {**made, **parents}


def test_a_directory_that_was_replaced_has_lost_its_content(root: Root) -> None:
    """What was in a directory before it was made anew is deleted."""
    shutil.rmtree(root.path / "dir")
    (root.path / "dir").mkdir()
    (root.path / "dir/new").write_bytes(b"n")

    changes = root.changes()
    assert changes["/dir/old"] == changes["/dir/sub"] == "D" and changes["/dir/new"] == "A"


def test_a_commit_holds_exactly_what_the_container_saw(engine: Engine, root: Root, image: Image) -> None:
    """A container of the committed image sees the tree that the first one left behind."""
    shutil.rmtree(root.path / "dir")
    (root.path / "dir").mkdir(mode=0o700)
    (root.path / "dir/new").write_bytes(b"n")
    os.link(root.path / "dir/new", root.path / "dir/second")
    (root.path / "etc/change").write_bytes(b"2")
    (root.path / "gone").unlink()
    os.chown(root.path / "etc/keep", 70_000, 70_000)
    os.symlink("/etc/keep", root.path / "link")
    before = describe(root.path)

    committed = Image.from_container(root.directory, image, tag="done:1", changes=["CMD done"], message="why")
    directory = Path(root.directory).with_name("second")
    directory.mkdir()
    copy = snapshotter(engine.store, "copy")
    copy.prepare(str(directory), committed.layers)
    assert describe(directory / "rootfs") == before
    assert committed.layers[:-1] == image.layers and committed.names == ["done:1"]
    assert committed.config.config.cmd == ("/bin/sh", "-c", "done")
    assert committed.history()[0].comment == "why"
    copy.remove(str(directory))
    assert os.listdir(directory) == []


def test_usage_counts_what_the_container_wrote(root: Root) -> None:
    """One megabyte more is one megabyte more, whatever its names."""
    before = root.snapshots.usage(root.directory)
    (root.path / "big").write_bytes(bytes(1_000_000))
    os.link(root.path / "big", root.path / "again")
    after = root.snapshots.usage(root.directory)
    assert after.size_bytes - before.size_bytes == 1_000_000 and after.inodes - before.inodes == 1


def test_links_of_a_container_lead_nowhere_outside(root: Root, tmp_path: Path) -> None:
    """A directory that a container replaced by a link is shown as a link, and not followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("")
    shutil.rmtree(root.path / "dir")
    (root.path / "dir").symlink_to(tmp_path / "outside")
    assert not any("secret" in path for path in root.changes())


def test_a_directory_that_became_a_link_is_packed_as_that(root: Root, tmp_path: Path) -> None:
    """What was in the directory is hidden by the link: nothing is marked as deleted where the link leads."""
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(root.path / "dir")
    (root.path / "dir").symlink_to(outside)
    assert root.changes() == {"/dir": "C"}
    with open(tmp_path / "layer.tar", "wb") as out:
        root.snapshots.pack(root.directory, out.fileno())

    assert list(outside.iterdir()) == []
    with tarfile.open(tmp_path / "layer.tar") as packed:
        assert [entry.name.strip("./") for entry in packed if entry.name.strip("./")] == ["dir"]


def test_layers_that_are_not_there_are_named(engine: Engine, tmp_path: Path) -> None:
    """A root of layers that were removed is NotFound, before anything is made."""
    for name in ("overlay", "copy"):
        (tmp_path / name).mkdir()
        with pytest.raises(NotFound, match="layer"):
            snapshotter(engine.store, name).prepare(str(tmp_path / name), (Digest("sha256", "0" * 64),))  # type: ignore[arg-type]


def test_a_layer_that_comes_twice_is_mounted_once(engine: Engine, tmp_path: Path) -> None:
    """Overlay refuses one directory twice; the upper appearance is the one that counts."""
    archive = docker_archive(tmp_path / "a.tar", [LOWER, UPPER, LOWER], ["twice:1"])
    [image] = Image.load(str(archive), engine=engine)
    (tmp_path / "c").mkdir()
    prepared = snapshotter(engine.store, "overlay").prepare(str(tmp_path / "c"), image.layers)
    assert isinstance(prepared, Overlay)
    assert prepared.lowers == (image.layer_path(image.layers[0]), image.layer_path(image.layers[1]))


def test_an_image_without_layers_gets_an_empty_root(engine: Engine, tmp_path: Path) -> None:
    """Overlay needs a lower directory: an empty one is made, and removed again."""
    (tmp_path / "c").mkdir()
    snapshots = snapshotter(engine.store, "overlay")
    prepared = snapshots.prepare(str(tmp_path / "c"), ())
    assert isinstance(prepared, Overlay) and os.listdir(prepared.lowers[0]) == []
    snapshots.remove(str(tmp_path / "c"))
    assert os.listdir(tmp_path / "c") == []


def test_overlay_is_tried_where_it_is_not_certain(tmp_path: Path) -> None:
    """The trial makes a superblock on an ordinary file system, gives a reason elsewhere, leaves nothing."""
    assert overlayprobe._try(str(tmp_path)) is None
    assert os.listdir(tmp_path) == []
    assert "no directory can be made" in (overlayprobe._try("/proc") or "")


def test_where_overlay_cannot_be_mounted_there_is_the_copy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Auto takes the copy then, and whoever insists on overlay is told why not."""
    engine.store.snapshotter = "auto"
    assert snapshotter(engine.store).name == "overlay"
    monkeypatch.setattr(overlayprobe, "why_no_overlay", lambda root: "it is a test")
    assert snapshotter(engine.store).name == "copy"
    with pytest.raises(UnsupportedFeature, match="it is a test"):
        snapshotter(engine.store, "overlay")


def test_changes_sort_by_path() -> None:
    """Lists of changes are in the order of their paths."""
    assert sorted([Change("/b", "A"), Change("/a", "D")])[0].path == "/a"
