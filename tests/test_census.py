"""The census itself: it sees what leaks, and it is quiet when nothing does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tests.census import Census, leaks_since


def test_nothing_leaks_when_nothing_happens() -> None:
    """Two looks at an idle process are equal."""
    assert leaks_since(Census.take(), grace_s=0) == []


def test_a_child_process_is_a_leak() -> None:
    """A process that is still there is named."""
    before = Census.take()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        leaks = leaks_since(before, grace_s=0)
        child.communicate(b"\n")
    assert any(leak.startswith(f"process {child.pid} ") for leak in leaks)


def test_a_file_and_a_listening_socket_are_leaks() -> None:
    """Open descriptors count, also anonymous ones of which there are several."""
    before = Census.take()
    read_end, write_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0)):
        leaks = " ".join(leaks_since(before, grace_s=0))
    os.close(read_end)
    os.close(write_end)
    assert "open file pipe (2 more)" in leaks
    assert "listening socket tcp" in leaks
    assert leaks_since(before) == []
