"""Copies between every two kinds of places keep the digest, and every blob."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.images.copies.names import PlaceName
from container_kit.oci import Digest
from container_kit.registry.client import RegistryClient
from container_kit.registry.signatures.identities import Identity
from tests.images.copies.layouts import OCI, artifact, image, multi_platform_layout, write_layout
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import DockerRegistry

PLACES = ("registry", "oci", "oci-archive", "store")


def place(kind: str, folder: Path, registry: DockerRegistry, name: str) -> str:
    match kind:
        case "registry":
            return f"docker://{registry.authority}/copies/{folder.name.replace('_', '-').lower()}-{name}:v1"
        case "store":
            return f"store:copies-{name}:v1"
    return f"{kind}:{folder}/{name}:v1"


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize(("first", "second"), list(itertools.product(PLACES, PLACES)))
def test_index_keeps_its_digest_through_any_two_places(
    first: str, second: str, tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """All platforms, with the attestation among them, arrive byte by byte whatever they pass through."""
    index, layout = multi_platform_layout(tmp_path / "original")
    one, two = place(first, tmp_path, registry, "one"), place(second, tmp_path, registry, "two")

    done = [
        ck.Image.copy(source, target, platform="all", engine=engine)
        for source, target in itertools.pairwise((f"oci:{layout}:v1", one, two, f"oci:{tmp_path}/end:v1"))
    ]

    assert {copied.digest for copied in done} == {Digest.of(index)}
    assert blobs_of(tmp_path / "end") == blobs_of(layout)


def blobs_of(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("kind", [*PLACES, "docker-archive"])
def test_one_platform_of_an_index(
    kind: str, tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """A platform chooses one image, which keeps its own digest, and nothing of the others comes along."""
    _, layout = multi_platform_layout(tmp_path / "original")
    _, manifest = image("arm64")
    target = place(kind, tmp_path, registry, "one")
    if kind == "docker-archive":
        target = f"docker-archive:{tmp_path}/one.tar:team/app:v1"

    copied = ck.Image.copy(f"oci:{layout}:v1", target, platform="linux/arm64", engine=engine)
    again = ck.Image.copy(f"oci:{layout}:v1", f"oci:{tmp_path}/end", platform="linux/arm64", engine=engine)

    assert copied.digest == again.digest == Digest.of(manifest)
    assert len(blobs_of(tmp_path / "end")) == 4


def test_no_platform_means_this_hosts(tmp_path: Path, engine: Engine) -> None:
    """Without a platform the image for this host is copied; a platform that is not there is an error."""
    _, layout = multi_platform_layout(tmp_path / "original")

    copied = ck.Image.copy(f"oci:{layout}", f"oci-archive:{tmp_path}/one.tar", engine=engine)
    with pytest.raises(ck.NotFound, match="linux/amd64, linux/arm64"):
        ck.Image.copy(f"oci:{layout}", "store:nothing", platform="linux/s390x", engine=engine)

    assert copied.media_type == f"{OCI}.manifest.v1+json"


@pytest.mark.root
def test_copy_into_the_store_is_an_image(tmp_path: Path, engine: Engine) -> None:
    """What comes into the store has its name, its layers as trees, and the digest that `load` gives."""
    _, layout = multi_platform_layout(tmp_path / "original")

    copied = ck.Image.copy(f"oci:{layout}:v1", "store:team/app:1", engine=engine)
    found = ck.Image.get("team/app:1", engine=engine)

    assert found.digest == copied.digest
    assert all(engine.store.has_tree(diff_id) for diff_id in found.layers)
    assert not engine.store.fsck().problems


def test_index_goes_with_its_name(tmp_path: Path, engine: Engine) -> None:
    """The store keeps all platforms as long as the name means what came with them, and no longer."""
    index, layout = multi_platform_layout(tmp_path / "original")
    ck.Image.copy(f"oci:{layout}", "store:app:1", platform="all", engine=engine)
    engine.store.gc()
    whole = ck.Image.copy("store:app:1", f"oci:{tmp_path}/whole", platform="all", engine=engine)

    ck.Image.get("app:1", engine=engine).remove()
    ck.Image.prune(all=True, engine=engine)

    assert whole.digest == Digest.of(index)
    assert not engine.store.has_blob(Digest.of(index))
    assert engine.store.df().blobs == 0


def test_name_that_moves_forgets_the_index(tmp_path: Path, engine: Engine) -> None:
    """A tag given to another image does not bring the old image's other platforms along."""
    _, layout = multi_platform_layout(tmp_path / "original")
    blobs, manifest = image("amd64", text="newer")
    other = write_layout(tmp_path / "other", blobs, [(manifest, f"{OCI}.manifest.v1+json", "")])
    ck.Image.copy(f"oci:{layout}", "store:app:1", platform="all", engine=engine)
    ck.Image.copy(f"oci:{other}", "store:app:1", engine=engine)

    copied = ck.Image.copy("store:app:1", f"oci:{tmp_path}/out", platform="all", engine=engine)

    assert copied.digest == Digest.of(manifest)


@pytest.mark.tool("docker-registry")
def test_second_copy_sends_nothing(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """Blobs that are there are not sent again, and another repository of the registry lends its own."""
    _, layout = multi_platform_layout(tmp_path / "original")
    first = f"{registry.authority}/lending/first:1"
    ck.Image.copy(f"oci:{layout}", first, platform="all", engine=engine)

    again: list[ck.Progress] = []
    ck.Image.copy(f"oci:{layout}", first, platform="all", engine=engine, progress=again.append)
    mounted: list[ck.Progress] = []
    second = f"docker://{registry.authority}/lending/second:1"
    ck.Image.copy(first, second, platform="all", engine=engine, progress=mounted.append)

    assert {event.action for event in again} == {"exists", "done"}
    assert {event.action for event in mounted} <= {"exists", "mount", "done"}
    assert sum(event.action == "mount" for event in mounted) == 7  # common layer, and the rest of two images


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("kind", PLACES)
def test_referrers_come_along(kind: str, tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """With *referrers* a signature of an image, and one of that signature, are found at the target."""
    blobs, manifest = image("amd64")
    signature = artifact({"signed": "yes"}, "application/vnd.example.signature", blobs, manifest)
    counter = artifact({"seen": "yes"}, "application/vnd.example.counter", blobs, signature)
    kinds = f"{OCI}.manifest.v1+json"
    layout = write_layout(
        tmp_path / "signed", blobs, [(manifest, kinds, ""), (signature, kinds, ""), (counter, kinds, "")]
    )
    target = place(kind, tmp_path, registry, "copied")

    ck.Image.copy(f"oci:{layout}", target, referrers=True, engine=engine)
    ck.Image.copy(target, f"oci:{tmp_path}/back:v1", referrers=True, engine=engine)
    ck.Image.copy(target, f"oci:{tmp_path}/bare:v1", engine=engine)

    assert blobs_of(tmp_path / "back") == blobs_of(layout)
    assert len(blobs_of(tmp_path / "bare")) == 4


@pytest.mark.tool("docker-registry")
def test_registry_lists_copied_referrers(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """A registry without the referrers API gets the fallback tag, so that clients find the signature."""
    blobs, manifest = image("amd64")
    kind = f"{OCI}.manifest.v1+json"
    signature = artifact({"signed": "yes"}, "application/vnd.example.signature", blobs, manifest)
    layout = write_layout(tmp_path / "signed", blobs, [(manifest, kind, ""), (signature, kind, "")])

    ck.Image.copy(f"oci:{layout}", f"{registry.authority}/signed:1", referrers=True, engine=engine)

    with RegistryClient() as client:
        found = client.referrers(f"{registry.authority}/signed:1")
    assert [one.digest for one in found] == [Digest.of(signature)]


@pytest.mark.root
def test_image_of_the_store_to_a_docker_archive_and_back(tmp_path: Path, engine: Engine) -> None:
    """A docker archive gives the image again with its name and digest, to `load` and to `copy`."""
    made = ck.Image.from_host("true", tag="team/true:1", engine=engine)

    copied = ck.Image.copy(made, f"docker-archive:{tmp_path}/true.tar:team/true:1", engine=engine)
    (loaded,) = ck.Image.load(tmp_path / "true.tar", engine=engine)
    back = ck.Image.copy(f"docker-archive:{tmp_path}/true.tar", f"oci:{tmp_path}/back", engine=engine)

    assert copied.digest == loaded.digest == back.digest == made.digest
    assert list(loaded.names) == ["team/true:1"]


def test_layout_takes_several_images(tmp_path: Path, engine: Engine) -> None:
    """A layout directory gains images under their tags; a tag moves to the newer image."""
    first, second = (
        write_layout(tmp_path / text, blobs, [(manifest, f"{OCI}.manifest.v1+json", "")])
        for text in ("first", "second")
        for blobs, manifest in [image("amd64", text=text)]
    )
    for source, tag in ((first, "a"), (second, "b"), (second, "a")):
        ck.Image.copy(f"oci:{source}", f"oci:{tmp_path}/both:{tag}", engine=engine)

    index = json.loads((tmp_path / "both" / "index.json").read_bytes())
    names = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
    assert sorted(names) == ["a", "b"]
    assert len({one["digest"] for one in index["manifests"]}) == 1
    with pytest.raises(ck.NotFound, match="a, b"):
        ck.Image.copy(f"oci:{tmp_path}/both:c", "store:c", engine=engine)


@pytest.mark.parametrize(
    ("text", "transport", "path", "name"),
    [
        ("alpine:3", "docker", "", "alpine:3"),
        ("docker://localhost:5000/a/b", "docker", "", "localhost:5000/a/b"),
        ("docker:27", "docker", "", "docker:27"),
        ("oci:some/dir", "oci", "some/dir", ""),
        ("oci:some/dir:1.0", "oci", "some/dir", "1.0"),
        ("docker-archive:x.tar:host:5000/a:b", "docker-archive", "x.tar", "host:5000/a:b"),
        ("store:", "store", "", ""),
        ("store:app:1", "store", "", "app:1"),
    ],
)
def test_names_of_places(text: str, transport: str, path: str, name: str) -> None:
    """Places are read as skopeo reads them; what has no transport is in a registry."""
    found = PlaceName.parse(text)

    assert (found.transport, found.path, found.name) == (transport, path, name)
    assert PlaceName.parse(str(found)) == found


@pytest.mark.parametrize("text", ["dir:x", "oci:", "docker://", "", "containers-storage:x"])
def test_unknown_places_are_refused(text: str) -> None:
    """What is no place, or one of another program, is told so, with the places that there are."""
    with pytest.raises(ck.InvalidInput, match="docker://"):
        PlaceName.parse(text)


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("kind", PLACES)
def test_signatures_by_tag_come_along(
    kind: str, tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """A signature that is found by cosign's tag alone is under this tag again, whatever it passed through."""
    blobs, manifest = image("amd64")
    signature = artifact({"signed": "yes"}, "application/vnd.dev.cosign.simplesigning.v1+json", blobs)
    kinds, tag = f"{OCI}.manifest.v1+json", f"sha256-{Digest.of(manifest).hex}.sig"
    layout = write_layout(tmp_path / "signed", blobs, [(manifest, kinds, "v1"), (signature, kinds, tag)])
    target = place(kind, tmp_path, registry, "by-tag")

    ck.Image.copy(f"oci:{layout}:v1", target, referrers=True, engine=engine)
    end = place("registry", tmp_path, registry, "by-tag-end")
    ck.Image.copy(target, end, referrers=True, engine=engine)

    with RegistryClient() as client:
        found = client.manifest(f"{end.removeprefix('docker://').removesuffix(':v1')}:{tag}")
    assert found.digest == Digest.of(signature)


@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("middle", ["oci", "oci-archive", "store"])
def test_signature_is_verified_at_the_target(
    middle: str, tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """What was signed in one repository verifies, by its name there, in another one that it was copied to."""
    blobs, manifest = image("amd64")
    kind = f"{OCI}.manifest.v1+json"
    layout = write_layout(tmp_path / "plain", blobs, [(manifest, kind, "")])
    first, second = (f"{registry.authority}/verified/{middle}-{one}:1" for one in ("first", "second"))
    between = f"{middle}:{tmp_path}/between" if middle != "store" else "store:between:1"
    key = ck.SigningKey.generate()
    ck.Image.copy(f"oci:{layout}", first, engine=engine)
    ck.sign(first, key=key)

    ck.Image.copy(first, between, referrers=True, engine=engine)
    ck.Image.copy(between, second, referrers=True, engine=engine)

    found = ck.verify(second, key=key.public, identity=Identity("exactReference", first))
    assert found.digest == Digest.of(manifest)


@pytest.mark.tool("docker-registry")
def test_store_without_a_name(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """``store:`` alone keeps the name of a registry, and makes none of a layout's tag."""
    _, layout = multi_platform_layout(tmp_path / "original")
    name = f"{registry.authority}/named/app:1"
    ck.Image.copy(f"oci:{layout}:v1", name, engine=engine)

    copied = ck.Image.copy(f"oci:{layout}:v1", "store:", engine=engine)
    unnamed = [list(one.names) for one in ck.Image.list(engine=engine)]
    ck.Image.copy(name, "store:", engine=engine)

    assert unnamed == [[]]
    assert ck.Image.get(name, engine=engine).digest == copied.digest
