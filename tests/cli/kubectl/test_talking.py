"""``container-kit kube`` with real containers: exec, attach, run, logs, cp, port-forward."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.cli.kubectl.conftest import Words
from tests.cluster.kubectl.terminal import Terminal
from tests.cluster.kubectl.test_pods import BOX, SERVED

pytestmark = [pytest.mark.root, pytest.mark.tool("kubectl"), pytest.mark.tool("busybox")]


@pytest.fixture
def box(real_words: Words) -> Words:
    """With a pod of two containers, ready."""
    real_words("apply", "-f", "-", input=BOX)
    real_words("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    return real_words


def test_programs_are_run(box: Words) -> None:
    """exec passes input, output and the exit code on, as kubectl does."""
    done = box.run("exec", "box", "-c", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 3\n"
    text = "line\n" * 10_000
    assert box.run("exec", "-i", "box", "-c", "web", "--", "cat", input=text).stdout == text
    missing = box.run("exec", "box", "-c", "web", "--", "nothing")
    assert missing.returncode == 1 and "Internal error occurred" in missing.stderr


def test_a_terminal_is_passed_on(box: Words) -> None:
    """exec -it gives the program a terminal as large as ours, also when ours changes."""
    with Terminal(box.process("exec", "-it", "box", "-c", "web", "--", "sh"), size=(33, 101)) as terminal:
        terminal.wait_for("# ")
        terminal.type("busybox stty size\r")
        terminal.wait_for("33 101")
        terminal.resize(44, 122)
        size = "$(busybox stty size)"
        terminal.type(f"while [ \"{size}\" != '44 122' ]; do busybox sleep 0.1; done; echo re''sized\r")
        terminal.wait_for("resized")
        terminal.type("exit 5\r")
        terminal.wait_for("command terminated with exit code 5")
        assert terminal.exit_code() == 5


def test_what_runs_is_attached_to(box: Words) -> None:
    """attach gives a line and sees what comes of it; logs have it too, as kubectl has them."""
    attached = subprocess.Popen(
        box.process("attach", "-i", "box", "-c", "main"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert attached.stdin is not None and attached.stdout is not None
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        while "got hello" not in (line := attached.stdout.readline()):
            assert line
    finally:
        attached.kill()
        attached.communicate()
    for line in ("logs box -c main", "logs box --all-containers", "logs box -c web --tail=1", "logs box"):
        box.same(*line.split())


def test_pods_are_run(real_words: Words) -> None:
    """run makes a pod; with --rm -i it talks to it, and it is gone afterwards."""
    options = ("--image=box:1", "--restart=Never")
    done = real_words.run(
        "run", "talk", *options, "--rm", "-i", "--", "sh", "-c", "read a; echo got $a", input="x\n"
    )
    assert "got x\n" in done.stdout and 'pod "talk" deleted' in done.stdout
    assert real_words("run", "alone", *options, "--", "sh", "-c", ":") == "pod/alone created\n"
    real_words("wait", "pod/alone", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")


def test_files_are_copied(box: Words, tmp_path: Path) -> None:
    """cp into a container and out of it."""
    (tmp_path / "file").write_text("content")
    box("cp", str(tmp_path / "file"), "box:/tmp/file", "-c", "web")
    box("cp", "box:/tmp/file", str(tmp_path / "back"), "-c", "web")
    assert (tmp_path / "back").read_text() == "content"


def test_ports_are_forwarded(real_words: Words) -> None:
    """port-forward to a service: its port is that of its pods."""
    real_words("apply", "-f", "-", input=SERVED)
    real_words("rollout", "status", "deploy/served")
    running = subprocess.Popen(
        real_words.process("port-forward", "service/served", ":80"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n", running.stdout.readline())
        assert found
        with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=60) as reply:
            assert reply.read() == b"hello\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.communicate()
