"""A model of the kernel's cgroup hierarchies in a directory: v1, v2 or both, on any machine.

It stands in for `os` in the modules that touch cgroups: a new directory gets its files, a directory
with files can be removed, a write replaces, and the rules that the code depends on are kept
(controllers are handed down by ``subtree_control``, a cgroup with processes is busy).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from container_kit.runtime.cgroups import Layout

UNLIMITED = "9223372036854771712\n"
V1_FILES = {
    "pids": {"pids.max": "max\n", "pids.current": "0\n"},
    "devices": {"devices.allow": "", "devices.deny": ""},
    "memory": {
        "memory.limit_in_bytes": UNLIMITED, "memory.memsw.limit_in_bytes": UNLIMITED,
        "memory.soft_limit_in_bytes": UNLIMITED, "memory.swappiness": "60\n",
        "memory.usage_in_bytes": "4096\n", "memory.max_usage_in_bytes": "8192\n", "memory.failcnt": "3\n",
        "memory.stat": "cache 1\ntotal_cache 100\ntotal_rss 50\ntotal_swap 7\ntotal_inactive_file 96\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    "cpu": {
        "cpu.shares": "1024\n", "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 5\nnr_throttled 4\nthrottled_time 3000\n",
    },
    "cpuacct": {"cpuacct.usage": "7000000\n", "cpuacct.stat": "user 1\nsystem 2\n"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "freezer": {"freezer.state": "THAWED\n"},
    "blkio": {
        "blkio.bfq.weight": "100\n", "blkio.throttle.read_bps_device": "",
        "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\nTotal 4608\n",
        "blkio.throttle.io_serviced": "8:0 Read 2\n8:0 Write 1\nTotal 3\n",
    },
}  # fmt: skip
PRESSURE = (
    "some avg10=1.50 avg60=0.20 avg300=0.10 total=1234\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=99\n"
)
V2_FILES = {
    "": {
        "cgroup.procs": "", "cgroup.freeze": "0\n", "cgroup.events": "populated 0\nfrozen 0\n",
        "cgroup.kill": "", "cgroup.subtree_control": "", "cgroup.controllers": "",
        "cpu.stat": "usage_usec 7000\nuser_usec 10000\nsystem_usec 20000\n", "cpu.pressure": PRESSURE,
    },
    "pids": {"pids.max": "max\n", "pids.current": "0\n"},
    "memory": {
        "memory.max": "max\n", "memory.swap.max": "max\n", "memory.low": "0\n", "memory.high": "max\n",
        "memory.oom.group": "0\n", "memory.current": "4096\n", "memory.peak": "8192\n",
        "memory.swap.current": "7\n", "memory.stat": "anon 50\nfile 100\ninactive_file 96\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n",
    },
    "cpu": {"cpu.max": "max 100000\n", "cpu.weight": "100\n"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "io": {
        "io.max": "", "io.weight": "default 100\n",
        "io.stat": "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0\n",
    },
    "hugetlb": {"hugetlb.2MB.max": "max\n", "hugetlb.2MB.current": "0\n"},
}  # fmt: skip


class FakeKernel:
    """Stands in for the `os` module; what it does not model it hands on.

    Args:
        root: An empty directory for the hierarchies.
        v1: Controllers with a v1 hierarchy of their own each.
        v2: Controllers of the v2 hierarchy; None for no v2 hierarchy.
    """

    def __init__(self, root: Path, v1: tuple[str, ...], v2: tuple[str, ...] | None) -> None:
        self.root = root
        self.written: list[tuple[str, str]] = []
        self.vanish: list[str] = []
        roots = {controller: str(root / controller) for controller in v1}
        self.layout = Layout(str(root / "unified") if v2 is not None else None, roots, frozenset(v2 or ()))
        for controller in v1:
            self.mkdir(roots[controller])
        if self.layout.v2:
            self.mkdir(self.layout.v2)
            Path(self.layout.v2, "cgroup.controllers").write_text(" ".join(v2 or ()))
        if "cpuset" in roots:
            Path(roots["cpuset"], "cpuset.cpus").write_text("0-3\n")
            Path(roots["cpuset"], "cpuset.mems").write_text("0\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        if path in self.vanish:  # another process removed the parent just now
            self.vanish.remove(path)
            self.rmdir(os.path.dirname(path))
        os.mkdir(path, mode)
        hierarchy = Path(path).relative_to(self.root).parts[0]
        for file, text in self._files(hierarchy, path).items():
            Path(path, file).write_text(text)

    def _files(self, hierarchy: str, path: str) -> dict[str, str]:
        if hierarchy != "unified":
            return {"tasks": "", "cgroup.procs": "", **V1_FILES[hierarchy]}
        parent = Path(path).parent / "cgroup.subtree_control"
        enabled = parent.read_text().split() if parent.exists() else []
        files = dict(V2_FILES[""])
        for controller in enabled:
            files |= V2_FILES[controller]
        return files

    def rmdir(self, path: str) -> None:
        procs = Path(path, "cgroup.procs")
        if procs.exists() and procs.read_text().strip():
            raise OSError(errno.EBUSY, "busy", path)
        if any(entry.is_dir() for entry in os.scandir(path)):
            raise OSError(errno.EBUSY, "busy", path)
        for entry in os.scandir(path):
            os.unlink(entry.path)
        os.rmdir(path)

    def write(self, fd: int, data: bytes) -> int:
        path, text = os.readlink(f"/proc/self/fd/{fd}"), data.decode()
        self.written.append((os.path.relpath(path, self.root), text))
        directory, file = os.path.split(path)
        if file == "cgroup.subtree_control":
            self._hand_down(directory, text)
        elif file == "cgroup.kill":
            Path(directory, "cgroup.procs").write_text("")
        else:
            Path(path).write_text(UNLIMITED if text == "-1" and "bytes" in file else text)
        if file == "cgroup.freeze":
            Path(directory, "cgroup.events").write_text(f"populated 1\nfrozen {text}\n")
        return len(data)

    def _hand_down(self, directory: str, text: str) -> None:
        if Path(directory, "cgroup.procs").read_text().strip() and directory != self.layout.v2:
            raise OSError(errno.EBUSY, "processes in an inner cgroup")
        control = Path(directory, "cgroup.subtree_control")
        old = control.read_text().split()
        new = [word.removeprefix("+") for word in text.split()]
        control.write_text(" ".join({*old, *new}))
        for entry in os.scandir(directory):
            for controller in new if entry.is_dir() else ():
                for file, content in V2_FILES[controller].items():
                    Path(entry.path, file).write_text(content)
