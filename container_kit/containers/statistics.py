"""What a container uses, and its processes, from its cgroup and from /proc."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.results import Process
from container_kit.errors import NotFound, WrongState
from container_kit.native import interrupts
from container_kit.runtime.cgroups import Cgroup, CpuStats, IoStats, MemoryStats, PidsStats, Pressure

if TYPE_CHECKING:
    from container_kit.containers.container import Container

__all__ = ["Stats", "processes", "running_cgroup", "sample", "stream"]


@attrs.frozen(kw_only=True)
class Stats:
    """A moment's figures of one container; what this host does not account for is None or empty.

    Attributes:
        time_s: When they were taken, seconds since the epoch.
        cpu_percent: Of one processor since the sample before (200 is two processors); None in the first one.
        memory_percent: Of its limit, or of the machine's memory when it has none.
        io: By device, ``"major:minor"``.
        network: Bytes and packets by interface: ``{"eth0": {"rx_bytes": …}}``.
        pressure: By resource (``"cpu"``, ``"memory"``, ``"io"``); empty without PSI.
    """

    container_id: str
    name: str
    time_s: float
    memory: MemoryStats | None = None
    cpu: CpuStats | None = None
    pids: PidsStats | None = None
    io: Mapping[str, IoStats] = attrs.field(factory=dict)
    network: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    pressure: Mapping[str, Pressure] = attrs.field(factory=dict)
    cpu_percent: float | None = None
    memory_percent: float | None = None


def running_cgroup(container: Container, doing: str) -> Cgroup:
    """The cgroup of a container that runs or is paused; raises WrongState when it does not."""
    status = container.status
    if status not in ("running", "paused"):
        raise WrongState(f"cannot {doing} container {container.short_id}: it is {status}, start it first")
    return container.engine.cgroup_of(container.id)


def sample(container: Container) -> Stats:
    """The figures of now; see :meth:`Container.stats`."""
    group = running_cgroup(container, "measure")
    found = group.stats()
    return Stats(
        container_id=container.id,
        name=container.name,
        time_s=time.time(),
        memory=found.memory,
        cpu=found.cpu,
        pids=found.pids,
        io=found.io,
        network=_network(container.pid),
        pressure=found.pressure,
        memory_percent=_memory_percent(found.memory),
    )


def stream(container: Container, interval_s: float) -> Iterator[Stats]:
    """Samples until the container ends; see :meth:`Container.stats_stream`."""
    before: Stats | None = None
    while True:
        try:
            now = sample(container)
        except (WrongState, NotFound):
            return
        yield now if before is None else attrs.evolve(now, cpu_percent=cpu_percent(before, now))
        before = now
        interrupts.pause(interval_s)


def cpu_percent(before: Stats, now: Stats) -> float | None:
    """Processor time used between two samples, in percent of one processor."""
    elapsed_s = now.time_s - before.time_s
    if now.cpu is None or before.cpu is None or elapsed_s <= 0:
        return None
    return (now.cpu.usage_ns - before.cpu.usage_ns) / elapsed_s / 1e7


def _memory_percent(memory: MemoryStats | None) -> float | None:
    if memory is None:
        return None
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = min(memory.limit or machine, machine)
    return 100.0 * memory.working_set / limit


def _network(pid: int) -> dict[str, dict[str, int]]:
    """Counters of the interfaces in the process's network namespace, without the loopback."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.readlines()[2:]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 12:
            keys = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
            sent = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")
            pairs = [*zip(keys, numbers[:4], strict=True), *zip(sent, numbers[8:12], strict=True)]
            found[name.strip()] = dict(pairs)
    return found


def processes(container: Container) -> list[Process]:
    """The processes of a running container; see :meth:`Container.top`."""
    group = running_cgroup(container, "list the processes of")
    pids = group.pids() if group.paths else _pids_like(container.pid)
    return [process for pid in pids if (process := _process(pid)) is not None]


def _pids_like(pid: int) -> list[int]:
    """The processes in the pid namespace of *pid*: where there is no cgroup to ask."""
    wanted = _pid_namespace(pid)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return sorted(one for one in pids if wanted and _pid_namespace(one) == wanted)


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""  # ended, or another user's


def _process(pid: int) -> Process | None:
    """What /proc tells about a process; None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(65536).rstrip(b"\0").split(b"\0")
        uid = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])
    command = b" ".join(words).decode("utf-8", "replace") or f"[{name}]"
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        user=_user_name(uid),
        command=command,
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        memory_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
