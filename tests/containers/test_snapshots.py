"""Snapshots: the files of a container, kept, as the beginning of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

WRITES = ["sh", "-c", "echo first > /data; rm -f /etc/group; mkdir -p /new; echo $WORD; exec sleep 60"]


@pytest.fixture
def warm(engine: Engine) -> ck.Container:
    """A running container that has added a file and a directory and removed another file."""
    container = engine.start("tools", WRITES, env={"WORD": "said"})
    wait_for(lambda: container.fs.is_dir("/new"))
    return container


def test_copies_begin_alike_and_go_their_own_ways(engine: Engine, warm: ck.Container) -> None:
    """Each container of a snapshot has the files of that moment; none sees what another one writes."""
    kept = warm.snapshot()
    warm.fs.write_text("/data", "changed later\n")
    for text in ("one", "two"):
        done = engine.run(kept, ["sh", "-c", f"cat /data; ls -d /new; echo {text} > /data; cat /data"])
        assert done.stdout == f"first\n/new\n{text}\n"
    assert not engine.start(kept).fs.exists("/etc/group"), "what was removed is there again"
    assert warm.fs.read_text("/data") == "changed later\n"


def test_the_same_program_starts_again(engine: Engine, warm: ck.Container) -> None:
    """Program and variables are those of the container, until a caller gives others."""
    kept = warm.snapshot()
    again = engine.start(kept)
    wait_for(lambda: [str(line) for line in again.logs()] == ["said"])
    assert again.info().command == tuple(WRITES)
    assert engine.run(kept, ["sh", "-c", "echo $WORD"], env={"WORD": "other"}).stdout == "other\n"


def test_one_with_a_name_outlives_its_engine(engine: Engine, warm: ck.Container) -> None:
    """It is found by its name from another engine, after its container is gone and garbage was collected."""
    kept = warm.snapshot("warm")
    warm.close()
    with Engine(engine.root) as other:
        other.store.gc()
        found = ck.Snapshot.get("warm", engine=other)
        assert found == kept and [one.name for one in ck.Snapshot.list(engine=other)] == ["warm"]
        assert other.run(found, ["cat", "/data"]).stdout == "first\n"
    with pytest.raises(NameInUse, match="warm"):
        engine.start("tools", ["sleep", "60"]).snapshot("warm")


def test_its_contents_go_with_it(engine: Engine, warm: ck.Container) -> None:
    """Nothing of a removed snapshot stays on the disk, and one without a name goes with its block."""
    before = engine.store.df()
    with warm.snapshot() as kept:
        assert engine.store.df().trees == before.trees + 1
        assert engine.run(kept, ["cat", "/data"]).stdout == "first\n"
        engine.settle()
    named = warm.snapshot("named")
    named.remove()
    after = engine.store.df()
    assert (after.trees, after.blobs, after.names) == (before.trees, before.blobs, before.names)
    with pytest.raises(NotFound, match="named"):
        ck.Snapshot.get("named", engine=engine)


def test_what_is_in_use_stays(engine: Engine, warm: ck.Container) -> None:
    """A snapshot that containers were made from is kept, and by force at least its files are."""
    kept = warm.snapshot("used")
    user = engine.create(kept, ["cat", "/data"])
    with pytest.raises(Conflict, match=user.id):
        kept.remove()
    assert ck.Snapshot.prune(engine=engine) == []
    kept.remove(force=True)
    user.start()
    assert user.wait() == 0
    user.remove()
    assert engine.store.gc().trees == kept.layers[-1:]


def test_an_image_below_a_snapshot_is_in_use(engine: Engine, warm: ck.Container) -> None:
    """Pruning images leaves what a snapshot with a name needs; removing it is refused, and says why."""
    warm.snapshot("based")
    warm.close()
    tools = ck.Image.get("tools", engine=engine)
    assert str(tools.id) not in ck.Image.prune(all=True, engine=engine).deleted
    with pytest.raises(Conflict, match="snapshot:based"):
        ck.Image.get("tools", engine=engine).remove()


def test_fsck_knows_snapshots(engine: Engine, warm: ck.Container) -> None:
    """A whole one is no finding; one with a file less is, and a repair sets it aside."""
    kept = warm.snapshot("checked")
    assert engine.store.fsck().clean
    os.unlink(f"{engine.store.tree_path(kept.layers[-1])}/data")
    found = engine.store.fsck(repair=True)
    assert [problem.subject for problem in found.problems] == [f"tree:{kept.layers[-1]}"]
    assert "snapshot has changed" in found.problems[0].what


def test_a_snapshot_of_a_copy_has_both_changes(engine: Engine, warm: ck.Container) -> None:
    """Snapshots build on each other."""
    second = engine.start(warm.snapshot(), ["sh", "-c", "echo more >> /data; exec sleep 60"])
    wait_for(lambda: second.fs.read_text("/data") == "first\nmore\n")
    assert engine.run(second.snapshot(), ["cat", "/data"]).stdout == "first\nmore\n"


def test_it_can_become_an_image(engine: Engine, warm: ck.Container) -> None:
    """As an image it has layers with digests; so has a commit of a container that was made from it."""
    image = warm.snapshot().as_image("frozen")
    done = engine.run("frozen", ["sh", "-c", "cat /data; [ ! -e /etc/group ] && echo gone"])
    assert done.stdout == "first\ngone\n" and image.config.config.cmd == tuple(WRITES)
    copy = engine.start(warm.snapshot(), ["sh", "-c", "echo more >> /data; exec sleep 60"])
    wait_for(lambda: copy.fs.read_text("/data") == "first\nmore\n")
    copy.commit("committed")
    assert engine.run("committed", ["cat", "/data"]).stdout == "first\nmore\n"
    assert engine.store.fsck().clean


@pytest.mark.parametrize("snapshotter", ["overlay", "copy"])
def test_owners_are_those_that_the_container_sees(tmp_path: Path, snapshotter: Any) -> None:
    """Whether a container has a user namespace or not, and of whichever the snapshot, or the commit, was."""
    with Engine(tmp_path / "root", snapshotter=snapshotter) as engine:
        ck.Image.from_host("sh", "stat", "sleep", "mkdir", "chown", "ln", tag="tools", engine=engine)
        script = (
            "echo x > /file; mkdir /dir; ln -s a /link; chown -h 5:6 /dir /link; echo > /ok; exec sleep 60"
        )
        for first, second in (("private", "host"), ("host", "private"), ("private", "private")):
            container = engine.start("tools", ["sh", "-c", script], userns=first)
            wait_for(lambda container=container: container.fs.exists("/ok"))
            look = ["stat", "-c", "%u:%g", "/", "/file", "/dir", "/link"]
            with container.snapshot() as kept:
                assert engine.run(kept, look, userns=second).stdout.split() == ["0:0", "0:0", "5:6", "5:6"]
            image = container.commit()
            assert engine.run(image, look, userns=second).stdout.split()[1:] == ["0:0", "5:6", "5:6"]
            container.close()


def test_a_root_that_is_a_copy_can_be_kept(tmp_path: Path) -> None:
    """Where overlay cannot be mounted, all files of the container become the layer."""
    with Engine(tmp_path / "copies", snapshotter="copy") as engine:
        ck.Image.from_host("sh", "cat", "sleep", tag="tools", engine=engine)
        container = engine.start("tools", ["sh", "-c", "echo first > /data; exec sleep 60"])
        wait_for(lambda: container.fs.exists("/data"))
        assert engine.run(container.snapshot(), ["cat", "/data"]).stdout == "first\n"


def test_a_frozen_container_goes_on(warm: ck.Container) -> None:
    """The container is stopped for the copy only, and one that somebody paused stays paused."""
    warm.snapshot()
    assert warm.status == "running" and warm.exec(["cat", "/data"]).stdout == "first\n"
    warm.pause()
    warm.snapshot()
    assert warm.status == "paused"


KILLED = """
import sys
import container_kit as ck
from container_kit.containers.changes import still
with ck.Engine(sys.argv[1]) as engine, still(engine.container(sys.argv[2])):
    print("frozen", flush=True)
    sys.stdin.read()
"""


def test_who_is_killed_leaves_a_container_that_can_be_resumed(engine: Engine) -> None:
    """A container that outlives whoever keeps its files is not stopped for ever: it shows as paused."""
    with engine.start("tools", ["sleep", "60"], detach=True) as container:
        command = [sys.executable, "-c", KILLED, engine.root, container.id]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"frozen\n"
            process.kill()
        assert container.status == "paused"
        container.resume()
        assert container.exec(["true"], timeout=20).exit_code == 0


def test_the_command_line_knows_what_came_from_a_snapshot(engine: Engine, warm: ck.Container) -> None:
    """Lists name the snapshot, and sizes count its files."""
    copy = engine.start(warm.snapshot("shown"))
    environment = {**os.environ, "CONTAINER_KIT_ROOT": engine.root}

    def said(*words: str) -> str:
        command = [sys.executable, "-c", "from container_kit.cli import main; main()", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "snapshot:shown" in said("ps")
    document = json.loads(said("inspect", "--size", copy.id))[0]
    assert document["SizeRootFs"] > ck.Image.get("tools", engine=engine).size


def test_names_are_checked_before_anything_is_copied(engine: Engine, warm: ck.Container) -> None:
    """What cannot be a name is refused."""
    with pytest.raises(InvalidInput, match="name of a snapshot"):
        warm.snapshot("two\nlines")


@pytest.mark.parametrize("detach", [False, True], ids=["own", "named-by-us"])
@pytest.mark.parametrize("snapshotter", ["overlay", "copy"])
def test_anonymous_volumes_become_files(tmp_path: Path, snapshotter: Any, detach: bool) -> None:
    """What an image keeps in a volume is in the snapshot, with owners; a copy has no volume there."""
    with Engine(tmp_path / "root", snapshotter=snapshotter) as engine:
        ck.Image.from_host(
            "sh", "cat", "sleep", "rm", "mkdir", "ls", "stat", "mv", tag="tools", engine=engine
        )
        dockerfile = (
            b"FROM tools\nRUN mkdir -p /var/deep/data; echo old > /var/deep/data/old\nVOLUME /var/deep/data\n"
        )
        ck.Image.build({}, dockerfile=dockerfile, tag="base", network="none", engine=engine)
        script = (
            "cd /var/deep/data; rm old; mkdir -m 700 sub; echo new > sub/new; echo ok > /done; exec sleep 60"
        )
        container = engine.start("base", ["sh", "-c", script], detach=detach)
        wait_for(lambda: container.fs.exists("/done"))
        owner = engine.run("base", ["stat", "-c", "%u %a", "/var/deep"]).stdout
        with container.snapshot() as kept:
            copy = engine.start(kept)
            assert copy.fs.iterdir("/var/deep/data") == ["sub"] and not engine.record(copy.id).mounts
            seen = copy.exec(["sh", "-c", "cat /var/deep/data/sub/new; stat -c '%u %a' /var/deep"]).stdout
            assert seen == f"new\n{owner}"
            copy.fs.write_text("/var/deep/data/more", "x")
            assert not container.fs.exists("/var/deep/data/more")
            copy.close()
        container.remove(force=True, volumes=True)
