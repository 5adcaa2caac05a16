"""Pull from Debian's docker-registry: whole images, once each, with the digests that others see."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from container_kit.errors import NotFound
from container_kit.images import Image
from container_kit.oci.progress import Progress
from tests.images.archives import entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import DockerRegistry

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry"), pytest.mark.tool("skopeo")]


def publish(registry: DockerRegistry, name: str, layers: list[bytes], folder: Path, *options: str) -> str:
    """Put an image into the registry with skopeo; the reference it has there."""
    write_directory(folder / "layout", layout_files(layers, "localhost/x:1"))
    target = f"{registry.authority}/{name}"
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *options, f"oci:{folder}/layout"]
    subprocess.run([*command, f"docker://{target}"], check=True, capture_output=True)
    return target


def skopeo_digest(reference: str) -> str:
    command = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{reference}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_an_image_is_pulled_whole_and_only_once(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """The second pull asks what the name means now, and fetches nothing."""
    layers = [layer(entry("etc"), entry("etc/name", b"one")), layer(entry("etc/other", b"two" * 50_000))]
    name = publish(registry, "whole/app:1", layers, tmp_path)

    first = Image.pull(name, engine=engine)
    before = len(registry.requests())
    second = Image.pull(name, engine=engine)
    asked = registry.requests()[before:]

    assert str(first.digest) == skopeo_digest(name)
    assert second == first
    assert Image.get(f"{registry.authority}/whole/app@{first.digest}", engine=engine) == first
    assert first.names == [name]
    assert not engine.store.fsck().problems
    assert [one for one in asked if "blobs" in one or "GET /v2/whole" in one] == []


def test_layers_that_are_here_are_not_fetched(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """An image that shares a layer with another one costs only the other layer."""
    shared = layer(entry("usr"), entry("usr/shared", os.urandom(200_000)))
    one = publish(registry, "share/one:1", [shared], tmp_path / "one")
    two = publish(registry, "share/two:1", [shared, layer(entry("new", b"new"))], tmp_path / "two")
    Image.pull(one, engine=engine)
    events: list[Progress] = []

    Image.pull(two, engine=engine, progress=events.append)

    fetched = {event.id for event in events if event.action == "download"}
    assert len(fetched) == 1


def test_a_name_that_is_not_there_says_so(engine: Engine, registry: DockerRegistry) -> None:
    """What, where, and the registry's own words."""
    with pytest.raises(NotFound, match=r"no manifest named '127.0.0.1:\d+/no/such:1'.*unknown"):
        Image.pull(f"{registry.authority}/no/such:1", engine=engine)


def test_policies_decide_whether_a_registry_is_asked(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """ "missing" takes what is here, "never" asks nobody, "always" sees that the tag moved."""
    name = publish(registry, "policy/app:1", [layer(entry("a", b"first"))], tmp_path / "1")
    with pytest.raises(NotFound, match="never"):
        Image.pull(name, policy="never", engine=engine)
    first = Image.pull(name, policy="missing", engine=engine)
    publish(registry, "policy/app:1", [layer(entry("a", b"second"))], tmp_path / "2")
    before = len(registry.requests())

    assert Image.pull(name, policy="missing", engine=engine) == first
    assert Image.pull(name, policy="never", engine=engine) == first
    assert registry.requests()[before:] == []
    assert Image.pull(name, engine=engine) != first
