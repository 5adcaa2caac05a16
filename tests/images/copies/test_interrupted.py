"""Copies that are cut off: no name leads to half an image, nobody waits long, and the next one goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.oci import Digest
from tests.images.copies.layouts import multi_platform_layout
from tests.images.copies.test_copying import blobs_of
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import Answer, Content, Seen, Server, servers
from tests.registry.client.test_interrupted import MEBIBYTE, cut_off, forked, large_image
from tests.registry.docker_registry import DockerRegistry

PROJECT = Path(__file__).parents[3]
MEASURED = """
import sys
import container_kit as ck
ck.Image.copy(*sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with servers("127.0.0.1") as (one,):
        yield one


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker"])
def test_broken_connection_goes_on(
    kind: str, tmp_path: Path, engine: Engine, server: Server, registry: DockerRegistry
) -> None:
    """A source that breaks off again and again is asked for the rest, while the target gets one stream."""
    content = large_image(5 * MEBIBYTE)
    data = content.blobs[content.layer_digest]
    server.answers = lambda seen: (
        cut_off(seen, data, 2 * MEBIBYTE) if content.layer_digest in seen.path else content.answer(seen)
    )
    target = f"{kind}:{tmp_path}/out" if kind != "docker" else f"docker://{registry.authority}/broken:1"

    copied = ck.Image.copy(f"{server.authority}/team/app:1", target, engine=engine)
    again = ck.Image.copy(target, f"oci:{tmp_path}/end", engine=engine)

    assert copied.digest == again.digest == Digest.of(content.manifest)
    assert sum(content.layer_digest in seen.path for seen in server.seen) == 3


def damaged(content: Content, seen: Seen) -> Answer | None:
    data = content.blobs[content.layer_digest]
    if content.layer_digest not in seen.path:
        return content.answer(seen)
    return Answer(200, data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.tool("docker-registry")
def test_lying_registry(tmp_path: Path, engine: Engine, server: Server, registry: DockerRegistry) -> None:
    """One changed bit in what a registry sends reaches no target, be it a registry or a file."""
    content = large_image(3 * MEBIBYTE)
    server.answers = lambda seen: damaged(content, seen)
    source = f"{server.authority}/team/app:1"

    for target in (f"oci:{tmp_path}/out", f"oci-archive:{tmp_path}/out.tar", f"{registry.authority}/lying:1"):
        with pytest.raises(ck.CorruptData, match="damaged"):
            ck.Image.copy(source, target, engine=engine)

    assert not (tmp_path / "out.tar").exists() and not (tmp_path / "out" / "index.json").exists()
    assert content.layer_digest[7:] not in os.listdir(tmp_path / "out" / "blobs" / "sha256")
    with pytest.raises(ck.NotFound):
        ck.Image.copy(f"{registry.authority}/lying:1", f"oci:{tmp_path}/never", engine=engine)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "store"])
def test_ctrl_c_while_a_registry_is_silent(kind: str, tmp_path: Path, engine: Engine, server: Server) -> None:
    """The caller gets the interrupt, with no thread and no draft left, and the next copy is whole."""
    content, silent, begun = large_image(2 * MEBIBYTE), threading.Event(), threading.Event()

    def stall(file: Any) -> None:
        file.write(content.blobs[content.layer_digest][: MEBIBYTE // 2])
        file.flush()
        begun.set()
        silent.wait(40)

    length = {"Content-Length": str(len(content.blobs[content.layer_digest]))}
    server.answers = lambda seen: (
        Answer(200, stall, length) if content.layer_digest in seen.path else content.answer(seen)
    )
    target = f"{kind}:{tmp_path}/out" if kind != "store" else "store:out:1"

    def interrupt() -> None:
        begun.wait(20)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ck.Image.copy(f"{server.authority}/team/app:1", target, engine=engine)
    finally:
        silent.set()
        interrupter.join()

    assert [one.name for one in threading.enumerate() if one.name.startswith("container-kit")] == []
    assert not list(tmp_path.rglob("*.part"))
    server.answers = content.answer
    copied = ck.Image.copy(f"{server.authority}/team/app:1", target, engine=engine)
    assert copied.digest == Digest.of(content.manifest)


def test_killed_at_any_moment(tmp_path: Path, engine: Engine) -> None:
    """After a kill -9 a layout's index names nothing that is not whole, and the next copy completes it."""
    _, layout = multi_platform_layout(tmp_path / "original")
    wanted = blobs_of(layout)
    target, moments = tmp_path / "out", random.Random(7)
    for _ in range(15):
        shutil.rmtree(target, ignore_errors=True)
        child = forked(
            lambda: ck.Image.copy(f"oci:{layout}", f"oci:{target}:v1", platform="all", engine=engine)
        )
        time.sleep(moments.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        if (target / "index.json").exists():
            assert json.loads((target / "index.json").read_bytes())["manifests"]
            assert wanted.items() <= blobs_of(target).items()
        ck.Image.copy(f"oci:{layout}", f"oci:{target}:v1", platform="all", engine=engine)
        assert wanted.items() <= blobs_of(target).items()


def test_two_processes_copy_into_one_layout(tmp_path: Path, engine: Engine) -> None:
    """Nobody's entry in the index is lost."""
    _, layout = multi_platform_layout(tmp_path / "original")
    (tmp_path / "out").mkdir()
    children = [
        forked(lambda tag=tag: ck.Image.copy(f"oci:{layout}", f"oci:{tmp_path}/out:{tag}", engine=engine))  # type: ignore[misc]
        for tag in ("a", "b", "c", "d")
    ]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    index = json.loads((tmp_path / "out" / "index.json").read_bytes())
    assert codes == [0] * 4
    tags = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
    assert sorted(tags) == ["a", "b", "c", "d"]


@pytest.mark.tool("docker-registry")
def test_memory_does_not_grow_with_the_image(tmp_path: Path, registry: DockerRegistry) -> None:
    """Blobs are never whole in memory: a layer of 100 MiB costs as much as one of 10 MiB."""
    peaks = []
    for number, size in enumerate((10, 100)):
        content = large_image(size * MEBIBYTE)
        source = write_content(tmp_path / f"{number}", content)
        name = f"docker://{registry.authority}/memory/{number}:1"
        peaks.append(max(peak(source, name), peak(name, f"oci:{tmp_path}/back-{number}")))
    assert peaks[1] < peaks[0] + 24 * 1024


def write_content(path: Path, content: Content) -> str:
    from tests.images.copies.layouts import OCI, blob_name, write_layout

    files = {blob_name(data): data for data in (content.manifest, *content.blobs.values())}
    return f"oci:{write_layout(path, files, [(content.manifest, f'{OCI}.manifest.v1+json', '')])}"


def peak(source: str, target: str) -> int:
    """The most memory, in KiB, that a process needed which did nothing but this copy."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, source, target],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)
