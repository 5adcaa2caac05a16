"""`system fsck` mends what the engine would refuse to open."""

from pathlib import Path

from click.testing import CliRunner, Result

from container_kit.cli.app import cli
from container_kit.store import Store


def fsck(root: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "system", "fsck", *options])


def make_store(root: Path) -> None:
    with Store.open(root) as store:
        store.set_name("image", "n", store.put_blob(b"data"))
        store.database.checkpoint()


def test_damage_is_told_and_repaired(tmp_path: Path) -> None:
    """A changed blob makes it exit with 1; repaired, it exits with 0 and the next run finds nothing."""
    make_store(tmp_path)
    with Store.open(tmp_path) as store:
        blob = store.resolve_name("image", "n")
        assert blob is not None
        Path(store.layout.blob(blob)).write_bytes(b"fate")

    assert fsck(tmp_path).exit_code == 1
    assert fsck(tmp_path, "--repair").exit_code == 0
    assert "No problem found" in fsck(tmp_path).output


def test_unreadable_database_is_rebuilt(tmp_path: Path) -> None:
    """A database that is none any more is mended from its rows, and no row is lost."""
    make_store(tmp_path)
    with (tmp_path / "store.db").open("r+b") as file:
        file.write(b"not a database")

    assert fsck(tmp_path).exit_code != 0
    assert fsck(tmp_path, "--repair").exit_code == 0
    with Store.open(tmp_path) as store:
        assert list(store.names("image")) == ["n"] and store.fsck().clean
