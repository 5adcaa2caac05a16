"""Trial R11, the engine's half: with ``verify`` a damaged layer never starts; without it nobody reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import CorruptData
from container_kit.images import Image
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _flip_a_byte(root: Path) -> None:
    """Change one byte of a file that no program here reads, as a failing disk would."""
    (passwd,) = root.glob("trees/*/fs/etc/passwd")
    content = passwd.read_bytes()
    passwd.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def test_a_damaged_layer_never_starts(tmp_path: Path) -> None:
    """Neither a run nor a start nor the start of what was created before; and nothing is left of them."""
    root = tmp_path / "root"
    with Engine(root, verify=True) as engine:
        image = Image.from_host("true", "sleep", tag="tools", engine=engine)
        assert engine.run(image, ["true"]).exit_code == 0
        created = engine.create(image, ["true"])
        _flip_a_byte(root)
        with pytest.raises(CorruptData):
            engine.run(image, ["true"])
        with pytest.raises(CorruptData):
            engine.start(image, ["sleep", "9"])
        with pytest.raises(CorruptData):
            created.start()
        created.remove()
        wait_for(lambda: not list((root / "containers").iterdir()))


def test_without_it_the_same_layer_runs(tmp_path: Path) -> None:
    """The control: the damage alone does not keep a container from starting."""
    root = tmp_path / "root"
    with Engine(root) as engine:
        image = Image.from_host("true", tag="tools", engine=engine)
        _flip_a_byte(root)
        assert engine.run(image, ["true"]).exit_code == 0
