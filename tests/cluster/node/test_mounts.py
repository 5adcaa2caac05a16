"""The mounts of containers: which part of which volume, and how."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.node.errors import ConfigMissing
from container_kit.cluster.node.provisioning import mounts_of
from container_kit.containers.mounts import Mount
from tests.cluster.node.test_environment import pod


def mounted(tmp_path: Path, mount: dict[str, Any], volume: dict[str, Any] | None = None) -> Mount:
    """The mount of a container that mounts the volume v so."""
    whole = pod(volumeMounts=[{"name": "v", "mountPath": "/m", **mount}])
    whole["spec"]["volumes"] = [{"name": "v", **(volume or {"emptyDir": {}})}]
    container = whole["spec"]["containers"][0]
    (found,) = mounts_of(whole, container, {"v": str(tmp_path)}, {"NAME": "web"})
    return found


def test_a_volume_is_seen_where_it_is_wanted(tmp_path: Path) -> None:
    """Path, rights and propagation are those of the mount; what the API gives is read-only."""
    plain = mounted(tmp_path, {"mountPropagation": "HostToContainer"})
    assert (plain.target, plain.source, plain.read_only, plain.propagation) == (
        "/m",
        str(tmp_path),
        False,
        "rslave",
    )
    assert mounted(tmp_path, {"readOnly": True}).read_only
    assert mounted(tmp_path, {}, {"configMap": {"name": "c"}}).read_only


def test_a_sub_path_is_made_as_open_as_its_volume(tmp_path: Path) -> None:
    """Missing directories of a sub-path are made, with variables replaced, for whom the volume is."""
    os.chmod(tmp_path, 0o2775)
    found = mounted(tmp_path, {"subPathExpr": "logs/$(NAME)"})
    assert found.subpath == "logs/web"
    for path in ("logs", "logs/web"):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o2775


def test_a_file_can_be_a_sub_path(tmp_path: Path) -> None:
    """What is there is left as it is."""
    (tmp_path / "file").write_text("x")
    assert mounted(tmp_path, {"subPath": "file"}).subpath == "file"
    assert (tmp_path / "file").read_text() == "x"


def test_nothing_is_made_outside_of_the_volume(tmp_path: Path) -> None:
    """A link that a container has left in its volume leads nowhere else (CVE-2017-1002101)."""
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "evil").symlink_to(outside)
    (volume / "up").symlink_to("../outside")
    for path in ("evil/made", "up/made"):
        with contextlib.suppress(ConfigMissing):  # it leads to what is not there, inside
            mounted(volume, {"subPath": path})
    assert os.listdir(outside) == []


@pytest.mark.parametrize("mount", [{"name": "other"}, {"subPath": "a/../../b"}, {"subPath": "/etc"}])
def test_what_cannot_be_mounted_is_told(tmp_path: Path, mount: dict[str, Any]) -> None:
    """A volume that is not there and a path that leads out keep the container from being made."""
    with pytest.raises(ConfigMissing):
        mounted(tmp_path, mount)


def test_the_files_of_an_image_are_read_only(tmp_path: Path) -> None:
    """A volume of an image is mounted by the image's name."""
    found = mounted(tmp_path, {}, {"image": {"reference": "tools:1"}})
    assert (found.type, found.source, found.read_only) == ("image", "tools:1", True)
