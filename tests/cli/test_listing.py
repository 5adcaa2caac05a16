"""The words of ``ps``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from container_kit.cli.copying import split_end
from container_kit.cli.images import split_name
from container_kit.cli.listing import status_words
from container_kit.cli.terminal import KeyDetector, parse_detach_keys
from container_kit.containers import ContainerInfo
from container_kit.errors import InvalidInput

NOW = 1_700_000_000


def info(**fields: Any) -> ContainerInfo:
    moment = datetime.fromtimestamp(NOW - 300, UTC)
    known: dict[str, Any] = {
        "started_at": moment,
        "finished_at": moment,
        "exit_code": 3,
        "created_at": moment,
    }
    return ContainerInfo(
        **{"id": "a" * 64, "name": "n", "image": "i", "image_digest": "", "command": (), **known, **fields}
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "created"}, "Created"),
        ({"status": "running"}, "Up 5 minutes"),
        ({"status": "running", "health": "healthy"}, "Up 5 minutes (healthy)"),
        ({"status": "running", "health": "starting"}, "Up 5 minutes (health: starting)"),
        ({"status": "paused"}, "Up 5 minutes (Paused)"),
        ({"status": "restarting"}, "Restarting (3) 5 minutes ago"),
        ({"status": "exited"}, "Exited (3) 5 minutes ago"),
        ({"status": "dead"}, "Dead"),
    ],
)
def test_states_are_told_in_dockers_words(fields: dict[str, Any], words: str) -> None:
    """Scripts that read docker's STATUS column read ours."""
    assert status_words(info(**fields), NOW) == words


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("web:/etc", ("web", "/etc")),
        ("/a:b", (None, "/a:b")),
        ("./a:b", (None, "./a:b")),
        ("file", (None, "file")),
        ("web:", ("web", "/")),
    ],
)
def test_ends_of_a_copy(text: str, end: tuple[str | None, str]) -> None:
    """NAME:PATH is inside a container; a path that begins with / or . never is."""
    assert split_end(text) == end


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("tools:latest", ("tools", "latest")),
        ("host:5000/a/b:1", ("host:5000/a/b", "1")),
        ("host:5000/a", ("host:5000/a", "<none>")),
        ("a@sha256:00", ("a", "<none>")),
    ],
)
def test_names_of_images_have_a_repository_and_a_tag(name: str, parts: tuple[str, str]) -> None:
    """The port of a registry is not a tag."""
    assert split_name(name) == parts


def test_detach_keys_are_seen_across_reads() -> None:
    """The keys may come one by one, and a wrong one in between begins anew."""
    detector = KeyDetector(parse_detach_keys("ctrl-p,ctrl-q"))
    assert [detector.sees(part) for part in (b"a", b"\x10", b"x", b"\x11", b"ab\x10", b"\x11")] == [
        False, False, False, False, False, True,
    ]  # fmt: skip
    assert not KeyDetector(b"").sees(b"anything")
    with pytest.raises(InvalidInput, match="ctrl"):
        parse_detach_keys("ctrl-")
