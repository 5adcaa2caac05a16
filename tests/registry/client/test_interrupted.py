"""A pull that is cut off: nothing half is visible, what has come is used again, and nobody waits for long."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import ContainerKitError, CorruptData, Unreachable
from container_kit.images import Image
from container_kit.oci import Digest
from container_kit.registry.client import RegistryOptions
from container_kit.store import Store, failpoints
from tests.images.archives import config, descriptor, entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import LAYER, MANIFEST, Answer, Content, Seen, Server, ranged, servers
from tests.registry.docker_registry import DockerRegistry

OPTIONS = RegistryOptions(tries=3, idle_timeout_s=20)
MEBIBYTE = 1 << 20


def large_image(*sizes: int) -> Content:
    """An image whose layers have so many bytes that do not compress."""
    tars = [layer(entry(f"file-{number}", os.urandom(size))) for number, size in enumerate(sizes)]
    packed, document = [gzip.compress(tar, 1, mtime=0) for tar in tars], config(tars)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(document, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(one, LAYER) for one in packed],
        }
    ).encode()
    return Content(manifest, {str(Digest.of(one)): one for one in (*packed, document)})


@pytest.fixture
def server() -> Iterator[Server]:
    with servers("127.0.0.1") as (one,):
        yield one


@pytest.fixture
def silence(server: Server) -> Iterator[Callable[[object], object]]:
    """The body of an answer that never comes; its connection is let go when the test is over."""
    over = threading.Event()
    yield lambda file: over.wait(20)
    over.set()


def pull(engine: Engine, server: Server) -> Image:
    return Image.pull(f"{server.authority}/team/app:1", options=OPTIONS, engine=engine)


def layer_requests(server: Server, content: Content) -> list[Seen]:
    return [seen for seen in server.seen if content.layer_digest in seen.path]


def cut_off(seen: Seen, data: bytes, after: int) -> Answer:
    """What was asked for, but the connection ends after so many bytes."""
    honest = ranged(seen, data)
    assert isinstance(honest.body, bytes)
    body = honest.body
    headers = {**honest.headers, "Content-Length": str(len(body))}
    return Answer(honest.status, lambda file: file.write(body[:after]), headers)


def test_a_broken_connection_goes_on_where_it_was(engine: Engine, server: Server) -> None:
    """Each answer ends too early; every byte is sent once, and the image is whole."""
    content = large_image(5 * MEBIBYTE)
    data = content.blobs[content.layer_digest]
    server.answers = lambda seen: (
        cut_off(seen, data, 2 * MEBIBYTE) if content.layer_digest in seen.path else content.answer(seen)
    )

    image = pull(engine, server)

    ranges = [seen.headers.get("Range") for seen in layer_requests(server, content)]
    assert ranges == [None, f"bytes={2 * MEBIBYTE}-", f"bytes={4 * MEBIBYTE}-"]
    assert not engine.store.fsck().problems and image.size == 5 * MEBIBYTE


def test_a_server_without_ranges_is_read_from_the_start(engine: Engine, server: Server) -> None:
    """What is here already comes once more and is passed over."""
    content = large_image(3 * MEBIBYTE)
    data, answers = content.blobs[content.layer_digest], iter([2 * MEBIBYTE, None])

    def answer(seen: Seen) -> Answer | None:
        if content.layer_digest not in seen.path:
            return content.answer(seen)
        after = next(answers)
        return cut_off(Seen("GET", "", {}, b""), data, after) if after else Answer(200, data)

    server.answers = answer
    assert pull(engine, server).digest
    assert not engine.store.fsck().problems


def interrupted_pull(engine: Engine, server: Server, content: Content, after: int) -> None:
    """A pull whose registry goes away in the middle of the layer."""
    data = content.blobs[content.layer_digest]
    came = [False]

    def answer(seen: Seen) -> Answer | None:
        if content.layer_digest not in seen.path:
            return content.answer(seen)
        if came[0]:
            return Answer(503, b"")
        came[0] = True
        return cut_off(seen, data, after)

    server.answers = answer
    with pytest.raises(Unreachable):
        pull(engine, server)
    server.answers = content.answer
    server.seen.clear()


def parts(engine: Engine) -> list[Path]:
    return list(Path(engine.store.layout.temporary).glob("part-*"))


def test_the_next_pull_uses_what_has_come(engine: Engine, server: Server) -> None:
    """The part waits under the digest of the whole; only the rest is asked for, and all is verified."""
    content = large_image(4 * MEBIBYTE)
    interrupted_pull(engine, server, content, 3 * MEBIBYTE)
    [part] = parts(engine)
    kept = part.stat().st_size
    assert 2 * MEBIBYTE < kept <= 3 * MEBIBYTE and Image.list(engine=engine) == []

    image = pull(engine, server)

    [seen] = layer_requests(server, content)
    assert seen.headers["Range"] == f"bytes={kept}-"
    assert parts(engine) == [] and image.digest.matches(content.manifest)
    assert not engine.store.fsck().problems


def test_a_damaged_part_is_thrown_away(engine: Engine, server: Server) -> None:
    """One flipped bit in what was kept: the digest tells, and the layer is fetched from the start."""
    content = large_image(4 * MEBIBYTE)
    interrupted_pull(engine, server, content, 3 * MEBIBYTE)
    [part] = parts(engine)
    with part.open("r+b") as file:
        file.seek(MEBIBYTE)
        byte = file.read(1)
        file.seek(MEBIBYTE)
        file.write(bytes([byte[0] ^ 1]))

    assert pull(engine, server).digest.matches(content.manifest)
    assert [seen.headers.get("Range") for seen in layer_requests(server, content)][-1] is None
    assert not engine.store.fsck().problems


def test_parts_are_collected_when_they_are_old_or_on_request(engine: Engine, server: Server) -> None:
    """gc leaves a young part alone, and takes one that nobody touched for a day; prune takes all."""
    content = large_image(2 * MEBIBYTE)
    for remove in (lambda: engine.store.gc(), lambda: engine.store.prune()):
        interrupted_pull(engine, server, content, MEBIBYTE)
        [part] = parts(engine)
        engine.store.gc()
        assert parts(engine) == [part]
        if remove is not engine.store.prune:
            os.utime(part, (time.time() - 90_000,) * 2)
        remove()
        assert parts(engine) == []


def test_two_processes_fetch_a_layer_once(engine: Engine, server: Server) -> None:
    """Whoever comes second waits for the first, and finds the layer there."""
    content = large_image(3 * MEBIBYTE)
    data, begun = content.blobs[content.layer_digest], threading.Event()

    def slowly(file: Any) -> None:
        begun.set()
        for start in range(0, len(data), MEBIBYTE // 2):
            file.write(data[start : start + MEBIBYTE // 2])
            time.sleep(0.1)

    server.answers = lambda seen: (
        Answer(200, slowly, {"Content-Length": str(len(data))})
        if content.layer_digest in seen.path
        else content.answer(seen)
    )
    root = Path(engine.store.root)
    children = [forked(lambda: pull_from(root, server))]
    assert begun.wait(20)
    children.append(forked(lambda: pull_from(root, server)))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    assert codes == [0, 0]
    assert len(layer_requests(server, content)) == 1
    assert not engine.store.fsck().problems


def test_processes_that_begin_together_fetch_a_layer_once(server: Server, tmp_path: Path) -> None:
    """Also in the moment in which the first one gives the layer its final name."""
    for number in range(5):
        content = large_image(MEBIBYTE // 4)
        server.answers = content.answer
        server.seen.clear()
        root = tmp_path / str(number)
        Store.open(root).close()
        children = [forked(lambda root=root: pull_from(root, server)) for _ in range(4)]  # type: ignore[misc]
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
        assert len(layer_requests(server, content)) == 1


def pull_from(root: Path, server: Server) -> None:
    with Store.open(root) as store:
        pull(Engine(store), server)


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does *work* and ends with 0, or with 1 when that failed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.timeout(20)
def test_a_bad_layer_stops_the_others(
    engine: Engine, server: Server, silence: Callable[[object], object]
) -> None:
    """The error is that of the bad one, and nobody waits for a layer that is silent."""
    content = large_image(MEBIBYTE, 2 * MEBIBYTE)
    digests = [one["digest"] for one in json.loads(content.manifest)["layers"]]
    size = len(content.blobs[digests[1]])
    threads = threading.active_count()

    def answer(seen: Seen) -> Answer | None:
        if digests[0] in seen.path:
            time.sleep(0.2)
            return Answer(200, b"\0" * len(content.blobs[digests[0]]))
        if digests[1] in seen.path:
            return Answer(200, silence, {"Content-Length": str(size)})
        return content.answer(seen)

    server.answers = answer
    with pytest.raises(CorruptData):
        pull(engine, server)
    ours = [one.name for one in threading.enumerate() if one.name.startswith("container-kit")]
    assert ours == [] and threading.active_count() <= threads + 4  # the server's own


@pytest.mark.timeout(20)
@pytest.mark.parametrize("silent", ["/v2/", "/manifests/", "layer"])
def test_ctrl_c_ends_a_pull_that_waits(
    engine: Engine, server: Server, silence: Callable[[object], object], silent: str
) -> None:
    """Whatever the registry is silent about, the pull ends at once; no thread and no temporary file stays."""
    content = large_image(MEBIBYTE)
    reached = threading.Event()

    def answer(seen: Seen) -> Answer | None:
        if silent == "/v2/" or silent.replace("layer", content.layer_digest) in seen.path:
            reached.set()
            size = len(content.blobs[content.layer_digest])
            return Answer(200, silence, {"Content-Length": str(size)})
        return content.answer(seen)

    def interrupt() -> None:
        reached.wait(10)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    server.answers = answer
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pull(engine, server)
    finally:
        interrupter.join()
    assert [one.name for one in threading.enumerate() if one.name.startswith("container-kit")] == []
    assert [path for path in os.listdir(engine.store.layout.temporary) if not path.startswith("part-")] == []


# -- killed at any moment ----------------------------------------------------------------------


LAYERS = [layer(entry("./"), *(entry(f"{n}-{i}", bytes([n]) * 5000) for i in range(40))) for n in range(3)]


@pytest.fixture(scope="module")
def published(registry: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of three layers in docker-registry."""
    folder = tmp_path_factory.mktemp("published")
    write_directory(folder / "layout", layout_files(LAYERS, "localhost/x:1"))
    name = f"{registry.authority}/killed/app:1"
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{folder}/layout", f"docker://{name}"]
    subprocess.run(command, check=True, capture_output=True)
    return name


def pull_into(root: Path, name: str) -> None:
    with Store.open(root) as store:
        Image.pull(name, engine=Engine(store))


def killed(work: Callable[[], None], steps: str = "") -> bool:
    """Run *work* in a child that dies where *steps* says; whether it died."""
    child = os.fork()
    if child == 0:
        try:
            with failpoints.injected(steps):
                work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def expect_whole_or_absent(root: Path, name: str) -> None:
    """The pass mark of the trial, at one state of the store."""
    with Store.open(root) as store:
        engine = Engine(store)
        assert not store.fsck().problems
        images = Image.list(engine=engine)
        packed = [Digest.of(gzip.compress(data, mtime=0)) for data in LAYERS]
        finished = {str(digest) for digest in packed if store.has_blob(digest)}
        events: list[Any] = []
        image = Image.pull(name, engine=engine, progress=events.append)
        assert images in ([], [image])
        fetched = {event.id for event in events if event.action == "download"}
        assert not fetched & finished, "a finished layer was fetched again"
        store.gc()
        usage = store.df()
        assert (usage.trees, usage.blobs, usage.temporary_bytes) == (3, 5, 0), usage
        assert not store.fsck().problems


@pytest.mark.root
@pytest.mark.tool("docker-registry")
@pytest.mark.tool("skopeo")
def test_a_pull_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path, published: str) -> None:
    """Killed at each of the steps that make it durable; the store is sound and the pull repeats."""
    with failpoints.recorded() as steps:
        pull_into(tmp_path / "counted", published)
    chosen = sorted({1, len(steps), *random.Random(1).sample(range(1, len(steps) + 1), 18)})
    died = 0
    for number in chosen:
        root = tmp_path / f"root-{number}"
        died += killed(lambda root=root: pull_into(root, published), f"*:{number}:kill")  # type: ignore[misc]
        expect_whole_or_absent(root, published)
        shutil.rmtree(root)
    assert died >= len(chosen) - 2  # threads may pass a step more or less than the counted pull


@pytest.mark.trial
@pytest.mark.root
@pytest.mark.tool("docker-registry")
@pytest.mark.tool("skopeo")
def test_a_pull_killed_two_hundred_times(tmp_path: Path, published: str) -> None:
    """Every step, and a hundred random moments, each on a store that survived the ones before."""
    root = tmp_path / "root"
    with failpoints.recorded() as steps:
        pull_into(tmp_path / "counted", published)
    for number in range(1, len(steps) + 1):
        killed(lambda: pull_into(root, published), f"*:{number}:kill")
        expect_whole_or_absent(root, published)
        forget(root)
    for seed in range(100):
        child = os.fork()
        if child == 0:
            try:
                pull_into(root, published)
            finally:
                os._exit(0)
        time.sleep(random.Random(seed).uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        expect_whole_or_absent(root, published)
        forget(root)


def forget(root: Path) -> None:
    with Store.open(root) as store:
        Image.prune(all=True, engine=Engine(store))


@pytest.mark.root
@pytest.mark.tool("docker-registry")
@pytest.mark.tool("skopeo")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE"])
def test_a_pull_that_fails_at_any_step_is_a_typed_error(tmp_path: Path, published: str, error: str) -> None:
    """A full disk, a broken one, no descriptors: an error of ours, and the store as sound as before."""
    with failpoints.recorded() as steps:
        pull_into(tmp_path / "counted", published)
    for number in range(1, len(steps) + 1, 9):
        root = tmp_path / f"root-{number}"
        try:
            with failpoints.injected(f"*:{number}:{error}"):
                pull_into(root, published)
        except ContainerKitError:
            pass
        expect_whole_or_absent(root, published)
        shutil.rmtree(root)
