"""The census: what exists on this machine that a container could leave behind.

Taken before and after each test, and around all of them; what is there afterwards and was not before is a
leak. It sees processes, mounts, links, cgroups, sockets, loop devices, tables of the packet filter, keys and
this process's own files; it looks only at what is ours, so that the machine's own life does not disturb it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.netfilter import netfilter_tables
from tests.quiet import is_quiet

CGROUP_ROOT = Path("/sys/fs/cgroup")
OUR_CGROUP = "container-kit"
OUR_PROCESS = "ckit"
GRACE_S = 1.0  # the promise
BUSY_GRACE_S = 5.0  # where processes wait for a processor most of the time, ours do as well
# What we have let go of and others clear away: PID 1 collects ended processes, the kernel's workers keys.
OTHERS_GRACE_S = 15.0
USERS_OWN_KEYS = 2  # the kernel makes a user's own keyrings when something first asks for them
_ADOPTED = "ended, not yet collected by PID 1"
_KEYS = "more keys of this user"
_OTHERS = (_ADOPTED, _KEYS)


@attrs.frozen
class Census:
    """One look at the machine; each field holds words that name what was found."""

    processes: dict[str, str]  # who, and in which state: the same process may sleep now and run then
    mounts: frozenset[str]
    links: frozenset[str]
    cgroups: frozenset[str]
    sockets: frozenset[str]
    loops: frozenset[str]
    tables: frozenset[str]
    keys: int
    files: Counter[str]

    @classmethod
    def take(cls) -> Census:
        return cls(
            processes=dict(_our_processes()),
            mounts=frozenset(_mounts()),
            # Not from /sys, which goes on showing the network that it was mounted in.
            links=frozenset(name for _, name in socket.if_nameindex()),
            cgroups=frozenset(_our_cgroups()),
            sockets=frozenset(_listening_sockets()),
            loops=frozenset(_loop_devices()),
            tables=frozenset(netfilter_tables()),
            keys=_keys(),
            files=Counter(_own_files()),
        )

    def leaks_since(self, before: Census) -> list[str]:
        """What is here now and was not *before*, one sentence each."""
        new = self.processes.keys() - before.processes.keys()
        found = [f"process {who}, {self.processes[who]}" for who in new]
        found += [f"mount {m}" for m in self.mounts - before.mounts]
        found += [f"network link {link}" for link in self.links - before.links]
        found += [f"cgroup {c}" for c in self.cgroups - before.cgroups]
        found += [f"listening socket {s}" for s in self.sockets - before.sockets]
        found += [f"loop device {d}" for d in self.loops - before.loops]
        found += [f"nftables table {t}" for t in self.tables - before.tables]
        more_keys = self.keys - before.keys
        found += [f"{more_keys} {_KEYS}"] if more_keys > USERS_OWN_KEYS else []
        found += [f"open file {f} ({n} more)" for f, n in (self.files - before.files).items()]
        return found


def leaks_since(
    before: Census, grace_s: float | None = None, counts: Callable[[str], bool] = lambda leak: True
) -> list[str]:
    """Leaks that remain after *grace_s*: teardown may finish after a result is known, but must finish."""
    start = time.monotonic()
    while True:
        gc.collect()
        leaks = [leak for leak in Census.take().leaks_since(before) if counts(leak)]
        patience = _patience_s(leaks) if grace_s is None else grace_s
        if not leaks or time.monotonic() - start > patience:
            return leaks
        time.sleep(0.02)


def own_leaks_since(before: Census) -> list[str]:
    """Leaks but for those that others clear away at their own pace: these are looked at after all tests.

    PID 1 may collect its ended children every other second only, and that would be most of a run.
    """
    return leaks_since(before, counts=lambda leak: not leak.endswith(_OTHERS))


def others_leaks_since(before: Census) -> list[str]:
    """What `own_leaks_since` leaves out."""
    return leaks_since(before, counts=lambda leak: leak.endswith(_OTHERS))


def _patience_s(leaks: list[str]) -> float:
    """A second, where the machine has time for us."""
    if all(leak.endswith(_OTHERS) for leak in leaks):
        return OTHERS_GRACE_S
    return GRACE_S if is_quiet() else BUSY_GRACE_S


def _our_processes() -> Iterator[tuple[str, str]]:
    parents: dict[int, int] = {}
    seen: dict[int, tuple[str, str, str]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
            cgroups = Path(f"/proc/{entry}/cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        fields = rest.split()
        state = _ADOPTED if fields[0] == "Z" and fields[1] == "1" else f"state {fields[0]}"
        parents[int(entry)] = int(fields[1])
        seen[int(entry)] = (f"{name}, started {fields[19]}", state, cgroups)
    for pid, (words, state, cgroups) in seen.items():
        if _descends(pid, os.getpid(), parents) or words.startswith(OUR_PROCESS) or OUR_CGROUP in cgroups:
            yield f"{pid} {words}", state


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == ancestor:
            return True
    return False


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        yield f"{fields[4]} ({fields[fields.index('-') + 1]})"


def _our_cgroups() -> Iterator[str]:
    for folder, names, _ in os.walk(CGROUP_ROOT):
        yield from (f"{folder}/{name}" for name in names if OUR_CGROUP in f"{folder}/{name}")


def _keys() -> int:
    """How many keys and keyrings there are of this user: a container has one of its own."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/key-users").read_text().splitlines():
            uid, _, numbers = line.partition(":")
            if int(uid) == os.getuid():
                return int(numbers.split()[0])
    return 0


def _listening_sockets() -> Iterator[str]:
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in ("0A", "07"):
                yield f"{table} {fields[1]}"
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "00010000" and fields[-1].endswith("monitor.sock"):
            yield f"unix {fields[6]} {fields[-1]}"


def _loop_devices() -> Iterator[str]:
    for device in Path("/sys/block").glob("loop*"):
        backing = device / "loop/backing_file"
        if backing.exists():
            yield f"{device.name} {backing.read_text().strip()}"


def _own_files() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the descriptor of this very listing
        if not target.startswith("/proc/"):
            yield _without_inode(target)


def _without_inode(target: str) -> str:
    """Pipes and sockets are alike: what counts is how many there are."""
    return target.split(":[")[0]
