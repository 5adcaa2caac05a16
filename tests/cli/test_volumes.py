"""The commands of volumes from the outside."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers import Engine
from container_kit.images import Image
from tests.cli.test_commands import Ckit

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with the image ``tools``, which wants a volume at /kept."""
    root = str(tmp_path_factory.mktemp("root"))
    with Engine(root) as engine:
        Image.from_host("sh", "cat", "ls", "true", tag="plain", engine=engine)
        with engine.create("plain", ["true"]) as container:
            container.commit("tools", changes=["VOLUME /kept"])
    return root


@pytest.fixture
def ckit(stocked: str) -> Iterator[Ckit]:
    """The command line on that root, which has no container and no volume before and after a test."""
    yield Ckit(stocked)
    with Engine(stocked) as engine:
        for container in engine.containers(all=True):
            container.remove(force=True)
        for name in engine.volumes.names():
            engine.volumes.remove(name)


def test_a_volume_from_create_to_rm(ckit: Ckit) -> None:
    """Made twice it is one; listed, filtered, inspected, removed; a missing one is an error unless forced."""
    assert ckit.ok("volume", "create", "-l", "kind=db", "data") == "data\n"
    assert ckit.ok("volume", "create", "data") == "data\n"
    ckit.ok("volume", "create", "other")
    assert ckit.ok("volume", "ls").splitlines() == [
        "DRIVER    VOLUME NAME",
        "local     data",
        "local     other",
    ]
    assert ckit.ok("volume", "ls", "-q", "--filter", "label=kind=db") == "data\n"
    assert ckit.ok("volume", "ls", "--format", "{{.Name}} {{.Links}}", "-f", "name=oth") == "other 0\n"
    (told,) = json.loads(ckit.ok("volume", "inspect", "data"))
    assert (told["Name"], told["Labels"]) == ("data", {"kind": "db"})
    assert (
        json.loads(ckit.ok("inspect", "--type", "volume", "data"))
        == [told]
        == json.loads(ckit.ok("inspect", "data"))
    )
    assert ckit.ok("volume", "rm", "data", "other") == "data\nother\n"
    missing = ckit("volume", "rm", "data")
    assert missing.returncode == 1 and "no volume named 'data'" in missing.stderr
    ckit.ok("volume", "rm", "-f", "data")


def test_flags_of_run(ckit: Ckit, tmp_path: Path) -> None:
    """`-v` takes names, paths and targets alone; `--mount` all that docker's does."""
    ckit.ok("run", "--rm", "-v", "data:/d", "tools", "sh", "-c", "echo hello > /d/file")
    mounted = ckit.ok(
        "run", "--rm", "-v", "data:/d:ro", "-v", "/own", "tools", "sh", "-c", "cat /d/file; ls /own"
    )
    assert mounted == "hello\n"
    assert (
        ckit.ok("run", "--rm", "--mount", "src=data,dst=/f,volume-subpath=file", "tools", "cat", "/f")
        == "hello\n"
    )
    image = ckit.ok("run", "--rm", "--mount", "type=image,src=plain,dst=/i,ro", "tools", "ls", "/i/usr/bin")
    assert "cat" in image.split()
    (tmp_path / "here").write_text("of the host")
    assert ckit.ok("run", "--rm", "-v", f"{tmp_path}/here:/h:ro,z", "tools", "cat", "/h") == "of the host"
    refused = ckit("run", "--rm", "-v", "data:/d:sideways", "tools", "true")
    assert refused.returncode == 125 and "sideways" in refused.stderr
    assert ckit.ok("volume", "ls", "-q") == "data\n"


def test_anonymous_volumes_and_rm(ckit: Ckit) -> None:
    """They stay with `rm`, go with `rm -v`, and `prune` takes those that nobody uses."""
    for name in ("one", "two", "three"):
        ckit.ok("run", "--name", name, "-v", "data:/d", "tools", "true")
    assert len(ckit.ok("volume", "ls", "-q").split()) == 4
    ckit.ok("rm", "one")
    ckit.ok("rm", "-v", "two")
    assert len(ckit.ok("volume", "ls", "-q").split()) == 3
    assert len(ckit.ok("volume", "ls", "-q", "-f", "dangling=true").split()) == 1
    in_use = ckit("volume", "rm", "data")
    assert in_use.returncode == 1 and "in use by container three (" in in_use.stderr
    assert ckit.ok("ps", "-a", "--filter", "volume=data", "--format", "{{.Names}} {{.Mounts}}").startswith(
        "three data,"
    )
    assert ckit.ok("ps", "-aq", "--filter", "volume=other") == ""
    assert "Deleted Volumes" in ckit.ok("volume", "prune", "-f")
    assert len(ckit.ok("volume", "ls", "-q").split()) == 2
    ckit.ok("rm", "three")
    assert "Deleted Volumes" in ckit.ok("system", "prune", "-f", "--volumes")
    assert ckit.ok("volume", "ls", "-q") == "data\n"
    assert "data" in ckit.ok("volume", "prune", "-af")


def test_saving_and_copying(ckit: Ckit, tmp_path: Path) -> None:
    """`export`, `import` and `snapshot` carry the content; sizes are told by `system df`."""
    ckit.ok("run", "--rm", "-v", "data:/d", "tools", "sh", "-c", "echo hello > /d/file")
    ckit.ok("volume", "export", "-o", str(tmp_path / "data.tar.gz"), "data")
    with tarfile.open(tmp_path / "data.tar.gz") as archive:
        assert archive.getnames() == [".", "file"]
    assert ckit.ok("volume", "import", "again", str(tmp_path / "data.tar.gz")) == "again\n"
    assert ckit.ok("volume", "snapshot", "again", "third") == "third\n"
    assert ckit.ok("run", "--rm", "-v", "third:/d", "tools", "cat", "/d/file") == "hello\n"
    taken = ckit("volume", "snapshot", "again", "third")
    assert taken.returncode == 1 and "in use" in taken.stderr
    row = next(line for line in ckit.ok("system", "df").splitlines() if line.startswith("Local Volumes"))
    assert row.split()[2:4] == ["3", "0"]


def test_a_size_on_the_command_line(ckit: Ckit) -> None:
    """`--opt size=…` limits a volume; an option that makes no sense is told."""
    ckit.ok("volume", "create", "-o", "size=2m", "small")
    full = ckit("run", "--rm", "-v", "small:/s", "tools", "sh", "-c", "cat /dev/zero > /s/x")
    assert "No space" in full.stderr
    wrong = ckit("volume", "create", "-o", "colour=red", "x")
    assert wrong.returncode == 1 and "colour" in wrong.stderr
