"""S24: what must not stand in our code, and what every descriptor has that we open; with controls."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "container_kit"

FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "imp", "pty", "popen2", "commands"}
FORBIDDEN_CALLS = {"os.system", "os.popen", "eval", "exec", "compile", "yaml.load", "tempfile.mktemp"}
FORBIDDEN_METHODS = {"extract", "extractall"}  # of tarfile and zipfile: their names decide where they write


def offences(source: str) -> Iterator[str]:
    """What in a Python file goes through a shell, runs data as code, or extracts by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            yield from (f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    if called in FORBIDDEN_CALLS:
        yield f"{called}()"
    if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
        yield f".{node.func.attr}()"
    if called.partition(".")[0] in ("subprocess", "Popen", "asyncio"):
        shell = [keyword.value for keyword in node.keywords if keyword.arg == "shell"]
        yield from (f"{called}(shell=…)" for value in shell if ast.unparse(value) != "False")


def test_no_file_of_ours_has_what_is_forbidden() -> None:
    """No shell, no pickle, no eval, no extraction by name anywhere in the package."""
    found = {
        str(path.relative_to(PROJECT)): wrong
        for path in PACKAGE.rglob("*.py")
        if (wrong := list(offences(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import subprocess; subprocess.run('x', shell=True)",
        "import os; os.system('x')",
        "eval('1')",
        "import tarfile; tarfile.open('x').extractall('y')",
    ],
)
def test_control_the_gate_sees_each(source: str) -> None:
    """The control: a file with one of them is found."""
    assert list(offences(source)) != []


def test_warnings_of_the_compiler_are_errors() -> None:
    """Both native parts are compiled with all warnings, and none of them is let through."""
    for path in ("_native/build.py", "setup.py"):
        flags = re.findall(r'"(-W[a-z-]+)"', (PROJECT / path).read_text())
        assert {"-Wall", "-Wextra", "-Werror"} <= set(flags), path


# Calls that make a descriptor, and have a flag for it.
MAKERS = (
    "open openat openat2 socket socketpair pipe pipe2 memfd_create eventfd2 inotify_init1 epoll_create1 "
    "accept4 fsopen fsmount open_tree"
)
OPENSSL = "/openssl.cnf"  # opened by that library itself, and closed again, when hashlib loads it
BEGIN = "/where-our-part-begins"  # what Python opens to begin itself is not ours
LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\d+)(?:<.*>)?$")
RUN = (
    "import os, sys\n"
    "from container_kit.containers.engine import Engine\n"
    "with Engine(sys.argv[1]) as engine:\n"
    "    engine.run('tools', ['true'])\n"
    "    with engine.start('tools', ['sleep', '60']) as container:\n"
    "        container.exec(['true'])\n"
    "        container.fs.write_text('/x', 'y')\n"
)


def without_cloexec(log: str) -> list[str]:
    """The calls that made a descriptor which a program executed at that moment would inherit."""
    calls = (LINE.match(line) for line in log.partition(BEGIN)[2].splitlines())
    made = [call for call in calls if call is not None and "CLOEXEC" not in call[2]]
    return [call[0] for call in made if OPENSSL not in call[2]]


def traced(log: Path, program: str, *arguments: str) -> str:
    """What a Python program and all its descendants opened."""
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(MAKERS.split())}"]
    begin = f"import contextlib\nwith contextlib.suppress(OSError): open({BEGIN!r})\n"
    subprocess.run([*strace, sys.executable, "-c", begin + program, *arguments], check=True, timeout=60)
    return log.read_text()


@pytest.mark.root
@pytest.mark.tool("strace")
def test_every_descriptor_is_closed_on_exec(tmp_path: Path) -> None:
    """A run, a start, an exec and a write open nothing that a program of another thread could inherit."""
    with Engine(tmp_path / "root") as engine:
        Image.from_host("true", "sleep", tag="tools", engine=engine)
    log = traced(tmp_path / "log", RUN, str(tmp_path / "root"))

    assert log.count("\n") > 100
    assert without_cloexec(log) == []


@pytest.mark.tool("strace")
def test_control_one_that_is_not_is_seen(tmp_path: Path) -> None:
    """The control: a single open without the flag is found."""
    log = traced(tmp_path / "log", "import ctypes; ctypes.CDLL(None).open(b'/', 0)")

    assert len(without_cloexec(log)) == 1
