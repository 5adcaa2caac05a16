"""The sides: each starts the same ``true`` in a container and waits for its end.

crun and runc start from a plain directory (they mount no overlay); bwrap has no cgroups at all; podman
has its own store with an imported image.  The floor is floor.c.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.harness import Side
from benchmarks.runner import Runner
from benchmarks.stage import Stage

JOINED = ("pids", "devices", "memory", "cpu", "cpuacct", "unified")
_counter = itertools.count()


def floor(stage: Stage, hierarchies: Sequence[str] = (), attach: str = "tasks") -> Side:
    """One sample of the floor program; it measures itself."""
    lower, scratch = stage.path / "floor-lower", stage.path / "floor-scratch"
    usable = [name for name in hierarchies if name != "unified"]  # v2 has no `tasks` file: entered at birth
    extra = [f"cgroups={','.join(usable)}", f"attach={attach}"] if usable else []
    command = [str(stage.floor), str(lower), str(scratch), "1", "0", "net", *extra]

    def side() -> float:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(output) / 1e3

    return side


def oci_runtime(runner: Runner, program: str, stage: Stage, bundle: Path) -> Side:
    """``crun run`` or ``runc run`` of a bundle, with its state on the stage."""
    state = stage.path / f"state-{program}"

    def side() -> float:
        name = f"bench-{next(_counter)}"
        return runner.run(program, "--root", str(state), "run", "--bundle", str(bundle), name)

    return side


def bwrap(runner: Runner, stage: Stage) -> Side:
    """bubblewrap with all namespaces, a private /dev and /proc."""
    root = str(stage.rootfs)
    command = ["bwrap", "--unshare-all", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return lambda: runner.run(*command)


@attrs.frozen
class Podman:
    """podman with store, state and configuration on the stage, so that the machine's own stay untouched."""

    runner: Runner
    stage: Stage

    def command(self, *arguments: str) -> list[str]:
        base = self.stage.path / "podman"
        return [
            "env", f"CONTAINERS_CONF={base}/containers.conf", f"CONTAINERS_STORAGE_CONF={base}/storage.conf",
            "podman", "--root", f"{base}/root", "--runroot", f"{base}/run", "--cgroup-manager", "cgroupfs",
            "--storage-driver", "overlay", *arguments,
        ]  # fmt: skip

    def prepare(self) -> None:
        """Write its configuration and import the root directory as image ``bench``."""
        base = self.stage.path / "podman"
        base.mkdir(exist_ok=True)
        (base / "containers.conf").write_text(
            "[containers]\n"
            'default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n'
            "[engine]\n"
            'events_logger = "file"\n'
            f'tmp_dir = "{base}/tmp"\n'
        )
        (base / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{base}/run"\ngraphroot = "{base}/root"\n'
        )
        archive = self.stage.path / "rootfs.tar"
        subprocess.run(["tar", "-C", str(self.stage.rootfs), "-cf", str(archive), "."], check=True)
        self.runner.run(*self.command("import", str(archive), "bench"))

    def run(self, *options: str, network: str = "none") -> Side:
        command = self.command("run", "--rm", "--network", network, *options, "bench", "true")
        return lambda: self.runner.run(*command)


def show_versions() -> None:
    """Versions stand beside every figure."""
    for program in ("crun", "runc", "podman", "bwrap"):
        done = subprocess.run([program, "--version"], capture_output=True, text=True)
        print(f"- {(done.stdout or done.stderr).splitlines()[0]}")
    kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
    print(f"- kernel {kernel}; {json.dumps({'processors': len(_processors())})}")


def _processors() -> list[str]:
    return [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]
