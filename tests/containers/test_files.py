"""A container's files from outside, in every state, and never anybody else's."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.roots import open_root
from container_kit.errors import ContainerKitError, InvalidInput, KernelError, LimitExceeded, NotFound
from container_kit.images import Image
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A tree of the host that nothing in a container may reach."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "secret").write_text("of the host")
    return folder


def _look(folder: Path) -> list[tuple[str, bytes]]:
    found = sorted(folder.rglob("*"))
    return [(path.name, path.read_bytes() if path.is_file() else b"") for path in found]


def test_files_are_read_and_written_in_every_state(engine: Engine) -> None:
    """Created, running, and ended: the same files by the same calls."""
    container = engine.create("tools", ["sleep", "60"])
    container.fs.mkdir("/data/deep", parents=True)
    container.fs.write_text("/data/deep/note", "one")
    container.start()
    assert container.exec(["cat", "/data/deep/note"]).stdout == "one"
    container.fs.write_bytes("/data/deep/note", b"two")
    assert container.exec(["cat", "/data/deep/note"]).stdout == "two"
    container.kill()
    container.wait(10)
    assert container.fs.read_text("/data/deep/note") == "two"
    assert container.fs.iterdir("/data") == ["deep"]
    assert container.fs.is_dir("/data") and container.fs.is_file("/data/deep/note")
    assert not container.fs.exists("/data/none")
    container.fs.unlink("/data/deep/note")
    container.fs.rmtree("/data")
    assert not container.fs.exists("/data")
    container.remove()


def test_open_reads_writes_and_appends(engine: Engine) -> None:
    """Like the built-in open, with its modes."""
    with engine.create("tools", ["true"]) as container:
        with container.fs.open("/x", "w") as file:
            file.write("line\n")
        with container.fs.open("/x", "ab") as file:
            file.write(b"more\n")
        with container.fs.open("/x") as file:
            assert file.read() == "line\nmore\n"
        with pytest.raises(KernelError):
            container.fs.open("/x", "x")
        with pytest.raises(InvalidInput):
            container.fs.open("/x", "rw")
        container.fs.chmod("/x", 0o600)
        container.fs.chown("/x", 12, 34)
        found = container.fs.stat("/x")
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, 12, 34)


def test_what_is_not_there_is_said_to_be_not_there(engine: Engine) -> None:
    """NotFound names the path."""
    with engine.create("tools", ["true"]) as container:
        with pytest.raises(NotFound, match="no file named '/no/such' in the container"):
            container.fs.read_text("/no/such")
        with pytest.raises(NotFound):
            container.copy_out("/no/such", "/tmp")
        with pytest.raises(NotFound):
            container.copy_in("/no/such/on/host", "/")


@pytest.mark.parametrize("link", ["{canary}/secret", "../../../../../../../../{canary}/secret"])
def test_links_lead_nowhere_but_into_the_container(engine: Engine, canary: Path, link: str) -> None:
    """An absolute link and one with many dots are resolved inside, for reading and for writing."""
    with engine.start("tools", ["sleep", "60"]) as container:
        container.exec(["ln", "-s", link.format(canary=canary), "/trap"], check=True)
        with pytest.raises(NotFound):
            container.fs.read_text("/trap")
        with pytest.raises(ContainerKitError):
            container.fs.write_text("/trap", "gotcha")
    assert _look(canary) == [("secret", b"of the host")]


@pytest.mark.parametrize("path", ["/proc/sys/kernel/hostname", "/sys/kernel/profiling", "/proc/1/comm"])
def test_switches_of_the_kernel_are_not_changed_from_outside(engine: Engine, path: str) -> None:
    """By their path and by a link to them: reading is allowed, writing, modes, owners and copies are not."""
    with engine.start("tools", ["sleep", "60"]) as container:
        container.exec(["ln", "-s", path, "/trap"], check=True)
        container.exec(["ln", "-s", str(Path(path).parent), "/folder"], check=True)
        before = container.fs.stat(path).st_mode
        assert container.fs.read_bytes(path) == container.fs.read_bytes("/trap")
        for change in (
            lambda: container.fs.write_text(path, "x"),
            lambda: container.fs.write_text("/trap", "x"),
            lambda: container.fs.open("/trap", "a"),
            lambda: container.fs.chmod("/trap", 0o777),
            lambda: container.fs.chown(path, 1, 1),
            lambda: container.fs.mkdir("/folder/new"),
            lambda: container.fs.write_text("/folder/new", "x"),
            lambda: container.fs.unlink(path),
            lambda: container.copy_in("/etc/hostname", "/folder/"),
        ):
            with pytest.raises(InvalidInput, match="the kernel's"):
                change()
        assert container.fs.stat(path).st_mode == before


def test_a_link_that_leads_nowhere_is_written_through(engine: Engine) -> None:
    """As a program inside would: the file that it names is made, inside; a circle of links is an error."""
    with engine.create("tools", ["true"]) as container:
        with open_root(container) as root:
            os.symlink("/later", "link", dir_fd=root)
            os.symlink("round", "round", dir_fd=root)
        container.fs.write_text("/link", "x")
        assert container.fs.read_text("/later") == "x"
        with pytest.raises(KernelError):
            container.fs.write_text("/round", "x")


def test_special_files_are_not_opened(engine: Engine) -> None:
    """A FIFO would block and a device would act."""
    with engine.start("tools", ["sleep", "60"]) as container:
        for path in ("/dev/null", "/proc/self/exe"):
            with pytest.raises(ContainerKitError):
                container.fs.open(path, "w")


def test_a_tree_too_deep_is_an_error_of_ours(engine: Engine, tmp_path: Path) -> None:
    """A container can build a tree of any depth: reading it stops at a limit, and removing it does not."""
    container = engine.create("tools", ["true"])
    container.fs.mkdir("/d" * 600, parents=True)
    for read in (
        lambda: container.copy_out("/d", tmp_path / "copy"),
        lambda: container.copy_out("/d", io.BytesIO()),
        container.diff,
    ):
        with pytest.raises(LimitExceeded, match="directories deep"):
            read()
    container.remove()


def test_copying_follows_the_rules_of_docker(engine: Engine, tmp_path: Path) -> None:
    """Into a directory keeps the name; to a new path takes it; '/.' means the contents."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("x")
    (tmp_path / "dir" / "link").symlink_to("file")
    os.chmod(tmp_path / "dir" / "file", 0o751)
    with engine.create("tools", ["true"]) as container:
        container.copy_in(tmp_path / "dir", "/tmp")
        container.copy_in(tmp_path / "dir", "/fresh")
        container.copy_in(f"{tmp_path}/dir/.", "/var")
        container.copy_in(tmp_path / "dir" / "file", "/renamed")
        for path in ("/tmp/dir/file", "/fresh/file", "/var/file", "/renamed"):
            assert container.fs.read_text(path) == "x"
            assert stat.S_IMODE(container.fs.stat(path).st_mode) == 0o751
        assert container.fs.readlink("/fresh/link") == "file"
        container.copy_out("/fresh", tmp_path / "out")
        assert (tmp_path / "out" / "file").read_text() == "x"
        assert os.readlink(tmp_path / "out" / "link") == "file"
        container.copy_out("/fresh/file", tmp_path / "out" / "other")
        assert (tmp_path / "out" / "other").read_text() == "x"
        with pytest.raises(NotFound):
            container.copy_in(tmp_path / "dir" / "file", "/nowhere/")
        with pytest.raises(InvalidInput):
            container.copy_in(tmp_path / "dir", "/renamed")


def test_tar_streams_go_both_ways(engine: Engine) -> None:
    """Out as one tar with the names below the entry, in as the tar's own names."""
    with engine.create("tools", ["true"]) as container:
        container.fs.mkdir("/d")
        container.fs.write_text("/d/a", "1")
        stream = io.BytesIO()
        container.copy_out("/d", stream)
        stream.seek(0)
        with tarfile.open(fileobj=stream) as archive:
            assert sorted(archive.getnames()) == ["d", "d/a"]
        stream.seek(0)
        container.copy_in(stream, "/tmp")
        assert container.fs.read_text("/tmp/d/a") == "1"


def test_only_harmless_kinds_leave_a_container(engine: Engine, tmp_path: Path) -> None:
    """Devices and FIFOs stay inside, and set-user-id bits with them; links are copied as links."""
    with engine.create("tools", ["true"]) as container:
        container.fs.mkdir("/d")
        container.fs.write_text("/d/setuid", "x")
        container.fs.chmod("/d/setuid", 0o4755)
        with open_root(container) as root:
            os.mkfifo("d/fifo", dir_fd=root)
            os.mknod("d/device", 0o666 | stat.S_IFBLK, os.makedev(7, 99), dir_fd=root)
            os.symlink("/etc/passwd", "d/link", dir_fd=root)
        container.copy_out("/d", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["link", "setuid"]
    assert stat.S_IMODE((tmp_path / "out" / "setuid").stat().st_mode) == 0o755
    assert (tmp_path / "out" / "link").is_symlink()


def test_diff_commit_and_export_show_what_was_changed(engine: Engine, tmp_path: Path) -> None:
    """Added, changed and deleted paths; an image of them; a tar of everything."""
    with engine.start("tools", ["sleep", "60"]) as container:
        container.exec(["sh", "-c", "echo new > /new; rm /etc/group; echo more >> /etc/passwd"], check=True)
        changes = {change.path: change.kind for change in container.diff()}
        assert changes["/new"] == "A" and changes["/etc/group"] == "D" and changes["/etc/passwd"] == "C"
        image = container.commit("made:1", message="by a test", changes=['CMD ["cat", "/new"]'])
        container.export(tmp_path / "all.tar")
    assert Image.get("made:1", engine=engine) == image
    assert engine.run("made:1").stdout == "new\n"
    assert engine.run("made:1", ["ls", "/etc"]).stdout.split().count("group") == 0
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = archive.getnames()
    assert any(name.lstrip("./") == "new" for name in names)
    assert not any(name.lstrip("./").startswith("proc/1/") for name in names)


def test_executed_commands_are_like_popen(engine: Engine) -> None:
    """Streams, signals, exit codes, terminals and the context manager of subprocess.Popen."""
    with engine.start("tools", ["sleep", "600"]) as container:
        with container.popen(["cat"], stdin=-1, stdout=-1) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("abc\n")
            process.stdin.flush()
            assert process.stdout.readline() == "abc\n"
            assert process.poll() is None
            process.terminate()
            assert process.wait(10) == 143
        with container.popen(
            ["sh", "-c", "cat; exit 4"], stdin=-1, stdout=-1, stderr=-1, text=False
        ) as process:
            assert process.communicate(b"\0\1") == (b"\0\1", b"")
            assert process.returncode == 4
        with container.popen(["sleep", "600"]) as process:
            pid = process.pid
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
        big = os.urandom(1 << 20) * 20
        assert container.exec(["cat"], input=big, text=False).stdout == big
        assert container.exec(
            ["sh", "-c", "id; pwd; echo $A"], user="7:8", working_dir="/etc", env={"A": "b"}
        ).stdout.split("\n")[1:3] == ["/etc", "b"]


def test_a_left_behind_child_does_not_hold_an_exec(engine: Engine) -> None:
    """The call ends with the command even when a background child keeps its pipe; no output is lost."""
    with engine.start("tools", ["sleep", "600"]) as container:
        began = time.monotonic()
        done = container.exec(["sh", "-c", "sleep 600 & echo done; exit 3"])
        assert (done.exit_code, done.stdout) == (3, "done\n")
        assert time.monotonic() - began < 10
        with container.popen(["sh", "-c", "sleep 600 & cat; exit 4"], stdin=-1, stdout=-1) as process:
            assert process.communicate("abc") == ("abc", None) and process.returncode == 4
        assert "exec_start" in [event.action for event in container.events()]
