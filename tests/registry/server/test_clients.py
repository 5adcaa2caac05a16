"""Other people's clients: skopeo, podman and buildah push to our registry and pull from it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from container_kit.registry.server import Registry
from tests.images.archives import entry, layer, layout_files, write_tar


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def skopeo_json(*arguments: str) -> Any:
    return json.loads(skopeo(*arguments))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image of two layers as an OCI archive."""
    layers = [layer(entry("file", os.urandom(200_000))), layer(entry("etc"), entry("etc/name", b"second"))]
    return write_tar(tmp_path / "image.tar", layout_files(layers, "app:1"))


@pytest.mark.tool("skopeo")
def test_skopeo_pushes_pulls_lists_copies_and_deletes(
    registry: Registry, archive: Path, tmp_path: Path
) -> None:
    """The digest that skopeo pushed is the one it pulls; a copy mounts; what is deleted is gone."""
    here = f"docker://{registry.address}"
    skopeo("copy", "--dest-tls-verify=false", f"oci-archive:{archive}", f"{here}/team/app:1")
    pushed = skopeo_json("inspect", "--tls-verify=false", f"{here}/team/app:1")["Digest"]

    skopeo("copy", "--src-tls-verify=false", f"{here}/team/app@{pushed}", f"dir:{tmp_path}/out")
    assert gzip.decompress(max(tmp_path.glob("out/*"), key=os.path.getsize).read_bytes())
    assert skopeo_json("list-tags", "--tls-verify=false", f"{here}/team/app")["Tags"] == ["1"]

    both = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    skopeo("copy", *both, f"{here}/team/app:1", f"{here}/other:2")
    assert skopeo_json("inspect", "--tls-verify=false", f"{here}/other:2")["Digest"] == pushed

    skopeo("delete", "--tls-verify=false", f"{here}/team/app:1")
    with pytest.raises(AssertionError, match="manifest unknown"):
        skopeo("inspect", "--tls-verify=false", f"{here}/team/app:1")
