"""Images of host programs: complete, the same every time, and cheap the second time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput, NotFound
from container_kit.images import Image
from container_kit.store import Store
from tests.images.conftest import Engine
from tests.images.trees import layer_root


def run_in(image: Image, *command: str) -> str:
    """Run a program with the image's only layer as its root; no container of ours is involved."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    with layer_root(image) as root:
        fd = int(root.name) if root.parent == Path("/proc/self/fd") else -1
        program = [shutil.which("chroot") or "/usr/sbin/chroot", str(root), *command]
        return subprocess.run(
            program,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            pass_fds=[fd] if fd >= 0 else [],
        ).stdout


@pytest.mark.root
def test_programs_run_with_what_came_along(engine: Engine) -> None:
    """The programs run in the image's root, by their bare names, and find a user and a place to write."""
    image = Image.from_host("sh", "cat", "id", tag="tools", engine=engine)

    assert run_in(image, "sh", "-c", "echo hello | cat; id -un; echo > /tmp/x; cat /etc/hosts").splitlines()[
        :2
    ] == [
        "hello",
        "root",
    ]
    assert image.names == ["tools:latest"] and image.config.config.cmd == (shutil.which("sh"),)


def test_same_inputs_same_digest(engine: Engine, tmp_path: Path) -> None:
    """Two stores, and any order of programs, give one digest; other inputs give another."""
    one = Image.from_host("sh", "cat", engine=engine)
    with Store.open(tmp_path / "other") as store:
        other = Engine(store)
        assert Image.from_host("sh", "cat", engine=other).digest == one.digest
        assert Image.from_host("sh", "cat", "sleep", engine=other).layers != one.layers


def test_times_and_owners_of_the_host_do_not_count(engine: Engine, tmp_path: Path) -> None:
    """Touching a file changes nothing; its content and its mode do."""
    file = tmp_path / "file"
    file.write_text("one")
    first = Image.from_host(files=[(str(file), "/data")], engine=engine)
    os.utime(file, (1, 1))
    assert Image.from_host(files=[(str(file), "/data")], engine=engine) == first
    file.chmod(0o700)
    second = Image.from_host(files=[(str(file), "/data")], engine=engine)
    file.write_text("two")
    third = Image.from_host(files=[(str(file), "/data")], engine=engine)
    assert len({first, second, third}) == 3


@pytest.fixture
def not_packed_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Records every layer that is built."""
    built: list[str] = []
    from container_kit.images import layers

    build = layers.build_layer
    monkeypatch.setattr(
        layers, "build_layer", lambda store, write: built.append("layer") or build(store, write)
    )
    yield built


def test_the_second_time_nothing_is_packed(engine: Engine, not_packed_again: list[str]) -> None:
    """The same request is answered from the store; after the image is removed, it is made anew."""
    first = Image.from_host("cat", tag="c", engine=engine)
    assert Image.from_host("cat", tag="d", engine=engine) == first
    assert not_packed_again == ["layer"]
    first.remove(force=True)
    assert engine.store.df().blobs == 0  # the note that it was made of these files is gone too
    assert Image.from_host("cat", engine=engine) == first
    assert not_packed_again == ["layer", "layer"]


def test_what_cannot_be_made_is_refused_and_leaves_nothing(engine: Engine) -> None:
    """A missing program or file, a bad name, and nothing at all: a typed error each, no image."""
    with pytest.raises(NotFound, match="no-such-program"):
        Image.from_host("sh", "no-such-program", engine=engine)
    with pytest.raises(NotFound, match="/no/such/file"):
        Image.from_host(files=["/no/such/file"], engine=engine)
    with pytest.raises(InvalidInput):
        Image.from_host("cat", tag="UPPER CASE", engine=engine)
    with pytest.raises(InvalidInput):
        Image.from_host(engine=engine)
    assert Image.list(engine=engine) == [] and engine.store.df().temporary_bytes == 0


def test_a_file_that_shrinks_while_it_is_packed_is_an_error(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changed between being listed and being read never becomes a wrong image."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 200_000)
    from container_kit.errors import Conflict
    from container_kit.images import tarwriter

    write = tarwriter.write_contents

    def shrink_first(contents: object, fd: int) -> None:
        file.write_bytes(b"x" * 100_000)
        write(contents, fd)  # type: ignore[arg-type]

    monkeypatch.setattr(tarwriter, "write_contents", shrink_first)
    with pytest.raises(Conflict, match="changed"):
        Image.from_host(files=[str(file)], engine=engine)
    assert Image.list(engine=engine) == []


@pytest.mark.root
def test_the_running_python_runs_in_its_image(engine: Engine) -> None:
    """The interpreter starts in its own image, with extension modules and asked-for packages."""
    image = Image.from_python(["attrs"], tag="py", engine=engine)

    program = "import sys, ssl, ctypes, sqlite3, attrs, json; print(sys.version, attrs.__name__)"
    assert run_in(image, "python3", "-c", program).strip() == f"{sys.version} attrs"


def test_python_is_packed_once(engine: Engine, not_packed_again: list[str]) -> None:
    """The interpreter's image is made again only when one of its thousands of files changes."""
    first = Image.from_python(tag="py:1", engine=engine)
    assert Image.from_python(tag="py:2", engine=engine) == first
    assert not_packed_again == ["layer"] and first.names == ["py:1", "py:2"]


def test_packages_that_are_not_installed_are_named(engine: Engine) -> None:
    """Nothing is downloaded: a distribution that is not here is NotFound."""
    with pytest.raises(NotFound, match="no-such-distribution"):
        Image.from_python(["no-such-distribution"], engine=engine)
