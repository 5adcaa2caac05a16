"""Manifest lists: put together of images in a registry and in the store, pushed as one index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.oci import Digest, Index
from container_kit.registry.client import RegistryClient
from tests.images.copies.layouts import OCI, image, multi_platform_layout, write_layout
from tests.registry.client.conftest import Engine, engine, no_stored_credentials, registry
from tests.registry.docker_registry import PASSWORD, USER, DockerRegistry, docker_registry

__all__ = ["engine", "no_stored_credentials", "registry"]

pytestmark = pytest.mark.tool("docker-registry")


@pytest.fixture
def sources(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> dict[str, str]:
    """One image a platform, each in a repository of its own."""
    _, layout = multi_platform_layout(tmp_path / "layout")
    places = {arch: f"{registry.authority}/parts/{arch}:1" for arch in ("amd64", "arm64")}
    for architecture, place in places.items():
        ck.Image.copy(f"oci:{layout}", place, platform=f"linux/{architecture}", engine=engine)
    return places


def test_list_becomes_an_index(engine: Engine, registry: DockerRegistry, sources: dict[str, str]) -> None:
    """The images go to the list's repository, and each platform pulls its own by the list's name."""
    name = f"{registry.authority}/lists/app:1"
    made = ck.ManifestList.create(name, engine=engine)
    for place in sources.values():
        made = made.add(place)

    pushed = made.push(purge=True)

    with RegistryClient() as client:
        received = client.manifest(name)
    index = Index.parse(received.raw, received.media_type)
    assert received.digest == pushed.digest == made.index.digest
    assert [one.digest for one in index.manifests] == [Digest.of(image(arch)[1]) for arch in sources]
    assert [str(one.platform) for one in index.manifests] == ["linux/amd64", "linux/arm64"]
    pulled = ck.Image.pull(name, platform="linux/arm64", engine=engine)
    assert pulled.digest == Digest.of(image("arm64")[1])
    with pytest.raises(ck.NotFound):
        ck.ManifestList.get(name, engine=engine)


def test_annotations_say_the_platform(engine: Engine, sources: dict[str, str]) -> None:
    """What is annotated stands in the index; what is not, as the image's own config has it."""
    made = ck.ManifestList.create("lists/annotated:1", engine=engine)
    made = made.add(sources["arm64"]).annotate(sources["arm64"], variant="v8", os_features=["sse4"])

    (entry,) = ck.ManifestList.get("lists/annotated:1", engine=engine).index.manifests

    assert entry.platform is not None
    assert str(entry.platform) == "linux/arm64/v8" and entry.platform.os_features == ("sse4",)
    with pytest.raises(ck.NotFound, match="parts/arm64"):
        made.annotate("other:1", variant="v9")


def test_lists_survive_collections(engine: Engine, sources: dict[str, str]) -> None:
    """A draft stays until it is removed, and a second one of its name is refused unless amended."""
    ck.ManifestList.create("lists/kept:1", engine=engine).add(sources["amd64"])
    engine.store.gc()

    with pytest.raises(ck.NameInUse):
        ck.ManifestList.create("lists/kept:1", engine=engine)
    amended = ck.ManifestList.create("lists/kept:1", amend=True, engine=engine).add(sources["amd64"])
    amended.remove()
    engine.store.gc()

    assert len(amended.images) == 1
    assert engine.store.df().names == 0


def test_image_that_changed_is_not_pushed(
    tmp_path: Path, engine: Engine, registry: DockerRegistry, sources: dict[str, str]
) -> None:
    """A list pushes what was added; when a name has moved meanwhile, it says so."""
    made = ck.ManifestList.create(f"{registry.authority}/lists/moved:1", engine=engine).add(sources["amd64"])
    blobs, manifest = image("amd64", text="newer")
    other = write_layout(tmp_path / "other", blobs, [(manifest, f"{OCI}.manifest.v1+json", "")])
    ck.Image.copy(f"oci:{other}", sources["amd64"], engine=engine)

    with pytest.raises(ck.Conflict, match="has changed"):
        made.push()


def test_image_of_the_store_in_a_list(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """Images need not be in a registry before; an index is no image, and an empty list no index."""
    index, layout = multi_platform_layout(tmp_path / "layout")
    ck.Image.copy(f"oci:{layout}", "store:app:1", engine=engine)
    whole = f"{registry.authority}/lists/whole:1"
    ck.Image.copy(f"oci:{layout}", whole, platform="all", engine=engine)
    made = ck.ManifestList.create(f"{registry.authority}/lists/stored:1", engine=engine)
    with pytest.raises(ck.InvalidInput, match="no images"):
        made.push()
    with pytest.raises(ck.InvalidInput, match="several images"):
        made.add(whole)

    pushed = made.add("store:app:1").push()

    assert json.loads(made.add("store:app:1").index.raw)["manifests"][0]["platform"]["os"] == "linux"
    assert pushed.media_type == f"{OCI}.index.v1+json"
    assert Digest.of(index) != pushed.digest


def test_credentials_stay_with_one_registry(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """The password for the target's registry is not shown to the source's, unless both are the same."""
    _, layout = multi_platform_layout(tmp_path / "layout")
    options = ck.RegistryOptions(credentials=ck.Credentials(username=USER, password=PASSWORD))
    with docker_registry(tmp_path / "private", auth=True) as private:
        first, second = (f"{private.authority}/team/{name}:1" for name in ("first", "second"))
        ck.Image.copy(f"oci:{layout}", first, options=options, engine=engine)
        ck.Image.copy(first, second, options=options, engine=engine)
        with pytest.raises(ck.AccessDenied):
            ck.Image.copy(second, f"{registry.authority}/open:1", options=options, engine=engine)
        copied = ck.Image.copy(second, f"{registry.authority}/open:1", source_options=options, engine=engine)

    assert copied.digest == Digest.of(image("amd64")[1])
