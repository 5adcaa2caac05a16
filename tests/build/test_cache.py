"""The cache: what it finds, how it is pruned, given to others and taken from them, and what it survives."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.build import cache_items, prune_cache
from container_kit.build.cache import BuildCache, Layer
from container_kit.build.cache_limit import CacheItem, to_remove
from container_kit.build.cache_mounts import CacheRecord
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput
from container_kit.images import Image
from container_kit.oci import Digest
from container_kit.oci.progress import Progress
from tests.build.conftest import Build, actions

TEXT = """
FROM tools AS first
RUN echo 1 > /one
FROM tools
COPY --from=first /one /1
COPY a /a
RUN cat /1 /a > /2
"""


def item(size: int, name: str = "") -> CacheItem:
    record = CacheRecord(id=name, directory=name, size_bytes=size, used_s=0)
    return CacheItem(id=name, type="mount", name=name, size_bytes=size, used_s=0, source=record)


@pytest.mark.parametrize(
    ("sizes", "keep", "left"),
    [([5, 5, 5], 10, 2), ([5, 0, 5], 0, 0), ([0], 0, 0), ([5, 20, 1], 10, 1), ([], 0, 0), ([3], 3, 1)],
)
def test_what_was_not_used_for_longest_goes_first(sizes: list[int], keep: int, left: int) -> None:
    """The last used are kept as long as they fit; from the first that does not, all go."""
    items = [item(size, str(at)) for at, size in enumerate(sizes)]

    assert to_remove(items, keep) == items[left:]


@pytest.mark.root
def test_entries_keep_their_layers_from_the_collector(build: Build, engine: Engine) -> None:
    """After the image is gone a collection leaves the cache, and pruning it gives the space back."""
    image = build("FROM tools\nRUN cat /bin/sh > /large")
    layer = image.layers[-1]
    image.remove(force=True)
    engine.store.gc()
    assert engine.store.has_tree(layer)

    pruned = prune_cache(engine.store)
    assert pruned.reclaimed_bytes > 50_000 and not engine.store.has_tree(layer)
    assert cache_items(engine.store) == []


@pytest.mark.root
def test_pruning_keeps_what_was_used_last(build: Build, engine: Engine, events: list[Progress]) -> None:
    """A limit keeps the last used steps, and a step in use counts as used."""
    texts = [f"FROM tools\nRUN cat /bin/sh > /large{number}" for number in range(3)]
    for text in texts:
        build(text)
    used = f"{engine.store.root}/build/used"
    for age, cached in enumerate(cache_items(engine.store)):
        os.utime(f"{used}/{cached.id}", (1000 - age, 1000 - age))
    build(texts[0])
    size = max(cached.size_bytes for cached in cache_items(engine.store))

    prune_cache(engine.store, keep_bytes=size)

    build(texts[0], progress=events.append)
    assert actions(events, "RUN") == ["cached"]
    assert len(cache_items(engine.store)) == 1


@pytest.mark.root
def test_the_cache_keeps_within_its_limit(
    build: Build, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONTAINER_KIT_BUILD_CACHE says how large it may become."""
    monkeypatch.setenv("CONTAINER_KIT_BUILD_CACHE", "200k")
    for number in range(4):
        build(f"FROM tools\nRUN cat /bin/sh > /large{number}")

    assert sum(cached.size_bytes for cached in cache_items(engine.store)) <= 200_000
    monkeypatch.setenv("CONTAINER_KIT_BUILD_CACHE", "much")
    with pytest.raises(InvalidInput, match="CONTAINER_KIT_BUILD_CACHE"):
        build("FROM tools\nRUN echo once more")


@pytest.mark.root
def test_no_cache_for_all_or_for_a_stage(build: Build, events: list[Progress]) -> None:
    """no_cache=True does all steps again; with a name, those of that stage."""
    first = build(TEXT, {"a": "1"})
    again = build(TEXT, {"a": "1"}, no_cache=True, progress=events.append)
    assert actions(events, "RUN") == ["done", "done"] and again.digest == first.digest

    events.clear()
    build(TEXT, {"a": "1"}, no_cache=["FIRST"], progress=events.append)
    assert sorted(actions(events, "RUN")) == ["cached", "done"]


@pytest.mark.root
@pytest.mark.parametrize(("mode", "expected"), [("max", ["cached"] * 4), ("min", ["cached"] * 3 + ["done"])])
def test_a_cache_goes_to_a_directory_and_comes_back(
    build: Build, engine: Engine, tmp_path: Path, events: list[Progress], mode: str, expected: list[str]
) -> None:
    """Another store does what it does not find there, and gets the same image; nothing gets a tag."""
    first = build(TEXT, {"a": "1"}, cache_to=f"type=local,dest={tmp_path}/cache,mode={mode}")
    with other_engine(engine, tmp_path) as other:
        names = {name for image in Image.list(engine=other) for name in image.names}
        second = build_in(other, TEXT, cache_from=f"type=local,src={tmp_path}/cache", progress=events.append)

        assert second.digest == first.digest
        found = [event.action for event in events if event.step > 1 and event.action in ("cached", "done")]
        assert sorted(found) == expected
        assert {name for image in Image.list(engine=other) for name in image.names} == names
        assert len(Image.list(engine=other)) == 2
        assert other.store.fsck().clean


@pytest.mark.root
def test_an_image_carries_its_cache(
    build: Build, engine: Engine, tmp_path: Path, events: list[Progress]
) -> None:
    """type=inline: who has the image needs no more than it."""
    build(TEXT, {"a": "1"}, cache_to="type=inline", tag="app:1")
    Image.get("app:1", engine=engine).save(tmp_path / "app.tar")
    with other_engine(engine, tmp_path) as other:
        Image.load(tmp_path / "app.tar", engine=other)
        build_in(other, TEXT, cache_from="app:1", progress=events.append)

    assert actions(events, "COPY") == ["cached", "cached"]


@pytest.mark.root
def test_a_cache_in_a_registry(build: Build, engine: Engine, tmp_path: Path, events: list[Progress]) -> None:
    """type=registry: exported to a repository of its own, and fetched layer by layer as steps need them."""
    with ck.Registry.serve() as registry:
        reference = f"{registry.address}/cache:main"
        first = build(TEXT, {"a": "1"}, cache_to=f"type=registry,ref={reference},mode=max")
        with other_engine(engine, tmp_path) as other:
            second = build_in(
                other, TEXT, cache_from=f"type=registry,ref={reference}", progress=events.append
            )
            assert second.digest == first.digest
            assert set(actions(events, "RUN")) == {"cached"}
            assert all("cache" not in name for image in Image.list(engine=other) for name in image.names)


@pytest.mark.root
def test_a_damaged_cache_is_told_and_not_used(
    build: Build, engine: Engine, tmp_path: Path, events: list[Progress]
) -> None:
    """A layer whose bytes are not what its digest says is never taken; the step is done instead."""
    first = build(TEXT, {"a": "1"}, cache_to=f"type=local,dest={tmp_path}/cache,mode=max")
    for path in (tmp_path / "cache/blobs/sha256").iterdir():
        data = path.read_bytes()
        if not data.startswith(b"{"):
            path.write_bytes(data.replace(b"1\n", b"2\n"))
    with other_engine(engine, tmp_path) as other:
        second = build_in(other, TEXT, cache_from=f"type=local,src={tmp_path}/cache", progress=events.append)
        assert second.digest == first.digest

    warnings = [event.message for event in events if event.action == "warning"]
    assert warnings and all("sha256" in message for message in warnings)


@pytest.mark.root
@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "{}",
        "[]",
        '{"steps":[{"key":"x","layer":0}]}',
        '{"steps":[{"key":"sha256:' + "0" * 64 + '","layer":99}]}',
    ],
)
def test_strange_caches_are_told_and_not_used(
    engine: Engine, tmp_path: Path, events: list[Progress], annotation: str
) -> None:
    """Whatever stands in an imported document, the build goes on without it."""
    from container_kit.build.cache_document import ANNOTATION
    from container_kit.images import save_images
    from container_kit.oci import Manifest

    base = Image.get("tools", engine=engine)
    manifest = Manifest.build(base.manifest.config, base.manifest.layers, {ANNOTATION: annotation, "x": "y"})
    with engine.store.lease():
        engine.store.put_blob(
            manifest.raw, references=[base.id, *(one.digest for one in base.manifest.layers)]
        )
        strange = Image(manifest.digest, engine.store, manifest, base.config)
        save_images([strange], tmp_path / "strange", "oci-dir")

    build_in(
        engine,
        "FROM tools\nRUN true",
        cache_from=f"type=local,src={tmp_path}/strange",
        progress=events.append,
    )

    assert actions(events, "RUN") == ["done"]
    assert annotation == "{}" or any(event.action == "warning" for event in events)


@pytest.mark.root
def test_a_cache_that_is_not_there_is_told(build: Build, events: list[Progress]) -> None:
    """A build without its cache is slower, and the same."""
    build("FROM tools\nRUN true", cache_from=["type=local,src=/nowhere"], progress=events.append)

    assert any(event.action == "warning" and "/nowhere" in event.message for event in events)


@pytest.mark.parametrize(
    "text", ["type=local", "type=gha", "type=registry,mode=max", "type=local,dest=/x,mode=all"]
)
def test_wrong_cache_targets_are_refused_first(text: str) -> None:
    """Nothing is built when the cache could not be written afterwards."""
    with pytest.raises(InvalidInput, match="cache_to"):
        Image.build({}, dockerfile=b"FROM scratch", cache_to=text)


@pytest.mark.root
def test_an_entry_whose_layer_is_gone_is_as_good_as_none(
    build: Build, engine: Engine, events: list[Progress]
) -> None:
    """fsck may have set a layer aside: then the step is done again."""
    image = build("FROM tools\nRUN echo 1 > /1")
    layer = image.layers[-1]
    for path in Path(engine.store.layout.tree(layer)).rglob("*"):
        if path.is_file() and b"1\n" in (data := path.read_bytes()):
            path.write_bytes(data.replace(b"1\n", b"2\n"))
    assert not engine.store.fsck(repair=True).clean

    again = build("FROM tools\nRUN echo 1 > /1", progress=events.append)
    assert actions(events, "RUN") == ["done"] and again.digest == image.digest


@pytest.mark.root
def test_an_entry_for_another_key_is_not_believed(build: Build, engine: Engine) -> None:
    """The document says which key it is for: a name that was moved finds nothing."""
    image = build("FROM tools\nRUN echo 1 > /1")
    cache = BuildCache(engine.store)
    [entry] = list(cache.entries())
    wrong = Digest.of(b"another step")
    document = engine.store.resolve_name("build-cache", entry.key.hex)
    assert document is not None
    engine.store.set_name("build-cache", wrong.hex, document)

    assert cache.find(wrong) is None and cache.find(entry.key) is not None
    assert entry.layer == Layer(image.layers[-1], image.manifest.layers[-1])
    engine.store.remove_name("build-cache", wrong.hex)


@pytest.mark.root
def test_documents_of_the_cache_have_no_secret(build: Build, engine: Engine) -> None:
    """An entry has the instruction as it is written and the layer: no argument, no variable."""
    build("FROM tools\nARG TOKEN\nRUN echo $TOKEN > /dev/null", build_args={"TOKEN": "planted-token"})

    for document in engine.store.names("build-cache").values():
        fields = json.loads(engine.store.read_blob(document))
        assert set(fields) <= {"format", "key", "name", "diffId"}
        assert "planted-token" not in json.dumps(fields)


def other_engine(engine: Engine, tmp_path: Path) -> Engine:
    """An engine with another store that has the base image only."""
    archive = tmp_path / "tools.tar"
    Image.get("tools", engine=engine).save(archive, "oci")
    root = tmp_path / "other"
    shutil.rmtree(root, ignore_errors=True)
    other = Engine(root)
    Image.load(archive, engine=other)
    return other


def build_in(engine: Engine, text: str, **arguments: Any) -> Image:
    return Image.build({"a": "1"}, dockerfile=text.encode(), engine=engine, **arguments)


@pytest.mark.root
def test_only_an_old_cache_is_replaced(build: Build, tmp_path: Path) -> None:
    """A directory with other files is never taken for an old cache; a cache is replaced whole."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(InvalidInput, match="other files"):
        build("FROM tools\nRUN true", cache_to=f"type=local,dest={tmp_path}")
    assert os.listdir(tmp_path / "..") and (tmp_path / "precious").read_text() == "x"

    for _ in range(2):
        build("FROM tools\nRUN true", cache_to=f"type=local,dest={tmp_path}/cache")
    assert sorted(os.listdir(tmp_path / "cache")) == ["blobs", "index.json", "oci-layout"]
    assert not [name for name in os.listdir(tmp_path) if name.endswith((".new", ".old"))]


@pytest.mark.root
def test_a_cache_is_not_written_over_what_is_no_cache(build: Build, tmp_path: Path) -> None:
    """Neither files nor directories of others are replaced, and no half of a cache is left beside them."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("precious")
    for name, why in (("file", "no directory"), ("full", "other files")):
        with pytest.raises(InvalidInput, match=f"cannot write the cache to .*{name}.*{why}"):
            build("FROM tools", cache_to=f"type=local,dest={tmp_path}/{name}")
    assert (tmp_path / "file").read_text() == (tmp_path / "full/file").read_text() == "precious"
    assert not list(tmp_path.glob("*.new")) and not list(tmp_path.glob("*.old"))
