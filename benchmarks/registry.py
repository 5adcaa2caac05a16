"""Pull and push of a Debian-sized image, beside podman and skopeo, with docker-registry on this host.

podman unpacks into its overlay store as we do; skopeo only copies the blobs to a directory, so that it is a
floor for protocol, digests and disk, not a peer.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import container_kit as ck
from benchmarks.harness import Measured, Side, Table, interleaved, timed
from benchmarks.load import make_layer
from benchmarks.peers import Podman
from benchmarks.runner import Runner
from benchmarks.stage import Stage, copy_host_programs
from tests.registry.docker_registry import docker_registry

ROUNDS = int(os.environ.get("CK_BENCH_ROUNDS", "7"))
_counter = itertools.count()


def run(stage: Stage) -> None:
    """Rows: pull into an empty store, pull again, push; and the peak memory of a process that pulls."""
    layout = make_layout(stage.path, make_layer(stage.path))
    with docker_registry(stage.path / "registry") as registry, Runner() as runner:
        name = f"{registry.authority}/bench/debian:1"
        copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}"]
        subprocess.run(copy, check=True)
        copy_host_programs(stage)
        podman = Podman(runner, stage)
        podman.prepare()
        table = Table("Registry: Debian-sized image, docker-registry on this host")
        table.add("pull into an empty store", interleaved(_pulls(stage, podman, name), ROUNDS))
        with ck.Engine(root=stage.path / "store-erofs") as engine:
            table.add("pull of what is there", interleaved(_again(engine, podman, name), ROUNDS))
        table.add("push of what was pulled", interleaved(_pushes(stage, podman, layout, name), ROUNDS))
        table.show()
        memory = Table("Pull memory: peak of a process that pulls it", unit="MiB")
        row = "peak RSS above an idle interpreter with the client"
        memory.add(row, {"container_kit": _peak(stage.path, name)})
        memory.show()


def make_layout(folder: Path, layer: Path) -> Path:
    """An OCI layout of one compressed layer."""
    layout = folder / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    packed = folder / "layer.tar.gz"
    with layer.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with layer.open("rb") as file:
        diff_id = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": [diff_id]}
    oci = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json"}
    manifest["config"] = _add(layout, json.dumps(config).encode(), f"{oci}.config.v1+json")
    manifest["layers"] = [_add(layout, packed.read_bytes(), f"{oci}.layer.v1.tar+gzip")]
    entry = _add(layout, json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    print(f"- compressed: {packed.stat().st_size / 1e6:.0f} MB")
    return layout


def _add(layout: Path, data: bytes, kind: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _ours(root: Path, name: str, form: str) -> Side:
    def side() -> float:
        shutil.rmtree(root, ignore_errors=True)
        os.environ["CONTAINER_KIT_SNAPSHOTTER"] = form
        with ck.Engine(root=root) as engine:
            return timed(lambda: ck.Image.pull(name, engine=engine))()

    return side


def _pulls(stage: Stage, podman: Podman, name: str) -> dict[str, Side]:
    def with_podman() -> float:
        subprocess.run(podman.command("rmi", "-f", name), capture_output=True, check=False)
        return podman.runner.run(*podman.command("pull", "-q", "--tls-verify=false", name))

    def with_skopeo() -> float:
        target = stage.path / "skopeo"
        shutil.rmtree(target, ignore_errors=True)
        command = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{target}"]
        return podman.runner.run(*command)

    return {
        "container_kit": _ours(stage.path / "store-erofs", name, "erofs"),
        "container_kit, directories": _ours(stage.path / "store-overlay", name, "overlay"),
        "podman": with_podman,
        "skopeo to a directory": with_skopeo,
    }


def _again(engine: ck.Engine, podman: Podman, name: str) -> dict[str, Side]:
    return {
        "container_kit": timed(lambda: ck.Image.pull(name, engine=engine)),
        "podman": lambda: podman.runner.run(*podman.command("pull", "-q", "--tls-verify=false", name)),
    }


def _pushes(stage: Stage, podman: Podman, layout: Path, name: str) -> dict[str, Side]:
    """Each to a registry that is empty and that nobody has seen before, so that no blob can be mounted."""
    run = podman.runner.run

    def to_empty_registry(push: Callable[[str], float]) -> Side:
        def side() -> float:
            folder = stage.path / f"registry-{next(_counter)}"
            with docker_registry(folder) as registry:
                elapsed = push(f"{registry.authority}/push/debian:1")
            shutil.rmtree(folder)
            return elapsed

        return side

    def ours(target: str) -> float:
        with ck.Engine(root=stage.path / "store-erofs") as engine:
            image = ck.Image.get(name, engine=engine)
            return timed(lambda: image.push(target))()

    skopeo = ("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}")
    command = podman.command("push", "-q", "--tls-verify=false", name)
    return {
        "container_kit": to_empty_registry(ours),
        "podman": to_empty_registry(lambda target: run(*command, f"docker://{target}")),
        "skopeo from a layout": to_empty_registry(lambda target: run(*skopeo, f"docker://{target}")),
    }


def _peak(folder: Path, name: str) -> Measured:
    program = (
        "import sys, container_kit as ck\n"
        "import container_kit.images.pulling\n"
        "def peak():\n"
        "    lines = open('/proc/self/status')\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))\n"
        "engine = ck.Engine(root=sys.argv[1]); ck.Image\n"
        "before = peak()\n"
        "ck.Image.pull(sys.argv[2], engine=engine)\n"
        "print(peak() - before)\n"
        "engine.close()\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, str(folder / "peak-store"), name], capture_output=True, check=True
    )
    return Measured((int(output.stdout) / 1024,))
