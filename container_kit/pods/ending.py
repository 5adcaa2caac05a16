"""Ending the containers of a pod in good order, and the hooks around their lives.

Hooks run in a worker; signals are sent at once, and what does not end in time is killed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from container_kit.containers.preparing import run_defaults_of
from container_kit.errors import ContainerKitError
from container_kit.pods.asking import Asking, Done, execute
from container_kit.pods.member import Member
from container_kit.pods.spec import Handler

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.pods.running import Runner

__all__ = ["hasten", "run_post_start", "stop_member"]

_AGAIN_S = 2.0
_LEAST_GRACE_S = 2.0  # after a hook that took all of the time, as the kubelet has it


def stop_member(runner: Runner, member: Member, grace_s: float, *, quiet: bool = False) -> None:
    """Tell a container to end: its hook, its stop signal, and SIGKILL after *grace_s* seconds."""
    if member.stage != "live" or member.is_ending:
        member.is_ending = member.stage == "live"
        return
    member.is_ending = True
    member.end_probes()
    if not quiet:
        runner.tell("Normal", "Killing", f"Stopping container {member.spec.name}", member.spec.name)
    if member.spec.pre_stop is None or grace_s <= 0:
        _signal(runner, member, grace_s)
        return
    began, life = time.monotonic(), member.note.id

    def done(is_well: bool, words: str) -> None:
        if member.note.id != life or member.stage != "live":
            return
        if not is_well:
            runner.tell("Warning", "FailedPreStopHook", f"PreStopHook failed: {words}", member.spec.name)
        _signal(runner, member, max(grace_s - (time.monotonic() - began), _LEAST_GRACE_S))

    _run_hook(runner, member, member.spec.pre_stop, grace_s, done)


def _signal(runner: Runner, member: Member, grace_s: float) -> None:
    container = member.container
    if container is None:
        return
    if grace_s > 0:
        number = _stop_signal(runner, member)
        runner.signalling.submit(lambda: _kill(container, number))
    hasten(runner, member, grace_s)


def hasten(runner: Runner, member: Member, grace_s: float) -> None:
    """Kill it in so many seconds, if it has not ended by then."""
    container, life = member.container, member.note.id
    if container is None:
        return

    def kill() -> None:
        if member.note.id == life and member.stage == "live":
            runner.signalling.submit(lambda: _kill(container, "KILL"))
            runner.loop.after(_AGAIN_S, kill)  # should its monitor have been too busy to be reached

    if grace_s <= 0:
        kill()
    else:
        runner.loop.after(grace_s, kill)


def _kill(container: Container, signal: str | int) -> None:
    with contextlib.suppress(ContainerKitError, OSError):
        container.kill(signal)


def _stop_signal(runner: Runner, member: Member) -> str | int:
    lifecycle = member.spec.raw.get("lifecycle") or {}
    if lifecycle.get("stopSignal"):
        return str(lifecycle["stopSignal"])
    with contextlib.suppress(ContainerKitError):
        return run_defaults_of(runner.engine, runner.engine.record(member.note.id)).stop_signal
    return "TERM"


def run_post_start(runner: Runner, member: Member) -> None:
    """The hook after its start: until it has returned the container does not count as started."""
    assert member.spec.post_start is not None
    life = member.note.id

    def done(is_well: bool, words: str) -> None:
        if member.note.id != life or member.stage != "live":
            return
        member.is_hooked = True
        if is_well:
            member.begin_probes(runner)
        else:
            runner.tell("Warning", "FailedPostStartHook", f"PostStartHook failed: {words}", member.spec.name)
            stop_member(runner, member, runner.spec.grace_s, quiet=True)
        runner.settle()

    _run_hook(runner, member, member.spec.post_start, None, done)


def _run_hook(runner: Runner, member: Member, handler: Handler, timeout_s: float | None, done: Done) -> None:
    """Do what a hook says, and tell `done`; a command may take as long as the pod lives."""
    container, shared = member.container, runner.shared
    assert container is not None
    if handler.action == "sleep":
        pause_s = handler.seconds if timeout_s is None else min(handler.seconds, timeout_s)
        runner.loop.after(pause_s, lambda: done(True, ""))
    elif handler.action == "exec":
        hook = partial(_execute_hook, runner, container, handler, timeout_s, done)
        threading.Thread(target=hook, name="container-kit-hook", daemon=True).start()
    elif shared is not None:
        asking = Asking(runner.loop, runner.probing, handler, timeout_s or runner.spec.grace_s, done)
        asking.begin(container, shared, runner.address)


def _execute_hook(
    runner: Runner, container: Container, handler: Handler, timeout_s: float | None, done: Done
) -> None:
    code: int | None = 1
    try:
        code, output = execute(container, handler.command, timeout_s)
        words = f"command {list(handler.command)} exited with {code}: {output}"
    except ContainerKitError as error:
        words = str(error)
    runner.loop.post(lambda: done(code == 0, words))
