"""Trial R11, the engine's half: with ``verify`` a damaged layer never starts; without it nobody reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import CorruptData
from container_kit.images import Image
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _flip_a_byte(root: Path, file: str, text: bytes) -> None:
    """Change one byte that no program here reads, as a failing disk would."""
    (damaged,) = root.glob(f"trees/*/{file}")
    content = bytearray(damaged.read_bytes())
    content[content.index(text)] ^= 1
    damaged.write_bytes(content)


# The form of the layer, the file, and where in it.
DAMAGES = {
    "directory": ("overlay", "fs/etc/passwd", b"root"),
    "tar": ("erofs", "layer.tar", b"root:x"),
    "image": ("erofs", "layer.erofs", b"passwd"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_layer_never_starts(tmp_path: Path, damage: str) -> None:
    """Neither a run nor a start nor the start of what was created before; and nothing is left of them."""
    root = tmp_path / "root"
    form, file, text = DAMAGES[damage]
    with Engine(root, verify=True, snapshotter=form) as engine:  # type: ignore[arg-type]
        image = Image.from_host("true", "sleep", tag="tools", engine=engine)
        assert engine.run(image, ["true"]).exit_code == 0
        created = engine.create(image, ["true"])
        _flip_a_byte(root, file, text)
        with pytest.raises(CorruptData):
            engine.run(image, ["true"])
        with pytest.raises(CorruptData):
            engine.start(image, ["sleep", "9"])
        with pytest.raises(CorruptData):
            created.start()
        created.remove()
        wait_for(lambda: not list((root / "containers").iterdir()))


@pytest.mark.parametrize("damage", ["directory", "tar"])
def test_without_it_the_same_layer_runs(tmp_path: Path, damage: str) -> None:
    """The control: the damage alone does not keep a container from starting."""
    root = tmp_path / "root"
    form, file, text = DAMAGES[damage]
    with Engine(root, snapshotter=form) as engine:  # type: ignore[arg-type]
        image = Image.from_host("true", tag="tools", engine=engine)
        _flip_a_byte(root, file, text)
        assert engine.run(image, ["true"]).exit_code == 0
