"""The closure of host programs: what is collected is enough to run them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput, NotFound
from container_kit.images.closure import Closure, find_program
from container_kit.images.contents import HostFile, Link
from container_kit.images.tarwriter import write_contents


def unpack(closure: Closure, root: Path) -> Path:
    """The collected files as a directory, made by GNU tar: a reader that is not ours."""
    archive = root / "layer.tar"
    with archive.open("wb") as file:
        write_contents(closure.contents, file.fileno())
    tree = root / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    return tree


@pytest.mark.root
def test_collected_programs_run_in_a_root_of_their_own(tmp_path: Path) -> None:
    """A shell, a program and a script run with nothing but what was collected for them."""
    script = tmp_path / "greet"
    script.write_text("#!/usr/bin/env -S sh\necho hello from a script\n")
    script.chmod(0o755)
    closure = Closure()
    for program in ("sh", "cat", str(script)):
        closure.add_program(program)
    tree = unpack(closure, tmp_path)

    command = [shutil.which("chroot") or "/usr/sbin/chroot", tree, "/usr/bin/sh", "-c", "greet | cat"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert output.stdout == "hello from a script\n"


def test_same_programs_same_nodes() -> None:
    """The order in which programs are asked for does not change what is collected."""
    one, two = Closure(), Closure()
    for program in ("sh", "cat", "sleep"):
        one.add_program(program)
    for program in ("sleep", "sh", "cat"):
        two.add_program(program)
    assert one.contents.nodes == two.contents.nodes


def test_a_program_away_from_path_gets_a_link(tmp_path: Path) -> None:
    """A program outside of the image's PATH can still be started by its bare name."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    closure = Closure()
    closure.add_program(str(tool))

    assert closure.contents.nodes["/usr/local/bin/tool"] == Link(str(tool))
    assert isinstance(closure.contents.nodes[str(tool)], HostFile)


def test_files_bring_the_libraries_of_programs_among_them(tmp_path: Path) -> None:
    """A directory with a program in it comes with what the program needs."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/tool").write_bytes(Path("/bin/cat").read_bytes())
    closure = Closure()
    closure.add_file(f"{tmp_path}/app", "/app")

    assert any(os.path.basename(path).startswith("libc.") for path in closure.contents.nodes)


def test_interpreters_without_end_are_refused(tmp_path: Path) -> None:
    """A script that is its own interpreter's interpreter's ... is refused, not followed for ever."""
    for number in range(9):
        script = tmp_path / str(number)
        script.write_text(f"#!{tmp_path}/{number + 1}\n")
        script.chmod(0o755)
    with pytest.raises(InvalidInput, match="too many interpreters"):
        Closure().add_program(f"{tmp_path}/0")


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "/no/such/program", "/etc/passwd"])
def test_missing_programs_are_named(name: str) -> None:
    """A program that is not there, or cannot be executed, is an error that names it."""
    with pytest.raises(NotFound, match=name):
        find_program(name)


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    """An empty name, or one with a NUL, never reaches the file system."""
    with pytest.raises(InvalidInput):
        find_program(name)
