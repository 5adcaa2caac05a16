"""Where everything happens: one journaled ext4 in a loop file holds every side's store, image and bundle.

The machine's own disk may have no journal, and then creating files after deleting others is ten times slower:
it would measure the disk's history instead of the programs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

HERE = Path(__file__).parent
PROGRAMS = ("sh", "true", "cat", "sleep", "echo")


def enter_private_host() -> None:
    """Start this program again with mounts and a network of its own: nothing of them is left behind."""
    if os.environ.get("CK_BENCH_STAGE") != "1":
        os.environ["CK_BENCH_STAGE"] = "1"
        host = os.open("/proc/self/ns/net", os.O_RDONLY)  # for what has to be reached from in there
        os.set_inheritable(host, True)
        os.environ["CK_BENCH_HOST_NET"] = str(host)
        command = [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "--net",
            sys.executable,
            "-m",
            "benchmarks",
            *sys.argv[1:],
        ]
        os.execvp(command[0], command)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def on_the_host() -> list[str]:
    """What a command begins with to have the network that this program was started in."""
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{os.environ['CK_BENCH_HOST_NET']}"]


@attrs.frozen
class Stage:
    """The paths that the sides use; all on the loop file system."""

    path: Path

    @property
    def rootfs(self) -> Path:
        return self.path / "rootfs"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def floor(self) -> Path:
        return self.path / "floor"

    def bundle(self, name: str, *args: str, limited: bool = False) -> Path:
        """An OCI bundle of runc's own default spec: new network namespace with loopback, no terminal."""
        folder = self.path / f"bundle-{name}"
        if folder.exists():
            return folder
        folder.mkdir()
        subprocess.run(["runc", "spec", "--bundle", str(folder)], check=True)
        spec = json.loads((folder / "config.json").read_text())
        spec["root"] = {"path": str(self.rootfs), "readonly": False}
        spec["process"].update(terminal=False, args=list(args))
        # This process may not raise limits above its own.
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]
        if limited:
            spec["linux"]["resources"].update(
                memory={"limit": 64 << 20}, cpu={"quota": 50_000, "period": 100_000}, pids={"limit": 32}
            )
        (folder / "config.json").write_text(json.dumps(spec))
        return folder


@contextmanager
def stage(size_gib: int = 12) -> Iterator[Stage]:
    """A fresh stage, gone afterwards; its file grows only as far as a case fills it."""
    with tempfile.TemporaryDirectory(prefix="container-kit-bench-") as folder:
        disk, mount = Path(folder) / "disk", Path(folder) / "stage"
        mount.mkdir()
        with disk.open("wb") as file:
            file.truncate(size_gib << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(disk)], check=True)
        subprocess.run(["mount", "-o", "loop", str(disk), str(mount)], check=True)
        try:
            made = Stage(mount)
            _build_floor(made)
            yield made
        finally:
            subprocess.run(["umount", "--lazy", str(mount)], check=True)


def _build_floor(made: Stage) -> None:
    """The floor program, and a lower directory in which it finds a static ``/true``."""
    subprocess.run(["cc", "-O2", "-o", str(made.floor), str(HERE / "floor.c")], check=True)
    lower = made.path / "floor-lower"
    for name in ("proc", "sys", "dev"):
        (lower / name).mkdir(parents=True)
    (made.path / "floor-scratch").mkdir()
    source = made.path / "true.c"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-O2", "-static", "-o", str(lower / "true"), str(source)], check=True)


def copy_host_programs(made: Stage) -> None:
    """The peers' root directory: the same host programs that our image holds, at the same paths."""
    for folder in ("proc", "sys", "dev", "tmp", "etc"):
        (made.rootfs / folder).mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found is not None, f"{program} is not on PATH"
        for path in [found, *_shared_objects(found)]:
            target = made.rootfs / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def _shared_objects(program: str) -> list[str]:
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
    return [word for line in lines for word in line.split() if word.startswith("/")]
