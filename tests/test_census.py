"""The census itself: it sees what leaks, and it is quiet when nothing does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

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


def test_keys_are_leaks() -> None:
    """Keys in a session that lives on are counted, and gone with it."""
    before = Census.take()
    keyctl, join, add_key, session = 250, 1, 248, -3  # of x86_64
    script = (
        "import ctypes; call = ctypes.CDLL(None).syscall\n"
        f"call({keyctl}, {join}, b'census')\n"
        f"for n in range(9): call({add_key}, b'user', b'key%d' % n, b'x', 1, {session})\n"
        "print(flush=True); input()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"\n"
        leaks = leaks_since(before, grace_s=0)
        child.communicate(b"\n")
    assert any("more keys of this user" in leak for leak in leaks)


def test_a_helper_that_nobody_collects_is_a_leak() -> None:
    """A helper of ours that has ended and stays in the table of processes is named, too."""
    before = Census.take()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    leaks = leaks_since(before, grace_s=0)
    os.waitpid(child, 0)
    assert any(leak.startswith(f"process {child} ") and "state Z" in leak for leak in leaks)


@pytest.mark.root
@pytest.mark.tool("nft")
def test_a_table_of_the_packet_filter_is_a_leak() -> None:
    """Its family and name are found, in the network namespace of whoever asks."""
    script = "from tests.netfilter import netfilter_tables; print(*netfilter_tables(), sep=';')"
    command = f'nft add table inet ck-census && exec {sys.executable} -c "{script}"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", command], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 ck-census\n"
