"""Parked starts: a process that waits in its world, and what becomes of it."""

from __future__ import annotations

import errno
import os
import time

import pytest

from container_kit.errors import KernelError, StartFailed
from container_kit.native import process
from container_kit.oci.runtime_spec import Mount
from container_kit.runtime.compile import compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.parking import Parked
from container_kit.runtime.plan import Op, Plan
from tests.runtime.boxes import Box, Pipes, spec

pytestmark = pytest.mark.root


def _plan(box: Box, *args: str, **parts: object) -> Plan:
    return compile_plan(spec(*args, **parts), box.overlay(), host=Host.probe(), seccomp=b"")  # type: ignore[arg-type]


def _parked(plan: Plan) -> tuple[Parked, bytes]:
    world, rest = plan.halves()
    return Parked(world.encode()), rest.encode()


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.exists(f"/proc/{pid}")


def test_a_plan_is_cut_where_the_program_begins_to_matter(box: Box) -> None:
    """Nothing before the cut depends on arguments or environment; the order of all steps is kept."""
    plan = _plan(box, "/bin/probe", "exit", "0")
    world, rest = plan.halves()
    assert (world.steps[:-1] + rest.steps, world.steps[-1].op) == (plan.steps, Op.PARK)
    assert [step.op for step in rest.steps] == [Op.FIND_PROGRAM, Op.EXEC]


def test_before_a_filter_that_comes_early_it_waits_earlier(box: Box) -> None:
    """Without no_new_privs the filter is loaded while there are rights: behind it nobody could wait."""
    free = spec("/bin/probe", process={"no_new_privileges": False})
    plan = compile_plan(free, box.overlay(), host=Host.probe(), seccomp=bytes(8))
    assert Op.SECCOMP in [step.op for step in plan.halves()[1].steps]


def test_it_goes_on_with_the_streams_that_come_with_the_word(box: Box) -> None:
    """Input and output are those of the call; what it is not given stays nothing."""
    parked, rest = _parked(_plan(box, "/bin/probe", "exit", "7"))
    with Pipes() as pipes:
        parked.go(rest, **pipes.inside)
        pipes.close_inside()
        launched = parked.follow()
        box.running.append(launched)
        assert pipes.talk(launched.pidfd, b"").exit_code == 7


def test_a_missing_program_is_told_when_it_goes_on(box: Box) -> None:
    """As in any start: 127, and the process is reaped."""
    parked, rest = _parked(_plan(box, "/bin/nowhere"))
    pid = parked.pid
    parked.go(rest)
    with pytest.raises(StartFailed) as caught:
        parked.follow()
    assert caught.value.exit_code == 127
    assert _is_gone(pid)


def test_a_world_that_cannot_be_made_is_told_at_once(box: Box) -> None:
    """The error names the step; no process is left."""
    missing = Mount("/data", "bind", "/nowhere/at/all", ("bind",))
    with pytest.raises(StartFailed, match="/nowhere/at/all"):
        _parked(_plan(box, "/bin/probe", mounts=(missing,)))


def test_one_that_was_killed_cannot_go_on(box: Box) -> None:
    """The word does not reach it, which is an error and no hang."""
    parked, rest = _parked(_plan(box, "/bin/probe", "exit", "0"))
    os.kill(parked.pid, 9)
    assert _is_dead(parked)
    with pytest.raises(KernelError) as caught:
        parked.go(rest)
    assert caught.value.errno in (errno.EPIPE, errno.ECONNRESET)
    parked.abandon()


def _is_dead(parked: Parked) -> bool:
    deadline = time.monotonic() + 20
    while parked.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not parked.is_alive()


def test_it_ends_when_nobody_can_say_go_any_more(box: Box) -> None:
    """The end of the socket is the end of the process, by itself."""
    parked, _ = _parked(_plan(box, "/bin/probe", "exit", "0"))
    parked._start.close_status()
    assert _is_dead(parked)
    parked.abandon()


def test_what_is_abandoned_is_gone(box: Box) -> None:
    """Killed and reaped; doing so twice is as good."""
    parked, _ = _parked(_plan(box, "/bin/probe", "exit", "0"))
    pid = parked.pid
    parked.abandon()
    parked.abandon()
    assert not os.path.exists(f"/proc/{pid}")


def test_surroundings_tell_what_a_child_would_inherit() -> None:
    """Equal when nothing changed; another nice value is seen."""
    before = process.surroundings()
    assert process.surroundings() == before
    pid = os.fork()
    if pid == 0:
        os.nice(1)
        os._exit(int(process.surroundings() == before))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
