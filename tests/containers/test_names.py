"""Names: generated ones are unique by themselves, chosen ones are claimed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.containers import names
from container_kit.errors import InvalidInput, NameInUse


def _claim(names_fd: int, name: str, container_id: str) -> None:
    """As a container with a directory of its own beside that of the names."""
    directory = os.path.join(os.readlink(f"/proc/self/fd/{names_fd}"), "..", container_id)
    os.makedirs(directory, exist_ok=True)
    names.claim(names_fd, name, container_id, directory)


@pytest.fixture
def names_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "names").mkdir()
    fd = os.open(tmp_path / "names", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_generated_name_can_be_a_name_and_ends_in_the_id() -> None:
    """It passes the check for names, and leads back to the id."""
    for _ in range(200):
        container_id = names.new_id()
        name = names.generated_name(container_id)
        assert names.check_name(name) == name
        assert names.id_digits(name) == container_id[:8]


def test_one_of_many_who_claim_a_name_at_once_gets_it(names_fd: int) -> None:
    """32 threads claim one name: exactly one succeeds, and it is the holder."""

    def attempt(container_id: str) -> str | None:
        try:
            _claim(names_fd, "box", container_id)
        except NameInUse:
            return None
        return container_id

    with ThreadPoolExecutor(32) as pool:
        winners = [one for one in pool.map(attempt, [names.new_id() for _ in range(32)]) if one]
    assert winners == [names.holder(names_fd, "box")]
    assert os.listdir(names_fd) == ["box"]


def test_only_the_holder_gives_a_name_back(names_fd: int) -> None:
    """Another container's release changes nothing."""
    mine, other = names.new_id(), names.new_id()
    _claim(names_fd, "box", mine)
    names.release(names_fd, "box", other)
    assert names.holder(names_fd, "box") == mine
    names.release(names_fd, "box", mine)
    assert names.holder(names_fd, "box") is None


@pytest.mark.parametrize("name", ["../x", ".", "..", "", "a" * 256, "a\n", "ä"])
def test_a_name_never_leads_to_another_path(names_fd: int, name: str) -> None:
    """What is no name cannot be chosen, and looking it up finds nothing."""
    with pytest.raises(InvalidInput):
        names.check_name(name)
    assert names.holder(names_fd, name) is None


def test_a_name_whose_container_is_gone_can_be_taken(names_fd: int) -> None:
    """A removal that was cut off after the directory had gone keeps no name."""
    gone, new = names.new_id(), names.new_id()
    _claim(names_fd, "box", gone)
    os.rename(f"../{gone}", f"../.gone-{gone}", src_dir_fd=names_fd, dst_dir_fd=names_fd)
    _claim(names_fd, "box", new)
    assert names.holder(names_fd, "box") == new
