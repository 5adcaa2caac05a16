"""Volumes as archives: what comes back is what was there, and nothing of an archive leaves the volume."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError, InvalidInput, NameInUse, NotFound, UnsupportedFeature
from container_kit.volumes import Volume
from tests.volumes.conftest import Rooted


def tree(folder: str) -> dict[str, object]:
    """All that a backup is to keep of the files below *folder*."""
    found: dict[str, object] = {}
    for path in [Path(folder), *sorted(Path(folder).rglob("*"))]:
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path, follow_symlinks=False)}
        links = info.st_nlink if path.is_file() else 0
        found[str(path.relative_to(folder))] = (
            info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content, attributes, links
        )  # fmt: skip
    return found


@pytest.fixture
def rich(rooted: Rooted) -> Volume:
    """A volume with every kind of entry."""
    volume = Volume.create("rich", engine=rooted)
    place = Path(volume.path)
    (place / "folder").mkdir(mode=0o1770)
    (place / "folder/file").write_text("content")
    (place / ".wh.name").write_text("a name like any other")
    os.link(place / "folder/file", place / "second name")
    (place / "link").symlink_to("folder/file")
    (place / "dangling").symlink_to("/etc/shadow")
    os.mkfifo(place / "fifo", 0o600)
    with open(place / "holes", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"data")
    os.setxattr(place / "folder", "user.kind", b"value")
    os.utime(place / "folder/file", ns=(1, 1234567890123456789))
    os.setxattr(place, "user.kind", b"root")
    os.chmod(place, 0o2750)
    if os.geteuid() == 0:
        os.chown(place, 1234, 4321)
        os.chmod(place, 0o2750)
        os.chown(place / "folder/file", 1234, 4321)
        os.chmod(place / "folder/file", 0o4755)
    return volume


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_a_backup_brings_all_back(rich: Volume, rooted: Rooted, tmp_path: Path, ending: str) -> None:
    """Contents, owners, modes, times, attributes, links, holes and odd names, whatever compresses them."""
    rich.backup(tmp_path / f"backup.{ending}")
    found = Volume.restore(tmp_path / f"backup.{ending}", "again", engine=rooted)

    assert tree(found.path) == tree(rich.path)
    assert os.stat(f"{found.path}/holes").st_blocks < 100
    names = subprocess.run(["tar", "-tf", tmp_path / f"backup.{ending}"], capture_output=True, text=True)
    assert "folder/file" in names.stdout
    assert set(os.listdir(tmp_path)) == {"root", f"backup.{ending}"}


def test_a_name_that_is_taken_is_told_before_anything_is_unpacked(rich: Volume, rooted: Rooted) -> None:
    """The archive is not even read."""
    held = io.BytesIO()
    with pytest.raises(NameInUse):
        Volume.restore(held, "rich", engine=rooted)
    assert held.tell() == 0


def test_streams_do_for_files(rich: Volume, rooted: Rooted) -> None:
    """A backup goes to any file object and comes from any."""
    held = io.BytesIO()
    rich.backup(held)
    held.seek(0)

    assert tree(Volume.restore(held, engine=rooted).path) == tree(rich.path)


def test_a_snapshot_has_all(rich: Volume) -> None:
    """A copy is as complete as a backup."""
    assert tree(rich.snapshot().path) == tree(rich.path)


@pytest.mark.root
@pytest.mark.tool("mkfs.xfs")
def test_a_snapshot_shares_blocks_where_they_can_be(tmp_path: Path) -> None:
    """On a file system with reflinks 32 MB are copied without taking a twentieth of that."""
    command = ["unshare", "--mount", sys.executable, "-m", "tests.volumes.shared_blocks", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 << 20 >> 4


def _archive(*entries: tarfile.TarInfo) -> io.BytesIO:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    held.seek(0)
    return held


def _entry(name: str, **fields: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


HOSTILE = {
    "up": [_entry("../escaped", size=4)],
    "through a link": [
        _entry("link", type=tarfile.SYMTYPE, linkname="OUT"),
        _entry("link/escaped", size=4),
    ],
    "a hard link to the host": [_entry("hard", type=tarfile.LNKTYPE, linkname="OUT/secret")],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_stays_inside(rooted: Rooted, tmp_path: Path, kind: str) -> None:
    """S19: names that lead up, links on the way and links to host files write nothing outside, and no volume
    comes of what is refused.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the host")
    for entry in HOSTILE[kind]:
        entry.linkname = entry.linkname.replace("OUT", str(outside))
    try:
        made = Volume.restore(_archive(*HOSTILE[kind]), "hostile", engine=rooted)
    except ContainerKitError:
        assert Volume.list(engine=rooted) == []
    else:
        assert "of the host" not in str(tree(made.path))
    assert tree(str(outside)).keys() == {".", "secret"} and (outside / "secret").stat().st_nlink == 1
    assert not (tmp_path / "escaped").exists()


def test_a_broken_archive_leaves_no_volume(rich: Volume, rooted: Rooted, tmp_path: Path) -> None:
    """A backup that was cut off is told, and nothing of it is seen."""
    rich.backup(tmp_path / "backup.tar.gz")
    whole = (tmp_path / "backup.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ContainerKitError):
        Volume.restore(tmp_path / "cut.tar.gz", "cut", engine=rooted)
    with pytest.raises(NotFound):
        Volume.restore(tmp_path / "nowhere.tar", "cut", engine=rooted)
    assert [volume.name for volume in Volume.list(engine=rooted)] == ["rich"]
    assert set(os.listdir(f"{rooted.store.root}/volumes")) == {".gate", "rich"}


def test_what_cannot_be_written_is_told(rich: Volume, rooted: Rooted, tmp_path: Path) -> None:
    """A compression or place that is not there; a volume that only containers mount."""
    with pytest.raises(InvalidInput, match="lzma"):
        rich.backup(tmp_path / "x", compression="lzma")
    with pytest.raises(NotFound):
        rich.backup(tmp_path / "no" / "folder.tar")
    memory = Volume.create("memory", options={"type": "tmpfs"}, engine=rooted)
    with pytest.raises(UnsupportedFeature, match="only its containers mount"):
        memory.backup(tmp_path / "x")
    assert memory.size_bytes == 0 and memory.path == ""
