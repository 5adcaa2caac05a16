"""What mounting leaves behind in a root is found by looking, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container_kit.containers.leftovers import MountPoint, leftover_paths, mount_points

pytestmark = pytest.mark.root


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    """An upper directory and a layer with /run, /etc and a link /var/run to /run."""
    upper, layer = tmp_path / "upper", tmp_path / "layer"
    for path in ("run", "etc", "var"):
        (layer / path).mkdir(parents=True)
    (layer / "var/run").symlink_to("/run")
    upper.mkdir()
    return str(upper), str(layer)


def test_targets_that_the_layers_have_are_no_leftovers(places: tuple[str, str]) -> None:
    """Only what is made to mount on it counts, wherever links lead."""
    _, layer = places
    points = mount_points([layer], ["/run", "/etc", "/run/a/b", "/var/run/c"])

    assert points == (MountPoint(("run",), ("a", "b")), MountPoint(("run",), ("c",)))


def test_new_parents_go_with_their_mount_points(places: tuple[str, str]) -> None:
    """Directories that were made for mount points only are left out; the layer's own if unchanged."""
    upper, layer = places
    os.makedirs(f"{upper}/run/a/b")
    os.makedirs(f"{upper}/run/c")

    found = leftover_paths(upper, [layer], mount_points([layer], ["/run/a/b", "/run/c"]))
    assert found == ("run", "run/a", "run/a/b", "run/c")


def test_what_a_command_made_beside_stays(places: tuple[str, str]) -> None:
    """A parent with something else in it, or with another mode, is a change."""
    upper, layer = places
    os.makedirs(f"{upper}/run/a/b")
    os.makedirs(f"{upper}/etc/x")
    Path(f"{upper}/run/a/kept").touch()
    os.chmod(f"{upper}/etc", 0o700)

    found = leftover_paths(upper, [layer], mount_points([layer], ["/run/a/b", "/etc/x"]))
    assert found == ("etc/x", "run/a/b")


def test_links_in_the_way_are_not_followed(places: tuple[str, str], tmp_path: Path) -> None:
    """A container may have put a link where the mount point was: nothing behind it is looked at."""
    upper, layer = places
    (tmp_path / "outside/b").mkdir(parents=True)
    os.mkdir(f"{upper}/run")
    os.symlink(tmp_path / "outside", f"{upper}/run/a")

    assert leftover_paths(upper, [layer], mount_points([layer], ["/run/a/b"])) == ("run/a/b",)
