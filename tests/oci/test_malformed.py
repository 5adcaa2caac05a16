"""S13: documents that a grammar made, then broke, get a verdict quickly and never anything else."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import ContainerKitError
from container_kit.oci import (
    Digest,
    ImageConfig,
    Index,
    Manifest,
    json_document,
    media_types,
    parse_manifest,
)

SEEDS = [
    pytest.param(range(1000), id="quick"),
    pytest.param(range(10_000), id="long", marks=pytest.mark.trial),
]
MAX_S, MAX_KB = 0.1, 64 * 1024  # of processor time, which a busy machine does not make longer

_HEX = Digest.of(b"x").hex
_ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**63, 2**64, 10**4000, "", "x", "\0", "\ud83d", "é" * 1000, [], {},
    [[]], [None], {"": ""}, "../../etc/passwd", "sha256:" + "0" * 64, "sha256:" + "A" * 64, "a" * 100_000,
    ["x"] * 20_000, {str(n): n for n in range(5000)},
]  # fmt: skip


def descriptor(rng: random.Random) -> dict[str, Any]:
    return {
        "mediaType": rng.choice(
            [media_types.OCI_CONFIG, media_types.OCI_LAYER_GZIP, media_types.OCI_MANIFEST]
        ),
        "digest": f"sha256:{_HEX}",
        "size": rng.choice([0, 1, 10**9]),
        **rng.choice([{}, {"annotations": {"a": "b"}}, {"platform": {"os": "linux", "architecture": "arm"}}]),
    }


def manifest(rng: random.Random) -> dict[str, Any]:
    layers = [descriptor(rng) for _ in range(rng.randrange(5))]
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(rng),
        "layers": layers,
    }


def index(rng: random.Random) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": [descriptor(rng) for _ in range(rng.randrange(5))]}


def config(rng: random.Random) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Env": ["A=b"], "Cmd": ["sh"], "Labels": {"k": "v"}, "Healthcheck": {"Test": ["NONE"]}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_HEX}"] * rng.randrange(4)},
        "history": [{"created_by": "x"}, {"empty_layer": True}],
    }


def mutate(rng: random.Random, value: Any) -> Any:
    """Change one member somewhere in *value*: another type, gone, twice, in another spelling, or nested."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        copy = dict(value)
        change = rng.randrange(5)
        if change == 0:
            del copy[key]
        elif change == 1:
            copy[key.upper() if rng.random() < 0.5 else key.capitalize()] = copy[key]
        elif change == 2:
            copy[rng.choice(["layers", "manifests", "mediaType", "config", "x"])] = rng.choice(_ODD)
        else:
            copy[key] = mutate(rng, copy[key])
        return copy
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutate(rng, value[at]), *value[at + rng.randrange(2) :]]
    return rng.choice(_ODD)


def broken_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Damage below the level of JSON."""
    change, at = rng.randrange(7), rng.randrange(len(raw) + 1)
    if change == 0:
        return raw[:at]
    if change == 1:
        return raw[:at] + rng.randbytes(3) + raw[at:]
    if change == 2:
        return raw[:at] + rng.choice([b"[", b'{"a":']) * rng.choice([70, 3000, 500_000]) + raw[at:]
    if change == 3:
        return raw.replace(b"{", b'{"schemaVersion":2,', 1)
    if change == 4:
        return raw[:-1] + b',"layers":[' + b"{}," * rng.choice([10, 1_000_000]) + b"{}]}"
    return raw


PARSERS: list[tuple[Callable[[random.Random], dict[str, Any]], Callable[[bytes], Any]]] = [
    (manifest, parse_manifest),
    (index, parse_manifest),
    (manifest, Manifest.parse),
    (index, Index.parse),
    (config, ImageConfig.parse),
]


def memory_kb(name: str) -> int:
    """A line of this process's status: ``VmRSS``, or ``VmHWM``, the most since the last reset."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


class Costs(list[tuple[float, int, int]]):
    """What each document cost: processor time in seconds, memory in kB, and its seed."""

    def verdict(self, parse: Callable[[bytes], Any], raw: bytes, seed: int) -> Any:
        """The value that *parse* reads, or its error."""
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, start = memory_kb("VmRSS"), time.process_time()
        value: Any
        try:
            value = parse(raw)
        except ContainerKitError as error:
            value = error
        spent = time.process_time() - start
        self.append((spent, memory_kb("VmHWM") - before, seed))
        return value

    def above_the_limits(self) -> list[tuple[float, int, int]]:
        return [cost for cost in self if cost[0] >= MAX_S or cost[1] >= MAX_KB]


def document(seed: int) -> tuple[Callable[[bytes], Any], bytes]:
    """The document of a seed, with who reads it."""
    rng = random.Random(seed)
    make, parse = rng.choice(PARSERS)
    value = make(rng)
    for _ in range(rng.randrange(3)):
        value = mutate(rng, value)
    return parse, broken_bytes(rng, json.dumps(value).encode())


@pytest.mark.parametrize("seeds", SEEDS)
def test_verdict_or_value(seeds: range) -> None:
    """Every document is refused with a typed error or read, each in less than 100 ms and 64 MB; what is
    read keeps its bytes and its digest.
    """
    costs = Costs()
    read = refused = 0
    for seed in seeds:
        parse, raw = document(seed)
        value = costs.verdict(parse, raw, seed)
        if isinstance(value, ContainerKitError):
            refused += 1
            assert len(str(value)) < 1000, seed
        else:
            read += 1
            assert value.raw == raw and value.digest == Digest.of(raw), seed
            assert parse(raw) == value
    assert read > len(seeds) // 20 and refused > len(seeds) // 20
    assert costs.above_the_limits() == []
    print(f"most: {max(costs)[0] * 1e3:.0f} ms, {max(cost[1] for cost in costs) / 1024:.0f} MB")


def test_control_without_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a reader that does not count before it reads takes longer, or more, than it may."""
    monkeypatch.setattr(json_document, "_check_budget", lambda *_: None)
    costs = Costs()
    for seed in range(300):
        costs.verdict(*document(seed), seed)

    assert costs.above_the_limits() != []
