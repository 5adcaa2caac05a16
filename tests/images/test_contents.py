"""The books of an image that is put together from files of this host."""

import os
import stat
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput, NotFound
from container_kit.images.contents import Contents, Data, Directory, HostFile, Link


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("content")
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "absolute").symlink_to(tmp_path / "alias/file")
    return tmp_path


def test_links_on_the_way_are_kept(host: Path) -> None:
    """A file reached through links comes with every link, so that the same path works inside."""
    contents = Contents()

    assert contents.add(f"{host}/absolute") == f"{host}/real/file"
    assert contents.nodes[f"{host}/absolute"] == Link(f"{host}/alias/file")
    assert contents.nodes[f"{host}/alias"] == Link("real")
    file = contents.nodes[f"{host}/real/file"]
    assert isinstance(file, HostFile) and file.size == 7
    assert contents.nodes[str(host)] == Directory()


def test_a_target_puts_the_content_elsewhere(host: Path) -> None:
    """With a target, what the source leads to stands there and nothing of its own path is kept."""
    contents = Contents()

    assert contents.add(f"{host}/absolute", "srv/data") == "/srv/data"
    assert isinstance(contents.nodes["/srv/data"], HostFile)
    assert not any(path.startswith(str(host)) for path in contents.nodes)


def test_directories_come_whole(host: Path) -> None:
    """A directory brings its files and links, leaves out sockets and FIFOs, and loses setuid bits."""
    os.mkfifo(host / "real/fifo")
    (host / "real/program").write_text("")
    (host / "real/program").chmod(0o4755)
    (host / "real/link").symlink_to("/etc/passwd")
    contents = Contents()
    contents.add(f"{host}/real", "/app")

    program = contents.nodes["/app/program"]
    assert isinstance(program, HostFile) and program.mode == 0o755
    assert contents.nodes["/app/link"] == Link("/etc/passwd")
    assert "/app/fifo" not in contents.nodes


def test_what_is_below_a_link_of_the_image_goes_where_it_leads() -> None:
    """A path below a link of the image is put into the link's target, never over the link."""
    contents = Contents()
    contents.put("/bin", Link("usr/bin"))
    contents.put("/bin/tool", Data(b""))
    contents.put("/usr/bin/other", Data(b""))

    assert contents.nodes["/usr/bin/tool"] == Data(b"")
    assert contents.nodes["/bin"] == Link("usr/bin")
    assert "/bin/tool" not in contents.nodes


def test_what_cannot_be_a_directory_is_refused() -> None:
    """Nothing can be put below a file, nor below links that form a circle."""
    contents = Contents()
    contents.put("/file", Data(b""))
    contents.put("/a", Link("b"))
    contents.put("/b", Link("a"))

    with pytest.raises(InvalidInput, match="no directory"):
        contents.put("/file/below", Data(b""))
    with pytest.raises(InvalidInput, match="no directory"):
        contents.put("/a/below", Data(b""))


def test_a_circle_of_links_on_the_host_is_refused(tmp_path: Path) -> None:
    """A path that the kernel would refuse with ELOOP is refused by name."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    with pytest.raises(InvalidInput, match="circle"):
        Contents().add(f"{tmp_path}/one")


def test_what_is_missing_or_special_is_named(tmp_path: Path) -> None:
    """A missing file and a FIFO are errors that name them."""
    os.mkfifo(tmp_path / "fifo")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)

    with pytest.raises(NotFound, match="absent"):
        Contents().add(f"{tmp_path}/absent")
    with pytest.raises(InvalidInput, match="fifo"):
        Contents().add(f"{tmp_path}/fifo")
