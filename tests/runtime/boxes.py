"""Containers for the tests of this layer: a root with nothing but the probe, started by hand.

The layers above are not used, so that what is tested here is the start path alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from container_kit.native import process
from container_kit.oci.rootfs import Overlay, RootFs
from container_kit.oci.runtime_spec import Capabilities, Linux, Mount, Namespace, Process, Root, Spec
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, execute, launch
from container_kit.runtime.parking import Parked
from container_kit.runtime.plan import Plan

PROBE_SOURCE = Path(__file__).parents[1] / "probe" / "probe.c"
TIMEOUT_S = 60.0
CAPS = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")
NAMESPACES = ("mount", "pid", "ipc", "uts", "network", "cgroup")
_QUIET = ("nosuid", "noexec", "nodev")
MOUNTS = (
    Mount("/proc", "proc", "proc", _QUIET),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount(
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount("/dev/shm", "tmpfs", "shm", (*_QUIET, "mode=1777", "size=65536k")),
    Mount("/dev/mqueue", "mqueue", "mqueue", _QUIET),
    Mount("/sys", "sysfs", "sysfs", (*_QUIET, "ro")),
)
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def build_probe(folder: Path) -> Path:
    """The static probe program, compiled into *folder*."""
    program = folder / "probe"
    subprocess.run(["cc", "-static", "-O1", "-o", program, PROBE_SOURCE], check=True)
    return program


def spec(
    *args: str, linux: Mapping[str, Any] | None = None, process: Mapping[str, Any] | None = None, **parts: Any
) -> Spec:
    """A configuration with every namespace and the usual mounts; keywords replace its parts."""
    own = {
        "args": args or ("/bin/probe",),
        "env": ("PATH=/usr/bin:/bin",),
        "no_new_privileges": True,
        "capabilities": Capabilities(CAPS, CAPS, CAPS),
    }
    kernel = {
        "namespaces": tuple(Namespace(name) for name in NAMESPACES),
        "masked_paths": MASKED,
        "readonly_paths": READ_ONLY,
    }
    values = {"hostname": "box", "mounts": MOUNTS, "root": Root("rootfs")} | parts
    return Spec(
        process=Process(**(own | dict(process or {}))), linux=Linux(**(kernel | dict(linux or {}))), **values
    )


def launch_parked(plan: Plan, *, cgroup_fd: int = -1, **streams: int) -> Launched:
    """As `launch`, but the world is made first and the program started in it afterwards."""
    world, rest = plan.halves()
    parked = Parked(world.encode(), cgroup_fd=cgroup_fd)
    parked.go(rest.encode(), **streams)
    return parked.follow()


@attrs.define
class Box:
    """A folder with layers, from which containers are started one after the other."""

    folder: Path
    running: list[Launched] = attrs.field(factory=list)

    @property
    def lower(self) -> Path:
        return self.folder / "lower"

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    def overlay(self) -> Overlay:
        """A root with empty changes; what an earlier one changed is gone."""
        for name in ("upper", "work"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        return Overlay((str(self.lower),), str(self.upper), str(self.folder / "work"), volatile=True)

    def start(self, wanted: Spec, root: RootFs | None = None, **options: Any) -> Launched:
        """Start *wanted*; *options* go to `compile_plan` and `launch`, whoever knows them."""
        to_launch = {
            key: options.pop(key)
            for key in ("stdin", "stdout", "stderr", "slots", "preserve_fds", "on_sync", "cgroup_fd")
            if key in options
        }
        plan = compile_plan(wanted, root or self.overlay(), host=Host.probe(), **options)
        launched = launch(plan, **to_launch)
        self.running.append(launched)
        return launched

    def run(
        self, wanted: Spec, root: RootFs | None = None, input: bytes = b"", **options: Any
    ) -> process.Completed:
        """Start *wanted*, talk with it and wait for its end."""
        with Pipes() as pipes:
            launched = self.start(wanted, root, **pipes.inside, **options)
            pipes.close_inside()
            return pipes.talk(launched.pidfd, input)

    def ask(self, wanted: Spec, root: RootFs | None = None, **options: Any) -> dict[str, Any]:
        """What the probe says of its world."""
        done = self.run(wanted, root, **options)
        assert done.exit_code == 0, done
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def execute(
        self,
        target: Launched,
        *args: str,
        namespaces: Sequence[str] = NAMESPACES,
        input: bytes = b"",
        **parts: Any,
    ) -> process.Completed:
        """Run one more program in *target* and wait for its end."""
        wanted = spec(*args, process=parts).process
        assert wanted is not None
        plan = compile_exec(wanted, namespaces, host=Host.probe())
        with Pipes() as pipes:
            launched = execute(plan, target.pidfd, **pipes.inside)
            self.running.append(launched)
            pipes.close_inside()
            return pipes.talk(launched.pidfd, input)

    def close(self) -> None:
        """End whatever still runs."""
        for launched in self.running:
            if launched.pidfd >= 0:
                process.send_signal(launched.pidfd, 9)
                _reap(launched.pidfd)
            launched.close()
        self.running.clear()


def _reap(pidfd: int) -> None:
    try:
        process.wait(pidfd, TIMEOUT_S)
    except ChildProcessError:
        return
    except OSError as error:
        if error.errno != 10:  # ECHILD: the test has waited for it
            raise


class Pipes:
    """The three streams of a program: *inside* for it, the other ends for us."""

    def __init__(self) -> None:
        self._ours: list[int] = []
        self.inside: dict[str, int] = {}
        for name in ("stdin", "stdout", "stderr"):
            read, write = os.pipe2(os.O_CLOEXEC)
            ours, theirs = (write, read) if name == "stdin" else (read, write)
            os.set_blocking(ours, False)
            self._ours.append(ours)
            self.inside[name] = theirs

    def close_inside(self) -> None:
        for descriptor in self.inside.values():
            os.close(descriptor)
        self.inside = {}

    def talk(self, pidfd: int, input: bytes) -> process.Completed:
        stdin, stdout, stderr = self._ours
        self._ours = [stdout, stderr]
        talk = process.Talk(pidfd, stdin_fd=stdin, stdout_fd=stdout, stderr_fd=stderr, input=input)
        return talk.run(TIMEOUT_S)

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_inside()
        for descriptor in self._ours:
            os.close(descriptor)
