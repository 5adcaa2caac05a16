"""The journal keeps what happened, whoever writes and whenever it is rotated."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.containers import events
from container_kit.containers.events import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(str(tmp_path))
    yield found
    found.close()


def test_events_come_back_in_order_with_their_attributes(journal: Journal) -> None:
    """What was written is read, oldest first."""
    for number in range(5):
        journal.write("start", f"id{number}", {"name": f'quo"te\n{number}'})
    found = list(journal.read())
    assert [event.id for event in found] == [f"id{number}" for number in range(5)]
    assert found[3].attributes["name"] == 'quo"te\n3'
    assert found == list(journal.read(since=found[0].time.timestamp()))
    assert not list(journal.read(since=found[-1].time.timestamp() + 1))


def test_two_writers_lose_nothing_over_a_rotation(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers that hold the old file notice that it has been put aside; no line is lost or torn."""
    monkeypatch.setattr(events, "ROTATE_BYTES", 30_000)
    other = Journal(str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda who: [who.write("x", "y", {}) for _ in range(200)], (journal, other)))
    other.close()
    assert len(list(journal.read())) == 400
    assert os.path.exists(journal.path + ".1")


def test_following_sees_what_is_written_later(journal: Journal) -> None:
    """A follower gets an event that comes after it began."""
    journal.write("first", "a", {})
    stream = journal.read(follow=True)
    assert next(stream).action == "first"
    later = threading.Timer(0.05, journal.write, ("second", "b", {}))
    later.start()
    assert next(stream).action == "second"
    later.join()
    stream.close()


def test_a_damaged_line_is_passed_over(journal: Journal) -> None:
    """Half a line, as after a loss of power, hides no other event."""
    journal.write("one", "a", {})
    with open(journal.path, "a") as file:
        file.write('{"time":\n')
    journal.write("two", "a", {})
    assert [event.action for event in journal.read()] == ["one", "two"]
