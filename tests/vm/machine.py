"""A small virtual machine with what this host may lack: a distribution's kernel and cgroup v2 alone.

It is emulated (no nested virtualisation needed): about seven seconds to boot, and slow afterwards, so
only the tests that need such a host run in it.  The disk is made once and kept below ``build/vm``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

from tests.own_network import host_network

PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / "build" / "vm"
PACKAGES = "linux-image-cloud-amd64,python3,iproute2,kmod,busybox-static,libzstd1,zlib1g,libisal2"

# The machine's first program: mounts what systemd would, enables every controller, runs the command.
INIT = r"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
modprobe overlay; modprobe veth
mkdir -p /sys/fs/cgroup/init
cd /sys/fs/cgroup
for pid in $(cat cgroup.procs); do echo $pid >init/cgroup.procs 2>/dev/null; done
for name in $(cat cgroup.controllers); do echo +$name >cgroup.subtree_control; done
ip link set lo up
mount /dev/vdb /mnt
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
cd /mnt/project && sh /mnt/command >/dev/ttyS0 2>&1
echo "exit code $?" >/dev/ttyS0
sync; echo o >/proc/sysrq-trigger; sleep 60
"""


@attrs.frozen
class Finished:
    """What a command in the machine printed, and its exit code."""

    exit_code: int
    output: str


def run_in_machine(command: str, timeout_s: float = 900) -> Finished:
    """Boot, run the shell *command* in a copy of this project with this interpreter's packages, power off."""
    _ensure_system()
    with tempfile.TemporaryDirectory(prefix="container-kit-vm-") as folder:
        disk = _project_disk(Path(folder), command)
        done = subprocess.run(
            _qemu(disk), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    output = done.stdout.replace("\r", "")
    ended = re.search(r"^exit code (\d+)$", output, re.MULTILINE)
    return Finished(int(ended.group(1)) if ended else 255, output + done.stderr)


def _ensure_system() -> None:
    if (CACHE / "system.ext4").exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="container-kit-vm-") as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        with host_network():
            _run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(archive))
        root.mkdir()
        _run("tar", "-C", str(root), "-xf", str(archive))
        (root / "sbin/run-command").write_text(INIT)
        (root / "sbin/run-command").chmod(0o755)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(next((root / "boot").glob(f"{name}-*")), CACHE / name)
        _file_system(CACHE / "system.ext4.new", root, "1500M")
    (CACHE / "system.ext4.new").rename(CACHE / "system.ext4")


def _project_disk(folder: Path, command: str) -> Path:
    """The project, the packages it needs, and the command, as the machine's second disk."""
    content = folder / "content"
    ignore = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".mypy_cache", ".ruff_cache")
    shutil.copytree(PROJECT, content / "project", ignore=ignore)
    packages = Path(attrs.__file__).parents[1]
    skip = shutil.ignore_patterns("__pycache__", "mypy*", "ruff*", "pip*", "grimp*", "setuptools*", "rich*")
    shutil.copytree(packages, content / "packages", ignore=skip)
    (content / "command").write_text(f"export PYTHONPATH=/mnt/project:/mnt/packages\n{command}\n")
    _file_system(folder / "project.ext4", content, "400M")
    return folder / "project.ext4"


def _file_system(image: Path, content: Path, size: str) -> None:
    _run("truncate", "-s", size, str(image))
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(content), str(image))


def _qemu(disk: Path) -> list[str]:
    drives = [(CACHE / "system.ext4", "on"), (disk, "off")]
    return [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "2048", "-smp", "2",
        "-nographic", "-no-reboot",
        "-kernel", str(CACHE / "vmlinuz"), "-initrd", str(CACHE / "initrd.img"), "-nic", "none",
        "-append", "console=ttyS0 quiet root=/dev/vda rw init=/sbin/run-command panic=-1",
        *(word for path, snapshot in drives
          for word in ("-drive", f"file={path},format=raw,if=virtio,snapshot={snapshot}")),
    ]  # fmt: skip


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    finished = run_in_machine(" ".join(sys.argv[1:]))
    print(finished.output)
    raise SystemExit(finished.exit_code)
