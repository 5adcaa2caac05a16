"""Archives of images: what our writer writes, our strict reader and GNU tar read alike."""

import io
import os
import stat
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import ContainerKitError, CorruptData, LimitExceeded
from container_kit.images.tarheader import Header
from container_kit.images.tarindex import looks_like_tar, read_index
from container_kit.images.tarwriter import TarWriter
from tests.native import rawtar
from tests.native.rawtar import record

LONG = "a/" * 60 + "name"


def _link(name: str, target: str) -> Header:
    return Header(name=name, mode=stat.S_IFLNK | 0o777, target=target)


def index_of(path: Path) -> object:
    with path.open("rb") as file:
        return read_index(file.fileno())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.tar"
    (tmp_path / "big").write_bytes(b"x" * 100_001)
    with path.open("wb") as file, (tmp_path / "big").open("rb") as big, TarWriter(file.fileno()) as tar:
        tar.entry(Header(name="blobs", mode=stat.S_IFDIR | 0o755))
        tar.data("blobs/small", b"hello")
        tar.file(Header(name="blobs/big", mode=stat.S_IFREG | 0o644, size=100_001), big.fileno())
        tar.data(LONG, b"long name")
        tar.entry(_link("alias", "blobs/../blobs/small"))
    return path


def test_members_are_where_the_index_says(archive: Path) -> None:
    """Reading at the offset gives the content; links lead to their file."""
    with archive.open("rb") as file:
        index = read_index(file.fileno())
        contents = {
            name: os.pread(file.fileno(), member.size, member.offset)
            for name in ("blobs/small", "blobs/big", LONG, "alias", "./alias")
            for member in [index.find(name)]
        }
    assert contents["blobs/small"] == contents["alias"] == contents["./alias"] == b"hello"
    assert contents["blobs/big"] == b"x" * 100_001
    assert contents[LONG] == b"long name"
    assert "blobs" in index and "absent" not in index


def test_gnu_tar_reads_what_we_write(archive: Path, tmp_path: Path) -> None:
    """GNU tar lists every entry, with its whole name, and finds nothing to complain about."""
    listing = subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True)
    assert listing.stdout.split() == ["blobs/", "blobs/small", "blobs/big", LONG, "alias"]
    assert listing.stderr == ""


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_other_writers_are_read(format: int, tmp_path: Path) -> None:
    """Long names in every dialect, hard links and symbolic links are found."""
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w", format=format) as tar:
        for name in ("dir/" * 20 + "file", "plain"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        for name, kind, target in (
            ("hard", tarfile.LNKTYPE, "plain"),
            ("d/soft", tarfile.SYMTYPE, "../plain"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    with path.open("rb") as file:
        index = read_index(file.fileno())
    assert index.find("hard") == index.find("d/soft") == index.find("plain")
    assert index.find("dir/" * 20 + "file").size == 3


def test_members_larger_than_eight_gigabytes(tmp_path: Path) -> None:
    """A size that octal digits cannot hold is written, and read, in full; GNU tar agrees."""
    path, size = tmp_path / "archive.tar", 9 << 30
    with path.open("wb") as file, TarWriter(file.fileno()) as tar:
        fd = tar.begin("huge", size)
        os.lseek(fd, size, os.SEEK_CUR)  # a hole: no disk is used
        tar.end(size)
        tar.data("after", b"x")
    with path.open("rb") as file:
        index = read_index(file.fileno())
    listing = subprocess.run(["tar", "-tvf", path], capture_output=True, text=True, check=True).stdout
    assert index.find("huge").size == size and index.find("after").size == 1
    assert [line.split()[2] for line in listing.splitlines()] == [str(size), "1"]


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    """Two readers might take different ones, so neither is taken."""
    path = tmp_path / "archive.tar"
    with path.open("wb") as file, TarWriter(file.fileno()) as tar:
        tar.data("manifest.json", b"[1]")
        tar.data("./manifest.json", b"[2]")
    with pytest.raises(CorruptData, match="twice"):
        index_of(path)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    """A circle of links ends in an error that names the file."""
    path = tmp_path / "archive.tar"
    with path.open("wb") as file, TarWriter(file.fileno()) as tar:
        tar.entry(_link("a", "b"))
        tar.entry(_link("b", "a"))
    with path.open("rb") as file, pytest.raises(CorruptData, match="circle"):
        read_index(file.fileno()).find("a")


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    """An archive of very many members stops at the limit, whatever its size."""
    path = tmp_path / "archive.tar"
    with path.open("wb") as file, TarWriter(file.fileno()) as tar:
        for number in range(20_001):
            tar.data(str(number), b"")
    with pytest.raises(LimitExceeded, match="members"):
        index_of(path)


def test_a_header_of_many_records_takes_no_longer_than_its_bytes(tmp_path: Path) -> None:
    """Records are passed over in place: a full extended header costs a fraction of a second."""
    records = record(b"a", b"") * ((1 << 20) // 6)
    path = tmp_path / "archive.tar"
    path.write_bytes(rawtar.pax(records) + rawtar.member(b"file", b"x") + bytes(1024))
    began = time.process_time()

    index_of(path)
    assert time.process_time() - began < 3


@given(
    cut=st.integers(0, 12), damage=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=8)
)
def test_damage_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, cut: int, damage: list[tuple[int, int]]
) -> None:
    """Damaged and cut archives give an index within the file, or an error of ours."""
    path = tmp_path_factory.mktemp("tar") / "archive.tar"
    with path.open("wb") as file, TarWriter(file.fileno()) as tar:
        tar.data(LONG, b"x" * 700)
        tar.data("second", b"y" * 700)
        tar.entry(_link("link", LONG))
    content = bytearray(path.read_bytes())
    for offset, value in damage:
        content[offset % len(content)] = value
    path.write_bytes(content[: len(content) - cut * 300])
    try:
        with path.open("rb") as file:
            index = read_index(file.fileno())
    except ContainerKitError:
        return
    size = path.stat().st_size
    assert all(member.offset + member.size <= size for member in index.members.values())


def test_a_tar_is_told_from_other_files(archive: Path) -> None:
    """The checksum of the first header decides, not the name."""
    assert looks_like_tar(archive.read_bytes()[:512])
    assert not looks_like_tar(bytes(512))
    assert not looks_like_tar(b"\x1f\x8b" + bytes(510))
    assert not looks_like_tar(b"short")
