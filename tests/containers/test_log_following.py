"""The log of a running container: rotation, and readers who follow it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from container_kit.containers.logs import read_logs
from container_kit.containers.monitor_config import LogOptions
from container_kit.errors import LimitExceeded
from tests.containers.conftest import Supervise

SMALL = LogOptions(max_size=64 * 1024, max_files=3)


def counting(count: int) -> tuple[str, ...]:
    """A program that waits for a line and then counts."""
    return ("sh", "-c", f"read go; seq {count}")


def begin(handle: object) -> None:
    with handle.client.attach(stdin=True, stdout=False, stderr=False) as attached:  # type: ignore[attr-defined]
        attached.write(b"go\n")
        attached.read()


def test_rotation_is_exact(supervise: Supervise) -> None:
    """No file is larger than allowed, no more are kept, and what is kept is the end without a gap."""
    handle = supervise(*counting(20000), stdin_open=True, log=SMALL)
    begin(handle)
    handle.client.wait()
    directory = Path(handle.client.directory)

    files = sorted(directory.glob("log*"))
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= SMALL.max_size and min(sizes[1:]) > SMALL.max_size - 100
    numbers = [int(line.text) for line in read_logs(str(directory))]
    assert numbers == list(range(numbers[0], 20001))


def test_one_file_is_enough(supervise: Supervise) -> None:
    """With max_files=1 the log begins anew when it is full."""
    handle = supervise(*counting(5000), stdin_open=True, log=LogOptions(max_size=64 * 1024, max_files=1))
    begin(handle)
    handle.client.wait()

    numbers = [int(line.text) for line in read_logs(handle.client.directory)]
    assert numbers == list(range(numbers[0], 5001)) and numbers[0] > 1
    assert not (Path(handle.client.directory) / "log.1").exists()


def test_followers_lose_no_line(supervise: Supervise) -> None:
    """Not even one that reads nothing before all but the last files have been deleted."""
    handle = supervise("sh", "-c", "echo 0; read go; seq 40000", stdin_open=True, log=SMALL)
    followers = [read_logs(handle.client.directory, follow=True) for _ in range(3)]
    results = [[int(next(follower).text)] for follower in followers]

    def follow(index: int) -> None:
        results[index] += [int(line.text) for line in followers[index]]

    threads = [threading.Thread(target=follow, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    begin(handle)
    handle.client.wait()
    follow(2)
    for thread in threads:
        thread.join()

    assert all(result == list(range(40001)) for result in results)


def test_following_ends_with_the_container(supervise: Supervise) -> None:
    """With the last line, complete or not."""
    handle = supervise("sh", "-c", "echo one; sleep 0.05; printf two")

    assert [(line.text, line.complete) for line in read_logs(handle.client.directory, follow=True)] == [
        ("one", True),
        ("two", False),
    ]


def test_following_sees_lines_as_they_come(supervise: Supervise) -> None:
    """The first line arrives while the program waits for an answer to it."""
    handle = supervise("sh", "-c", "echo question; read answer; echo got $answer", stdin_open=True)
    lines = read_logs(handle.client.directory, follow=True)
    assert next(lines).text == "question"
    with handle.client.attach(stdin=True) as attached:
        attached.write(b"it\n")
        assert next(lines).text == "got it"
    assert list(lines) == []


def test_reading_does_not_wait_when_not_following(supervise: Supervise) -> None:
    """The log of a running container, as far as it is."""
    handle = supervise("sh", "-c", "echo one; sleep 60")
    next(read_logs(handle.client.directory, follow=True))

    assert [line.text for line in read_logs(handle.client.directory)] == ["one"]


def test_tail_and_follow_together(supervise: Supervise) -> None:
    """The last lines there are, then the new ones."""
    handle = supervise("sh", "-c", "seq 5; read go; seq 6 8", stdin_open=True)
    everything = read_logs(handle.client.directory, follow=True)
    assert [next(everything).text for _ in range(5)][-1] == "5"
    lines = read_logs(handle.client.directory, follow=True, tail=2)
    assert next(lines).text == "4"
    begin(handle)

    assert [line.text for line in lines] == ["5", "6", "7", "8"]


def test_the_log_goes_on_at_the_next_start(supervise: Supervise) -> None:
    """As with docker, a restarted container adds to its log."""
    for word in ("first", "second"):
        supervise("echo", word).client.wait()
    handle = supervise("echo", "third")
    handle.client.wait()

    assert [line.text for line in read_logs(handle.client.directory)] == ["first", "second", "third"]


def test_a_log_can_be_off(supervise: Supervise) -> None:
    """Attached callers still get the output."""
    handle = supervise("sh", "-c", "read go; echo out", stdin_open=True, log=LogOptions(enabled=False))
    with handle.client.attach(stdin=True) as attached:
        assert list(read_logs(handle.client.directory)) == []
        attached.write(b"\n")
        assert list(attached) == [("stdout", b"out\n")]

    assert not os.path.exists(os.path.join(handle.client.directory, "log"))


def test_a_line_of_any_length_is_one_line(supervise: Supervise) -> None:
    """A hundred thousand bytes are kept in pieces and read as one."""
    handle = supervise("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short")
    handle.client.wait()

    assert [len(line.data) for line in read_logs(handle.client.directory)] == [100000, 5]


def test_a_log_that_is_a_link_is_not_followed(supervise: Supervise, tmp_path: Path) -> None:
    """Nothing outside the container's directory is written, and the program runs all the same."""
    (tmp_path / "c1").mkdir()
    (tmp_path / "target").write_text("mine\n")
    (tmp_path / "c1" / "log").symlink_to(tmp_path / "target")
    handle = supervise("sh", "-c", "seq 10000; exit 6")

    assert handle.client.wait().exit_code == 6
    assert (tmp_path / "target").read_text() == "mine\n"


@pytest.mark.trial
def test_a_reader_that_is_far_too_slow_is_told(supervise: Supervise) -> None:
    """When hundreds of files wait for it, it gets an error, never a silent gap."""
    handle = supervise("sh", "-c", "echo 0; read go; seq 3000000; sleep 60", stdin_open=True, log=SMALL)
    lines = read_logs(handle.client.directory, follow=True)
    assert next(lines).text == "0"
    starter = handle.client.attach(stdin=True, stdout=False, stderr=False)
    starter.write(b"go\n")
    while int(next(read_logs(handle.client.directory, tail=1)).text or 0) < 3000000:
        pass

    with pytest.raises(LimitExceeded, match="too slowly"):
        list(lines)
    starter.close()
