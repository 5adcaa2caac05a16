"""Drivers: what ``local`` takes and refuses, and others that are found by their entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError, InvalidInput, NotFound, UnsupportedFeature
from container_kit.volumes import Volume, VolumeRecord, Volumes, VolumeSource
from container_kit.volumes.drivers import driver_named
from container_kit.volumes.sizes import size_bytes
from tests.volumes.conftest import Rooted, User

CALLS: list[str] = []


class Remembering:
    """A driver that keeps content in a directory, and says what it was asked."""

    def validate(self, options: Mapping[str, str]) -> None:
        if set(options) - {"where"}:
            raise InvalidInput("only where is known")

    def create(self, volume: VolumeRecord, directory: str) -> None:
        Path(directory, "content").mkdir()
        CALLS.append(f"create {volume.name} {dict(volume.options)}")

    def source(self, volume: VolumeRecord, directory: str) -> VolumeSource:
        return VolumeSource(path=f"{directory}/content")

    def release(self, volume: VolumeRecord, directory: str) -> None:
        CALLS.append(f"release {volume.name}")

    def remove(self, volume: VolumeRecord, directory: str) -> None:
        assert Path(directory, "content").is_dir()
        CALLS.append(f"remove {volume.name}")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The driver as a plugin that pip has installed; the list gets what it is asked."""
    package = tmp_path / "site" / "remembering-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: remembering\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        f"[container_kit.volume_drivers]\nremembering = {__name__}:Remembering\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    driver_named.cache_clear()
    CALLS.clear()
    yield CALLS
    driver_named.cache_clear()


def test_a_plugin_keeps_the_content(
    rooted: Rooted, volumes: Volumes, user: User, installed: list[str]
) -> None:
    """It makes and removes the content, says where it is, and hears when the last user has gone."""
    volume = Volume.create("far", driver="remembering", options={"where": "north"}, engine=rooted)
    Path(volume.path, "file").write_text("content")
    one, two = user("1"), user("2")
    volumes.hold("far", one)
    volumes.hold("far", two)
    volumes.release("far", one)
    assert installed == ["create far {'where': 'north'}"]
    volumes.release("far", two)
    volume.remove()

    assert installed[1:] == ["release far", "release far", "remove far"]
    with pytest.raises(InvalidInput, match="only where"):
        Volume.create("bad", driver="remembering", options={"size": "1m"}, engine=rooted)


def test_a_driver_that_is_not_installed_is_told(rooted: Rooted, installed: list[str]) -> None:
    """With those that are; nothing is made."""
    with pytest.raises(NotFound, match="installed are: local, remembering"):
        Volume.create("x", driver="missing", engine=rooted)
    assert Volume.list(engine=rooted) == []


@pytest.mark.parametrize(
    "options",
    [
        {"colour": "red"},
        {"type": "nfs"},
        {"type": "none", "device": "/srv"},
        {"device": "relative", "o": "bind"},
        {"o": "noexec"},
        {"size": "large"},
        {"size": "64m", "type": "tmpfs"},
        {"size": "1k"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(rooted: Rooted, options: dict[str, str]) -> None:
    """Before anything is made, by name."""
    with pytest.raises((InvalidInput, UnsupportedFeature)):
        Volume.create("x", options=options, engine=rooted)
    assert Volume.list(engine=rooted) == []


def test_a_directory_of_the_host_can_be_a_volume(rooted: Rooted, tmp_path: Path) -> None:
    """Its content is that directory, which removing the volume leaves alone."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/file").write_text("of the host")
    device = str(tmp_path / "srv")
    volume = Volume.create("srv", options={"o": "bind", "device": device, "type": "none"}, engine=rooted)

    assert volume.path == device
    volume.remove()
    assert (tmp_path / "srv/file").read_text() == "of the host"
    gone = Volume.create("gone", options={"o": "rbind", "device": device + "/no"}, engine=rooted)
    with pytest.raises(ContainerKitError, match="make it first"):
        _ = gone.path


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 << 20), ("1.5G", 3 << 29), (4096, 4096), ("2kB", 2048), ("1MiB", 1 << 20)]
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    """With docker's units, which are powers of 1024."""
    assert size_bytes(text) == size


def test_what_a_size_lacks_is_told(rooted: Rooted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program that makes file systems the error names it, and what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnsupportedFeature, match="e2fsprogs" if os.geteuid() == 0 else "root"):
        Volume.create("small", size="4m", engine=rooted)
    assert Volume.list(engine=rooted) == []
