"""Images from whole roots: directories, tars, and docker's import."""

import gzip
import subprocess
from pathlib import Path

import pytest

from container_kit.errors import CorruptData, InvalidInput, NotFound
from container_kit.images import Image
from tests.images.archives import entry, layer, sha256
from tests.images.conftest import Engine
from tests.images.trees import describe, layer_root, make_rich_tree

TAR = layer(entry("./"), entry("etc"), entry("etc/name", b"hello"))


@pytest.mark.root
def test_a_directory_becomes_an_image_of_it(engine: Engine, tmp_path: Path) -> None:
    """Modes, owners, attributes, hard links, devices, holes and raw names are kept; twice gives the same."""
    tree = make_rich_tree(tmp_path / "tree")
    image = Image.from_rootfs(str(tree), "rich:1", {"Cmd": ["/plain"], "Env": ["A=1"]}, engine=engine)
    with layer_root(image) as root:
        assert describe(root) == describe(tree)
    assert image.config.config.cmd == ("/plain",) and image.names == ["rich:1"]
    assert Image.from_rootfs(str(tree), config={"Cmd": ["/plain"], "Env": ["A=1"]}, engine=engine) == image
    assert not engine.store.fsck().problems


@pytest.mark.parametrize("compress", [False, True])
def test_a_tar_becomes_an_image_of_its_bytes(engine: Engine, tmp_path: Path, compress: bool) -> None:
    """The diff id is that of the plain tar, compressed or not."""
    (tmp_path / "root.tar").write_bytes(gzip.compress(TAR) if compress else TAR)
    image = Image.from_rootfs(str(tmp_path / "root.tar"), engine=engine)
    assert [str(layer) for layer in image.layers] == [sha256(TAR)]


def test_import_takes_a_pipe_and_changes(engine: Engine, tmp_path: Path) -> None:
    """``import -`` works, its changes and message are in the config and the history."""
    (tmp_path / "root.tar").write_bytes(TAR)
    with subprocess.Popen(["cat", tmp_path / "root.tar"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        image = Image.import_(
            process.stdout, "got:1", changes=["CMD go", "ENV A=b", "EXPOSE 80"], message="hi", engine=engine
        )
    assert [str(layer) for layer in image.layers] == [sha256(TAR)]
    assert image.config.config.env == ("A=b",) and image.config.config.exposed_ports == ("80/tcp",)
    assert image.history()[0].comment == "hi" and image.created.year > 2000


@pytest.mark.parametrize("content", [b"", b"hello", TAR[:700], gzip.compress(TAR)[:-20]])
def test_what_is_no_tar_is_refused_and_leaves_nothing(engine: Engine, tmp_path: Path, content: bytes) -> None:
    """Empty, other and cut files are a typed error; no image and no contents stay."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((InvalidInput, CorruptData)):
        Image.import_(str(tmp_path / "file"), "x:1", engine=engine)
    assert Image.list(engine=engine) == []
    assert engine.store.df().trees == engine.store.df().temporary_bytes == 0


def test_bad_arguments_are_named_before_anything_is_stored(engine: Engine, tmp_path: Path) -> None:
    """A missing source, a bad name, config or change: nothing is read or stored."""
    (tmp_path / "root.tar").write_bytes(TAR)
    source = str(tmp_path / "root.tar")
    with pytest.raises(NotFound, match="absent"):
        Image.from_rootfs(str(tmp_path / "absent"), engine=engine)
    with pytest.raises(InvalidInput):
        Image.from_rootfs(source, "NOT A NAME", engine=engine)
    with pytest.raises(InvalidInput, match="Env"):
        Image.from_rootfs(source, config={"Env": "A=b"}, engine=engine)
    with pytest.raises(InvalidInput, match="FROM"):
        Image.import_(source, changes=["FROM x"], engine=engine)
    assert engine.store.df().trees == 0
