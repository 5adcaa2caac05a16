"""S13: documents that a grammar made, then broke, get a verdict quickly and never anything else."""

import json
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from container_kit.errors import ContainerKitError
from container_kit.oci import Digest, ImageConfig, Index, Manifest, media_types, parse_manifest

SEEDS = [
    pytest.param(range(1000), id="quick"),
    pytest.param(range(10_000), id="long", marks=pytest.mark.trial),
]
MAX_S, MAX_KB = 1.0, 64 * 1024  # the time leaves room for a busy machine; alone it is below 0.1

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


@pytest.mark.parametrize("seeds", SEEDS)
def test_verdict_or_value(seeds: range) -> None:
    """Every document is refused with a typed error or read; what is read keeps its bytes and its digest."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        make, parse = rng.choice(PARSERS)
        document = make(rng)
        for _ in range(rng.randrange(3)):
            document = mutate(rng, document)
        raw = broken_bytes(rng, json.dumps(document).encode())
        start = time.process_time()
        try:
            value = parse(raw)
        except ContainerKitError as error:
            refused += 1
            assert len(str(error)) < 1000, seed
        else:
            read += 1
            assert value.raw == raw and value.digest == Digest.of(raw), seed
            assert parse(raw) == value
        assert time.process_time() - start < MAX_S, seed
    assert read > len(seeds) // 20 and refused > len(seeds) // 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MAX_KB
