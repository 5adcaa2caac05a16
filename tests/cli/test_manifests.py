"""image copy and manifest from the outside, with docker's and skopeo's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_registries import Ckit
from tests.images.copies.layouts import image, multi_platform_layout
from tests.registry.docker_registry import docker_registry

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry")]


@pytest.fixture(scope="module")
def ckit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckit]:
    folder = tmp_path_factory.mktemp("manifests")
    with docker_registry(folder / "registry") as running:
        yield Ckit(folder, running)


@pytest.fixture(scope="module")
def layout(ckit: Ckit) -> Path:
    return multi_platform_layout(ckit.folder / "layout")[1]


def test_copy_prints_the_digest(ckit: Ckit, layout: Path) -> None:
    """image copy ends with the digest, writes it to a file, and with --quiet prints nothing else."""
    name = f"docker://{ckit.registry.authority}/cli/app:1"
    file = ckit.folder / "digest"
    index = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]

    said = ckit.ok("image", "copy", "--all", "--digestfile", str(file), f"oci:{layout}:v1", name)
    again = ckit.ok("image", "copy", "-a", "-q", name, f"oci-archive:{ckit.folder}/app.tar")
    one = ckit.ok("image", "copy", "-q", "--platform=linux/arm64", name, "store:app:arm")

    assert said.endswith(f"Digest: {index}\n") and file.read_text() == index
    assert again == f"{index}\n"
    assert ckit.ok("image", "ls", "--digests", "--format", "{{.Repository}} {{.Digest}}") == f"app {one}"


def test_copy_refuses_what_cannot_be(ckit: Ckit, layout: Path) -> None:
    """A contradiction on the command line is a usage error, an unknown place an error with a remedy."""
    both = ckit("image", "copy", "--all", "--platform=linux/arm64", f"oci:{layout}", "store:x")
    place = ckit("image", "copy", f"oci:{layout}", "dir:x")

    assert both.returncode == 125 and "exclude" in both.stderr
    assert place.returncode == 1 and "oci-archive:" in place.stderr


def test_manifest_commands(ckit: Ckit, layout: Path) -> None:
    """create, annotate, inspect, push and rm do what docker's do."""
    parts = {arch: f"{ckit.registry.authority}/cli/part-{arch}:1" for arch in ("amd64", "arm64")}
    for architecture, part in parts.items():
        ckit.ok("image", "copy", "-q", f"--platform=linux/{architecture}", f"oci:{layout}", part)
    name = f"{ckit.registry.authority}/cli/list:1"

    created = ckit.ok("manifest", "create", name, *parts.values())
    twice = ckit("manifest", "create", name, *parts.values())
    ckit.ok("manifest", "annotate", "--variant", "v8", name, parts["arm64"])
    shown = json.loads(ckit.ok("manifest", "inspect", name))
    one = json.loads(ckit.ok("manifest", "inspect", name, parts["arm64"]))
    pushed = ckit.ok("manifest", "push", "--purge", name)
    remote = json.loads(ckit.ok("manifest", "inspect", name))
    verbose = json.loads(ckit.ok("manifest", "inspect", "-v", name))
    gone = ckit("manifest", "rm", name)

    assert created == f"Created manifest list {name}\n"
    assert twice.returncode == 1 and "in use" in twice.stderr
    assert shown == remote
    assert [entry["platform"].get("variant") for entry in shown["manifests"]] == [None, "v8"]
    assert one["OCIManifest"] == json.loads(image("arm64")[1])
    assert pushed.startswith("sha256:")
    assert [entry["Descriptor"]["platform"]["architecture"] for entry in verbose] == ["amd64", "arm64"]
    assert verbose[0]["OCIManifest"] == json.loads(image("amd64")[1])
    assert gone.returncode == 1


def test_list_that_fails_is_not_left(ckit: Ckit) -> None:
    """When an image of a new list is not there, there is no list."""
    name = f"{ckit.registry.authority}/cli/half:1"

    failed = ckit("manifest", "create", name, f"{ckit.registry.authority}/cli/nothing:1")

    assert failed.returncode == 1 and "nothing" in failed.stderr
    assert ckit("manifest", "rm", name).returncode == 1
