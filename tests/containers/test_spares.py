"""Spares make repeated runs short, and are never in anybody's way."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.errors import NotFound, StartFailed
from container_kit.images import Image
from container_kit.runtime.limits import Limits
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _directories(engine: Engine) -> list[str]:
    return os.listdir(engine.catalogue.containers)


def test_a_spare_is_made_after_a_repetition_and_taken_by_the_next_run(engine: Engine) -> None:
    """The third equal run gets the container that was made after the second one; nobody sees it before."""
    engine.run("tools", ["true"])
    engine.run("tools", ["true"])
    wait_for(lambda: engine.spares._ready)
    (spare,) = engine.spares._ready.values()
    assert spare.id in _directories(engine)
    wait_for(lambda: not engine.infos(all=True))
    assert engine.run("tools", ["true"]).container_id == spare.id


def test_a_spare_that_nobody_takes_is_cleared_away(engine: Engine) -> None:
    """A moment after the last run there is no directory and no cgroup, without any call."""
    for _ in range(3):
        engine.run("tools", ["true"])
    wait_for(lambda: not _directories(engine) and not engine.cgroups.names())


def _spare(engine: Engine, **options: Any) -> ForegroundContainer:
    """Two runs in quick succession, and the spare that is made for the third."""
    for _ in range(2):
        engine.run("tools", ["true"], **options)
    wait_for(lambda: engine.spares._ready)
    (spare,) = engine.spares._ready.values()
    return spare


def _pid(spare: ForegroundContainer) -> int:
    assert spare._parked is not None
    return spare._parked.pid


@pytest.mark.parametrize(
    "wishes",
    [
        {"name": "box"},
        {"user": "1000"},
        {"working_dir": "/etc"},
        {"limits": Limits(pids=20)},
        {"tmpfs": {"/tmp": ""}},
        {"read_only": True},
        {"rlimits": {"nofile": 512}},
        {"profile": "docker"},
        {"hostname": "other"},
        {"image": "other"},
    ],
    ids=lambda wishes: next(iter(wishes)),
)
def test_other_wishes_get_no_spare(engine: Engine, wishes: dict[str, Any]) -> None:
    """What would make another world gets a container of its own, and what it asked for."""
    Image.from_host("true", tag="other", engine=engine)
    spare = _spare(engine)
    image = wishes.pop("image", "tools")
    assert engine.run(image, ["true"], **wishes).container_id != spare.id


def test_another_command_takes_the_same_spare(engine: Engine) -> None:
    """Program, environment and streams come with the word to go; the record tells of what really ran."""
    spare = _spare(engine)
    result = engine.run("tools", ["sh", "-c", "cat; echo $WORD; exit 4"], env={"WORD": "own"}, input="in ")
    assert (result.container_id, result.exit_code, result.stdout) == (spare.id, 4, "in own\n")
    assert [e.action for e in engine.events(container=spare.id)][:3] == ["create", "start", "die"]


def test_a_spare_waits_in_its_world_and_has_executed_nothing(engine: Engine) -> None:
    """It is in its own namespaces and cgroup, nobody may look into it, and it holds nothing of the host's."""
    pid = _pid(_spare(engine))
    here, there = (os.readlink(f"/proc/{one}/exe") for one in ("self", pid))
    assert there != here and there.endswith("memfd:ckit-init (deleted)")
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    folder = f"/proc/{pid}/fd"
    targets = sorted(os.readlink(f"{folder}/{fd}").split(":")[0] for fd in os.listdir(folder))
    assert targets == ["/", *["/dev/null"] * 3, "socket"], "its root, nothing thrice, and whom it listens to"


def test_a_program_that_is_not_there_fails_as_ever(engine: Engine) -> None:
    """127 from a spare too, and nothing is left of it."""
    spare = _spare(engine)
    with pytest.raises(StartFailed) as caught:
        engine.run("tools", ["nowhere"])
    assert caught.value.exit_code == 127
    wait_for(lambda: not os.path.exists(engine.catalogue.directory(spare.id)))


def test_threads_never_share_a_spare(engine: Engine) -> None:
    """Each of many calls at once has a container of its own."""
    _spare(engine)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: engine.run("tools", ["true"]).container_id, range(40)))
    assert len(set(found)) == 40


def test_a_spare_whose_process_was_killed_is_not_taken(engine: Engine) -> None:
    """The next call makes its own, and the dead one is cleared away."""
    spare = _spare(engine)
    stat = Path(f"/proc/{_pid(spare)}/stat")
    os.kill(_pid(spare), signal.SIGKILL)
    wait_for(lambda: " Z " in stat.read_text())
    assert engine.run("tools", ["true"]).container_id != spare.id
    directory = engine.catalogue.directory(spare.id)
    del spare
    wait_for(lambda: not os.path.exists(directory))


def test_a_spare_made_under_other_limits_is_not_taken(engine: Engine) -> None:
    """What a process inherits of its caller is of the moment of the call."""
    before = resource.getrlimit(resource.RLIMIT_STACK)
    spare = _spare(engine)
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, before[1]))
    try:
        result = engine.run("tools", ["sh", "-c", "ulimit -s"])
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, before)
    assert (result.container_id != spare.id, result.stdout) == (True, "1024\n")


def test_an_image_may_be_removed_while_it_has_a_spare(engine: Engine) -> None:
    """The spare goes as ever, and what it kept of the image goes with it."""
    Image.from_host("true", tag="other", engine=engine)
    for _ in range(2):
        engine.run("other", ["true"])
    wait_for(lambda: engine.spares._ready)
    Image.get("other", engine=engine).remove()
    with pytest.raises(NotFound):
        engine.run("other", ["true"])
    wait_for(lambda: not engine.spares._ready and not _directories(engine))
    engine.store.gc()
    assert engine.store.fsck().clean


def test_a_forked_child_does_not_take_its_parents_spare(engine: Engine) -> None:
    """The child makes its own container; the parent's spare is there afterwards."""
    engine.run("tools", ["true"])
    engine.run("tools", ["true"])
    wait_for(lambda: engine.spares._ready)
    (spare,) = engine.spares._ready.values()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = int(engine.run("tools", ["true"]).container_id == spare.id)
            engine.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spare.id in _directories(engine) or spare not in engine.spares._ready.values()
    assert engine.run("tools", ["true"]).exit_code == 0
