"""Names, listing, describing and removing of images."""

import datetime
from pathlib import Path

import pytest

from container_kit.errors import Conflict, InvalidInput, NotFound
from container_kit.images import Image
from tests.images.archives import docker_archive, entry, layer, layout_files, write_tar
from tests.images.conftest import Engine
from tests.images.trees import layer_root

BASE = layer(entry("./"), entry("base", b"12345"))


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> Image:
    layers = [BASE, layer(entry("own", b"123"))]
    [image] = Image.load(str(docker_archive(tmp_path / "a.tar", layers, ["app:v1"])), engine=engine)
    return image


@pytest.fixture
def other(engine: Engine, tmp_path: Path, image: Image) -> Image:
    layers = [BASE, layer(entry("other", b"1"))]
    [other] = Image.load(str(docker_archive(tmp_path / "b.tar", layers, ["other"])), engine=engine)
    return other


def test_an_image_is_found_by_everything_that_names_it(engine: Engine, image: Image, other: Image) -> None:
    """Short and full name, name@digest, id, manifest digest, and any unique prefix lead to one image."""
    names = [
        "app:v1", "docker.io/library/app:v1", f"app@{image.digest}", str(image.id),
        image.id.hex, f"sha256:{image.id.hex[:20]}", str(image.digest), image.digest.hex[:16],
    ]  # fmt: skip
    assert {Image.get(name, engine=engine) for name in names} == {image}
    assert Image.get("other", engine=engine) == other


@pytest.mark.parametrize("name", ["app", "app:v2", "nobody/app:v1", "f" * 64, "sha256:" + "0" * 64])
def test_unknown_names_are_not_found(engine: Engine, image: Image, name: str) -> None:
    """A name that nothing has is NotFound, whatever kind of name it is."""
    with pytest.raises(NotFound):
        Image.get(name, engine=engine)


def test_a_prefix_of_several_ids_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A prefix that fits several images is an error that asks for more digits."""
    for number in range(17):  # one more than there are digits, so two ids start alike
        layers = [layer(entry(f"file{number}", b""))]
        Image.load(str(docker_archive(tmp_path / "a.tar", layers, [f"n:{number}"])), engine=engine)
    first = [image.id.hex[0] for image in Image.list(engine=engine)]
    with pytest.raises(InvalidInput, match="more digits"):
        Image.get(max(first, key=first.count), engine=engine)


@pytest.mark.parametrize("name", ["UPPER", "a:b:c", "", "x" * 300, f"app@sha256:{'0' * 64}"])
def test_what_is_no_name_cannot_be_given(image: Image, name: str) -> None:
    """A tag must be a reference, and no digest."""
    with pytest.raises(InvalidInput):
        image.tag(name)
    assert image.names == ["app:v1"]


def test_a_name_moves(engine: Engine, image: Image, other: Image) -> None:
    """A tag given again belongs to the new image; the old one stays, without it."""
    other.tag("app:v1")
    assert Image.get("app:v1", engine=engine) == other
    assert image.names == [] and other.names == ["app:v1", "other:latest"]
    assert set(Image.list(engine=engine)) == {image, other}


def test_a_name_is_told_from_an_id(image: Image) -> None:
    """Short and full tags are names; ids, digests and the names of others are not."""
    assert image.has_name("app:v1") and image.has_name("docker.io/library/app:v1")
    assert not any(
        map(image.has_name, [image.id.hex, str(image.digest), "app", f"app@{image.digest}", "", "A"])
    )


def test_removing_a_name_keeps_the_image_while_it_has_others(engine: Engine, image: Image) -> None:
    """Only with its last name does an image go, and then its contents too."""
    image.tag("app:v2")
    with pytest.raises(Conflict, match="app:v2"):
        image.remove()
    assert image.remove(name="app:v1").untagged == ("app:v1",)
    removed = image.remove(name="app:v2")
    assert removed.deleted == (str(image.id),)
    assert Image.list(engine=engine) == []
    usage = engine.store.df()
    assert usage.trees == usage.blobs == 0


def test_one_id_with_two_manifests_is_one_image_to_people(
    engine: Engine, tmp_path: Path, image: Image
) -> None:
    """The same image, loaded compressed in another way, is found by its name and goes with it."""
    layers = [BASE, layer(entry("own", b"123"))]
    [twin] = Image.load(str(write_tar(tmp_path / "t", layout_files(layers, "latest"))), engine=engine)
    assert twin.id == image.id and twin != image and twin.names == []
    assert Image.get(image.id.hex, engine=engine) == image
    image.remove()
    assert Image.list(engine=engine) == []


def test_shared_layers_survive_the_removal_of_one_owner(engine: Engine, image: Image, other: Image) -> None:
    """A layer that another image needs is not collected."""
    image.remove()
    with layer_root(other) as root:
        assert (root / "base").read_bytes() == b"12345"
    assert not Path(engine.store.layout.tree(image.layers[1])).exists()


def test_an_image_in_use_is_kept(engine: Engine, image: Image) -> None:
    """A container's root keeps its image from removal and pruning; force takes the name only."""
    engine.store.add_root("container:abc", [image.digest], durable=True)
    with pytest.raises(Conflict, match="container:abc"):
        image.remove()
    assert Image.prune(all=True, engine=engine).deleted == ()
    image.remove(force=True)
    assert Image.list(engine=engine) == []
    with layer_root(image) as root:
        assert (root / "base").exists()
    assert Image.get(str(image.digest), engine=engine) == image  # its container can still be started
    with pytest.raises(NotFound):
        Image.get(str(image.id), engine=engine)
    engine.store.remove_root("container:abc")
    engine.store.gc()
    assert engine.store.df().trees == 0


def test_prune_takes_what_has_no_name(engine: Engine, image: Image, other: Image) -> None:
    """Plain prune takes images without a tag; with all, those that no container uses."""
    other.tag("app:v1")
    pruned = Image.prune(engine=engine)
    assert pruned.deleted == (str(image.id),) and pruned.reclaimed_bytes > 0
    assert Image.prune(all=True, engine=engine).deleted == (str(other.id),)
    assert Image.list(engine=engine) == []


def test_inspect_has_the_keys_that_clients_look_for(image: Image) -> None:
    """The shape is docker's: id, tags, config, layers, size."""
    shown = image.inspect()
    assert shown["Id"] == str(image.id) and shown["RepoTags"] == ["app:v1"]
    assert shown["RepoDigests"] == [f"app@{image.digest}"]
    assert shown["RootFS"] == {"Type": "layers", "Layers": [str(layer) for layer in image.layers]}
    assert shown["Config"]["Cmd"] == ["/bin/sh"] and shown["Config"]["Entrypoint"] is None
    assert shown["Size"] == image.size == 8
    assert shown["Created"] == "2024-05-06T07:08:09.123456789Z"
    assert shown["GraphDriver"]["Data"]["UpperDir"] == image.layer_path(image.layers[1])


def test_history_is_newest_first_with_sizes(image: Image) -> None:
    """Each step has its layer's size; the newest has the image's id and names."""
    newest, oldest = image.history()
    assert (newest.created_by, newest.size_bytes, newest.id) == ("step 1", 3, str(image.id))
    assert (oldest.created_by, oldest.size_bytes, oldest.id) == ("step 0", 5, "<missing>")
    assert newest.to_json()["Tags"] == ["app:v1"]
    assert image.created == datetime.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=datetime.UTC)
