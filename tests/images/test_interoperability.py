"""What other tools write we load, and what we write they load: equal digests and equal trees."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.images import Image, snapshotter
from container_kit.oci import Digest
from tests.images.conftest import Engine
from tests.images.trees import describe, layer_root, make_rich_tree

pytestmark = pytest.mark.root


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich_tree(tmp_path_factory.mktemp("rich") / "tree")


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """podman with a store of its own; its paths may have 50 characters, so tmp_path is too long."""
    with tempfile.TemporaryDirectory(prefix="ck-podman-") as place:
        yield ["podman", "--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs"]


def tree_of(image: Image) -> dict[str, object]:
    """The unpacked tree of an image of one layer."""
    assert len(image.layers) == 1
    with layer_root(image) as root:
        return describe(root)


def config_digest(layout: Path) -> tuple[str, str]:
    """Digests of the only manifest, and of its config, that a layout directory of another tool names."""
    [entry] = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
    return entry["digest"], manifest["config"]["digest"]


@pytest.mark.tool("podman")
@pytest.mark.parametrize("format", ["docker-archive", "oci-archive", "oci-dir"])
def test_what_podman_saves_we_load(
    engine: Engine, tmp_path: Path, rich: Path, podman: list[str], format: str
) -> None:
    """The id, the tree and the name survive podman's three formats."""
    run("tar", "-C", rich, "--xattrs", "--xattrs-include=*", "-cf", tmp_path / "rich.tar", ".")
    image_id = run(*podman, "import", "-q", tmp_path / "rich.tar", "peer:v1")
    run(*podman, "save", "-q", "--format", format, "-o", tmp_path / "saved", "peer:v1")

    [image] = Image.load(str(tmp_path / "saved"), engine=engine)
    assert str(image.id) == image_id and image.names == ["localhost/peer:v1"]
    assert tree_of(image) == describe(rich)


@pytest.mark.tool("podman")
@pytest.mark.parametrize("format", ["docker-archive", "oci", "oci-dir"])
def test_what_we_save_podman_loads(
    engine: Engine, tmp_path: Path, rich: Path, podman: list[str], format: str
) -> None:
    """podman finds the same id, and mounts the same tree."""
    image = Image.from_rootfs(str(rich), "ours:v1", {"Cmd": ["/plain"]}, engine=engine)
    image.save(str(tmp_path / "saved"), format)  # type: ignore[arg-type]
    run(*podman, "load", "-q", "-i", tmp_path / "saved")

    # podman names a directory after its path, not after what stands in its index.
    name = "docker.io/library/ours:v1" if format != "oci-dir" else image.id.hex
    assert f"sha256:{run(*podman, 'inspect', '--format', '{{.Id}}', name)}" == str(image.id)
    mounted = run(*podman, "image", "mount", name)
    try:
        assert describe(mounted) == describe(rich)
    finally:
        run(*podman, "image", "unmount", name)


@pytest.mark.tool("podman")
def test_podman_merges_our_layers_as_we_do(
    engine: Engine, tmp_path: Path, rich: Path, podman: list[str]
) -> None:
    """A layer of ours with names removed and directories replaced means the same to podman."""
    base = Image.from_rootfs(str(rich), "base:1", engine=engine)
    snapshots = snapshotter(engine.store, "copy")
    (tmp_path / "container").mkdir()
    snapshots.prepare(str(tmp_path / "container"), base.layers)
    root = tmp_path / "container/rootfs"
    (root / "plain").unlink()
    shutil.rmtree(root / "dir")
    (root / "dir").mkdir()
    (root / "dir/new").write_text("new")
    (root / "sticky").rmdir()
    (root / "sticky").symlink_to("dir")
    image = Image.from_container(str(tmp_path / "container"), base, tag="child:1")
    image.save(tmp_path / "saved")
    run(*podman, "load", "-q", "-i", tmp_path / "saved")

    mounted = run(*podman, "image", "mount", "docker.io/library/child:1")
    assert describe(mounted) == describe(root)


@pytest.mark.tool("skopeo")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_compresses_we_load(engine: Engine, tmp_path: Path, rich: Path, compression: str) -> None:
    """A layout whose layers skopeo compressed has the digests that skopeo gave it, and the same tree."""
    ours = Image.from_rootfs(str(rich), "ours:v1", engine=engine)
    ours.save(str(tmp_path / "plain"), "oci-dir")
    source = f"oci:{tmp_path}/plain:docker.io/library/ours:v1"
    target = f"oci:{tmp_path}/packed:example.org/theirs:v2"
    run("skopeo", "copy", "-q", "--dest-compress-format", compression, source, target)

    [image] = Image.load(str(tmp_path / "packed"), engine=engine)
    assert (str(image.digest), str(image.id)) == config_digest(tmp_path / "packed")
    assert image.id == ours.id and image.digest != ours.digest
    assert image.names == ["example.org/theirs:v2"] and tree_of(image) == describe(rich)


@pytest.mark.tool("skopeo")
@pytest.mark.parametrize("format", ["docker-archive", "oci"])
def test_skopeo_sees_the_digests_that_we_gave(
    engine: Engine, tmp_path: Path, rich: Path, format: str
) -> None:
    """skopeo reads the same config bytes from our archives, and the same manifest from the OCI one."""
    image = Image.from_rootfs(str(rich), "ours:v1", engine=engine)
    image.save(str(tmp_path / "saved"), format)  # type: ignore[arg-type]

    source = f"{'oci-archive' if format == 'oci' else format}:{tmp_path}/saved"
    config = subprocess.run(
        ["skopeo", "inspect", "--config", "--raw", source], capture_output=True, check=True
    )
    assert Digest.of(config.stdout) == image.id
    if format == "oci":
        assert json.loads(run("skopeo", "inspect", source))["Digest"] == str(image.digest)


@pytest.mark.tool("umoci")
def test_umoci_unpacks_what_we_save(engine: Engine, tmp_path: Path, rich: Path) -> None:
    """A layout of ours unpacks to the same tree."""
    image = Image.from_rootfs(str(rich), "ours:v1", engine=engine)
    image.save(str(tmp_path / "layout"), "oci-dir")
    run("skopeo", "copy", "-q", f"oci:{tmp_path}/layout:docker.io/library/ours:v1", f"oci:{tmp_path}/u:v1")
    run("umoci", "unpack", "--image", f"{tmp_path}/u:v1", tmp_path / "bundle")

    assert describe(tmp_path / "bundle/rootfs") == describe(rich)


@pytest.mark.tool("umoci")
def test_layers_of_umoci_stack_as_umoci_stacks_them(engine: Engine, tmp_path: Path, rich: Path) -> None:
    """An image of several layers, with names removed and a directory replaced, loads with its digests."""
    layout = f"{tmp_path}/layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:v1")
    run("umoci", "unpack", "--image", f"{layout}:v1", tmp_path / "bundle")
    rootfs = tmp_path / "bundle/rootfs"
    run("cp", "-a", f"{rich}/.", rootfs)
    run("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:v1", tmp_path / "bundle")
    (rootfs / "plain").unlink()
    shutil.rmtree(rootfs / ("d" * 60))
    shutil.rmtree(rootfs / "dir")
    (rootfs / "dir").write_text("now a file")
    run("umoci", "repack", "--image", f"{layout}:v1", tmp_path / "bundle")

    [image] = Image.load(layout, engine=engine)
    assert (str(image.digest), str(image.id)) == config_digest(Path(layout))
    with layer_root(image, 0) as lower_root, layer_root(image, 1) as upper_root:
        lower, upper = describe(lower_root), describe(upper_root)
    assert lower == describe(rich)
    assert upper["plain"]["device"] == upper["d" * 60]["device"] == 0
    assert upper["dir"]["size"] == len("now a file")


@pytest.mark.tool("buildah")
def test_what_buildah_builds_we_load(engine: Engine, tmp_path: Path, rich: Path, podman: list[str]) -> None:
    """An image that buildah committed straight into a layout has its config, labels and tree."""
    storage = podman[1:]
    container = run("buildah", *storage, "from", "scratch")
    try:
        run("buildah", *storage, "copy", "-q", container, rich / "plain", "/plain")
        run("buildah", *storage, "config", "--label", "a=b", "--cmd", "/plain", container)
        run("buildah", *storage, "commit", "-q", container, f"oci:{tmp_path}/layout:built:1")
    finally:
        run("buildah", *storage, "rm", container)

    [image] = Image.load(f"{tmp_path}/layout", engine=engine)
    assert (str(image.digest), str(image.id)) == config_digest(tmp_path / "layout")
    assert image.config.config.labels["a"] == "b" and image.names == ["built:1"]
    with layer_root(image) as root:
        assert (root / "plain").read_bytes() == b"hello\n"
