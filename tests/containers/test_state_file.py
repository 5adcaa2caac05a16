"""The state and the lock of a container."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.state_file import (
    LOST_EXIT_CODE,
    ContainerState,
    HeldLock,
    Status,
    boot_id,
    hold_lock,
    is_held,
    read_state,
    start_ticks,
    wait_released,
    write_state,
)
from container_kit.errors import WrongState

_STATES = st.builds(
    ContainerState,
    status=st.sampled_from(get_args(Status)),
    pid=st.integers(0, 2**22),
    exit_code=st.none() | st.integers(0, 255),
    oom_killed=st.booleans(),
    restarts=st.integers(0, 2**31),
    health=st.sampled_from(["none", "starting", "healthy", "unhealthy"]),
    error=st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"])),
)


@given(state=_STATES)
def test_parse_is_the_inverse_of_to_bytes(state: ContainerState) -> None:
    """What is written is what is read."""
    assert ContainerState.parse(state.to_bytes()) == state


@given(cut=st.integers(0, len(ContainerState(status="running", pid=7).to_bytes()) - 3))
def test_a_cut_off_state_is_refused(cut: int) -> None:
    """A state that a power failure cut short is never taken for a whole one."""
    with pytest.raises(ValueError, match="no complete state"):
        ContainerState.parse(ContainerState(status="running", pid=7).to_bytes()[:cut])


def test_a_newline_in_an_error_forges_no_field(tmp_path: Path) -> None:
    """Text that comes from a container stays within its line."""
    write_state(
        str(tmp_path), ContainerState(status="exited", exit_code=1, error="x\nexit_code=0\nstatus=running")
    )

    assert read_state(str(tmp_path)).exit_code == 1


def test_a_directory_without_state_was_never_started(tmp_path: Path) -> None:
    """A container is created before it has a state."""
    assert read_state(str(tmp_path)).status == "created"


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    """A second start is refused as long as the first one lives, and possible afterwards."""
    lock = hold_lock(str(tmp_path))
    assert is_held(str(tmp_path))
    with pytest.raises(WrongState, match="stop it first"):
        hold_lock(str(tmp_path))

    lock.close()
    assert not is_held(str(tmp_path))
    hold_lock(str(tmp_path)).close()


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """When the owner dies its lock is free, whatever children it forked."""
    lock = hold_lock(str(tmp_path))
    ready_reader, ready_writer = os.pipe()
    hold_reader, hold_writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready_writer, b"x")
        os.close(hold_writer)
        os.read(hold_reader, 1)  # lives on until the parent has looked
        os._exit(0)
    os.read(ready_reader, 1)
    lock.close()
    try:
        assert not is_held(str(tmp_path))
    finally:
        for fd in (ready_reader, ready_writer, hold_reader, hold_writer):
            os.close(fd)
        os.waitpid(child, 0)


def test_a_live_state_beside_a_held_lock_is_believed(tmp_path: Path) -> None:
    """The supervisor is alive, so what it wrote is true."""
    lock = hold_lock(str(tmp_path))
    write_state(str(tmp_path), ContainerState(status="running", pid=1))
    try:
        assert read_state(str(tmp_path)).status == "running"
    finally:
        lock.close()


def test_after_a_reboot_nothing_runs(tmp_path: Path) -> None:
    """A running state with a free lock from another boot is an end without a record."""
    stale = ContainerState(
        status="running", pid=os.getpid(), start_ticks=start_ticks(os.getpid()), boot_id="old"
    )
    write_state(str(tmp_path), stale)

    state = read_state(str(tmp_path))
    assert (state.status, state.exit_code, state.pid) == ("exited", LOST_EXIT_CODE, 0)
    assert "without a record" in state.error


def test_a_reused_pid_is_not_the_container(tmp_path: Path) -> None:
    """Another process with the same number does not make a dead container look alive."""
    stale = ContainerState(
        status="running", pid=os.getpid(), start_ticks=start_ticks(os.getpid()) - 1, boot_id=boot_id()
    )
    write_state(str(tmp_path), stale)

    assert read_state(str(tmp_path)).status == "exited"


def test_a_container_that_lost_its_supervisor_is_dead(tmp_path: Path) -> None:
    """Processes without a supervisor are told apart from a container that runs well."""
    orphan = ContainerState(
        status="running", pid=os.getpid(), start_ticks=start_ticks(os.getpid()), boot_id=boot_id()
    )
    write_state(str(tmp_path), orphan)

    state = read_state(str(tmp_path))
    assert state == attrs.evolve(orphan, status="dead", error=state.error)
    assert "remove it with force" in state.error


def test_closing_a_lock_twice_closes_no_other_file(tmp_path: Path) -> None:
    """A descriptor number that is in use again is left alone."""
    lock: HeldLock = hold_lock(str(tmp_path))
    lock.close()
    reader, writer = os.pipe()
    lock.close()

    os.write(writer, b"x")
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    os.close(writer)


def test_a_release_is_noticed(tmp_path: Path) -> None:
    """Who waits for a lock goes on when it is let go, and gives up when time is up."""
    lock = hold_lock(str(tmp_path))
    assert not wait_released(str(tmp_path), 0.01)
    waiter = ThreadPoolExecutor(1)
    released = waiter.submit(wait_released, str(tmp_path), None)
    lock.close()

    assert released.result()
    assert wait_released(str(tmp_path / "no-such-container"), None)
    waiter.shutdown()
