"""R10: processes that work on one root at once, and die at any moment, see one history of each name."""

import json
import os
import random
import signal
import time
from collections import defaultdict
from pathlib import Path

import pytest

from container_kit.errors import Conflict, NotFound
from container_kit.oci import Digest
from container_kit.store import Store
from tests.store.conftest import replay
from tests.store.history import NEVER, Operation, is_linearizable

_LINES_BETWEEN_KILLS = 60
PROCESSES = 8
NAMES = 8


def test_checker_accepts_and_refuses() -> None:
    """Control: the checker tells histories that have an order from those that have none."""
    write = Operation(0, 10, "set", "a")
    overlapping = Operation(5, 7, "get", result="a")
    assert is_linearizable([write, overlapping])
    assert is_linearizable([write, overlapping._replace(result="")])
    assert not is_linearizable([write, Operation(11, 12, "get", result="")])
    assert not is_linearizable([write, overlapping, Operation(8, 9, "get", result="")])

    died = Operation(0, NEVER, "set", "a")
    reads = [Operation(1, 2, "get"), Operation(3, 4, "get", result="a")]
    assert is_linearizable([died, *reads]) and is_linearizable([died, reads[0]])
    assert not is_linearizable([died, *reads, Operation(5, 6, "get")])
    lost_update = [write, *(Operation(11, 20, "compare-and-set", v, "a", "a") for v in "bc")]
    assert not is_linearizable(lost_update)


def act(store: Store, rng: random.Random, value: str, log: int) -> None:
    """One random operation on one random name, written down before and after."""
    name, kind = f"n{rng.randrange(NAMES)}", rng.choice(["set", "compare-and-set", "remove", "get", "get"])
    with store.lease():
        digest = store.put_blob(value.encode())
        expected = store.resolve_name("m", name) if kind == "compare-and-set" else None
        text = store.read_blob(expected).decode() if expected and store.has_blob(expected) else ""
        if expected and not text:
            return  # collected since it was read
        identity = rng.getrandbits(62)
        say(log, identity, time.monotonic_ns(), name, kind, value, text)
        result = outcome(store, kind, name, digest, expected)
        say(log, identity, time.monotonic_ns(), result)


def outcome(store: Store, kind: str, name: str, digest: Digest, expected: Digest | None) -> str:
    try:
        if kind == "set":
            return known(store.set_name("m", name, digest))
        if kind == "compare-and-set":
            return known(store.set_name("m", name, digest, expected=expected))
        if kind == "remove":
            return known(store.remove_name("m", name))
        return known(store.resolve_name("m", name))
    except Conflict:
        return "conflict"
    except NotFound:
        return ""  # nothing to remove


def known(digest: Digest | None) -> str:
    return str(digest or "")


def say(log: int, *words: object) -> None:
    os.write(log, json.dumps(words).encode() + b"\n")


def work(root: Path, log: Path, seed: int, operations: int) -> None:
    """What one process does; it collects garbage now and then."""
    rng = random.Random(seed)
    fd = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    with Store.open(root) as store:
        for number in range(operations):
            if rng.random() < 0.05:
                store.gc()
            act(store, rng, f"{seed}-{number}", fd)


def start(root: Path, log: Path, seed: int, operations: int) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(root, log, seed, operations)
            code = 0
        finally:
            os._exit(code)
    return pid


def run(root: Path, log: Path, operations: int, seed: int) -> int:
    """Eight processes at work, one killed and replaced at every so many lines, until they are done."""
    rng, seeds, killed = random.Random(seed), iter(range(10_000)), 0
    each = operations // PROCESSES
    running = {start(root, log, next(seeds), each) for _ in range(PROCESSES)}
    while running:
        time.sleep(0.005)
        for pid in list(running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                running.discard(pid)
                assert status in (0, signal.SIGKILL), f"a worker failed with status {status}"
        lines = log.read_bytes().count(b"\n") if log.exists() else 0
        if running and (killed + 1) * _LINES_BETWEEN_KILLS <= lines < 2 * operations:
            victim = rng.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            running.discard(victim)
            running.add(start(root, log, next(seeds), each))
            killed += 1
    return killed


def histories(log: Path) -> dict[str, list[Operation]]:
    """The operations of each name, from the log."""
    begun: dict[int, list[str]] = {}
    found: dict[int, tuple[str, Operation]] = {}
    for line in log.read_bytes().splitlines():
        identity, moment, *words = json.loads(line)
        if identity not in begun:
            begun[identity] = words
            name, kind, value, expected = words
            digest, before = str(Digest.of(value.encode())), expected and str(Digest.of(expected.encode()))
            found[identity] = name, Operation(moment, NEVER, kind, digest, before)
        else:
            name, operation = found[identity]
            found[identity] = name, operation._replace(end=moment, result=words[0])
    by_name = defaultdict(list)
    for name, operation in found.values():
        by_name[name].append(operation)
    return by_name


@pytest.mark.parametrize("operations", [240, pytest.param(4000, marks=pytest.mark.trial)])
def test_names_have_one_history(tmp_path: Path, operations: int) -> None:
    """The results of all processes fit one order of events for each name, and the store stays whole."""
    killed = run(tmp_path / "root", tmp_path / "log", operations, seed=10)

    by_name = histories(tmp_path / "log")
    assert sum(map(len, by_name.values())) >= operations * 0.9 and killed >= 1
    assert [name for name, history in by_name.items() if not is_linearizable(history)] == []
    longest_s = (
        max(one.end - one.start for history in by_name.values() for one in history if one.end != NEVER) / 1e9
    )
    assert longest_s < 5, "a lock was not free in time"
    with Store.open(tmp_path / "root") as store:
        store.register_source(replay)
        store.gc()
        assert store.fsck().clean
        assert store.df().reclaimable_bytes == 0 == store.df().temporary_bytes
