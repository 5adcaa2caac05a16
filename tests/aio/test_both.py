"""What the library does is the same whether its calls block or are awaited: one suite for both faces."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import container_kit as ck
from container_kit import aio
from container_kit.errors import (
    CommandFailed,
    InvalidInput,
    NameInUse,
    NotFound,
    StartFailed,
    TimedOut,
    WrongState,
)
from tests.aio.faces import AsyncFace, Face
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def test_run(face: Face) -> None:
    """A command runs to its end; input, output and exit code are its own."""
    done = face.run("tools", ["sh", "-c", "cat; echo $WORD >&2; exit 3"], input="in\n", env={"WORD": "said"})
    assert (done.stdout, done.stderr, done.exit_code) == ("in\n", "said\n", 3)
    assert face.run("tools", ["cat"], input=b"\xff", text=False).stdout == b"\xff"


def test_errors_of_a_run(face: Face) -> None:
    """Each failure has its own error."""
    with pytest.raises(CommandFailed, match="exit code 4"):
        face.run("tools", ["sh", "-c", "exit 4"], check=True)
    with pytest.raises(StartFailed) as missing:
        face.run("tools", ["no-such-program"])
    assert missing.value.exit_code == 127
    with pytest.raises(TimedOut, match="sleep"):
        face.run("tools", ["sleep", "60"], timeout=0.3)
    with pytest.raises(NotFound):
        face.run("no-such-image", pull="never")
    with pytest.raises(InvalidInput, match="memory"):
        face.run("tools", ["true"], memory="64m")


def test_the_life_of_a_container(face: Face) -> None:
    """Made, started, executed in, stopped, started again, removed."""
    container = face.create("tools", ["sh", "-c", "trap 'exit 7' TERM; echo up; sleep 60 & wait"])
    assert container.status == "created"
    container.start()
    container.wait_for(ck.wait.log("up"))
    assert container.exec(["cat"], input="x").stdout == "x"
    container.pause()
    with pytest.raises(WrongState):
        container.exec(["true"])
    container.resume()
    assert container.stop(timeout=10) == 7 and container.wait() == 7
    container.restart()
    assert container.status == "running"
    with pytest.raises(WrongState):
        container.remove()
    container.remove(force=True)
    with pytest.raises(NotFound):
        container.info()


def test_a_block_removes(face: Face) -> None:
    """At the end of the block the container is gone."""
    with face.block(lambda: face.start("tools", ["sleep", "60"], name="boxed")) as container:
        assert container.status == "running"
        with pytest.raises(NameInUse, match="boxed"):
            face.start("tools", ["true"], name="boxed")
    assert face.verb("Container", "list", all=True, engine=face.engine) == []


def test_logs(face: Face) -> None:
    """All lines come, in order, while following and afterwards; so many that a reader has to keep up."""
    script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done"
    with face.block(lambda: face.start("tools", ["sh", "-c", script])) as container:
        followed = [str(line) for line in container.logs(follow=True)]
        assert followed == [str(number) for number in range(5000)]
        assert [line.text for line in container.logs(tail=2)] == ["4998", "4999"]
        assert [event.action for event in container.events()][:2] == ["create", "start"]


def test_executing(face: Face) -> None:
    """Output, exit codes and errors of a command inside; a process is talked with, waited for, killed."""
    with face.block(lambda: face.start("tools", ["sleep", "60"])) as container:
        assert container.exec(["sh", "-c", "echo out; exit 2"]).exit_code == 2
        with pytest.raises(TimedOut):
            container.exec(["sleep", "60"], timeout=0.3)
        with pytest.raises(CommandFailed):
            container.exec(["sh", "-c", "exit 2"], check=True)
        with face.block(
            lambda: container.popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ) as process:
            assert process.communicate("talk")[0] == "talk" and process.wait() == 0
        with face.block(lambda: container.popen(["sleep", "60"])) as process:
            with pytest.raises(TimedOut):
                process.wait(0.1)
            process.kill()
            assert process.wait() == 137


def test_waiting(face: Face) -> None:
    """For the end, for removal, for a file; and the end of the container ends a wait that is in vain."""
    container = face.start("tools", ["sh", "-c", "touch /ready; sleep 0.2; exit 5"], auto_remove=True)
    container.wait_for(ck.wait.file("/ready"))
    assert container.wait(condition="removed") == 5
    with (
        face.block(lambda: face.start("tools", ["sh", "-c", "exit 1"])) as ended,
        pytest.raises(ck.ContainerEnded),
    ):
        ended.wait_for(ck.wait.file("/never"))


def test_snapshots_and_commits(face: Face) -> None:
    """Files are kept and started from."""
    with face.block(
        lambda: face.start("tools", ["sh", "-c", "echo kept > /file; exec sleep 60"])
    ) as container:
        wait_for(lambda: container.exec(["cat", "/file"]).stdout == "kept\n")
        with container.snapshot() as snapshot:
            assert face.run(snapshot, ["cat", "/file"]).stdout == "kept\n"
        image = container.commit("kept")
        assert face.run(image, ["cat", "/file"]).stdout == "kept\n"


def test_copies(face: Face, tmp_path: Path) -> None:
    """Files go in and out."""
    (tmp_path / "in").write_text("copied\n")
    with face.block(lambda: face.start("tools", ["sleep", "60"])) as container:
        container.copy_in(tmp_path / "in", "/file")
        container.copy_out("/file", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "copied\n"


def test_builds(face: Face) -> None:
    """A Dockerfile becomes an image, and tells of its steps."""
    told: list[ck.Progress] = []
    dockerfile = b"FROM tools\nRUN echo built > /file\n"
    wishes = {"dockerfile": dockerfile, "progress": told.append, "no_cache": True, "network": "none"}
    image = face.image("build", {}, **wishes)
    assert face.run(image, ["cat", "/file"]).stdout == "built\n"
    assert {"start", "done"} <= {event.action for event in told}
    with pytest.raises(ck.BuildFailed):
        face.image("build", {}, dockerfile=b"FROM tools\nRUN exit 3\n", network="none")


def test_registries(face: Face, tmp_path: Path) -> None:
    """An image goes to a registry and comes back."""
    image = face.image("get", "tools")
    with ck.Registry.serve(tmp_path / "registry") as registry:
        name = f"{registry.address}/team/tools:1"
        if isinstance(face, AsyncFace):
            pushed = face._running(aio.Image(image).push(name))
        else:
            pushed = image.push(name)
        told: list[ck.Progress] = []
        again = face.image("pull", name, progress=told.append)
    assert again.digest == pushed.digest and told
    again.remove(name=name)


def test_sandboxes(face: Face) -> None:
    """Untrusted code runs, with files in and out."""
    box = ck.Sandbox("tools", timeout=20, engine=face.engine)
    wishes = {"files": {"in": "x\n"}, "collect": "out"}
    if isinstance(face, AsyncFace):
        done = face._running(aio.Sandbox(box).run(["sh", "-c", "cat in > out"], **wishes))
    else:
        done = box.run(["sh", "-c", "cat in > out"], **wishes)
    assert done.files == {"out": b"x\n"}
