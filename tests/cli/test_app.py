"""The frame of the command line: laziness, help, exit codes, completion scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import click
import pytest

from container_kit.cli.app import TOP_COMMANDS, cli, container_group, image_group, system_group
from container_kit.cli.lazy import LazyGroup
from container_kit.cli.runtime import runtime

GROUPS = {
    "": cli,
    "container": container_group,
    "image": image_group,
    "system": system_group,
    "runtime": runtime,
}


def ckit(*words: str, root: str = "/nonexistent", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    start = "import sys; sys.argv[0] = 'ckit'; from container_kit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", start, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "CONTAINER_KIT_ROOT": root, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("name", GROUPS)
def test_every_row_of_the_tables_is_a_command(name: str) -> None:
    """Each command of each group loads, has a help text, and shows it."""
    group = GROUPS[name]
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    for row in group.list_commands(context):
        command = group.get_command(context, row)
        assert command is not None and command.help, row
        assert command.get_help(click.Context(command, info_name=row)), row


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["compose", "up"], "it is not there yet"),
        (["buildx", "build", "."], "use `build`"),
        (["run", "-it", "--link", "db", "tools"], "find each other by name"),
        (["create", "--gpus", "all", "tools"], "--device"),
    ],
)
def test_words_of_docker_that_are_not_there_yet_say_so(words: list[str], reason: str) -> None:
    """A habit of docker that does not work here is answered with the reason, not with a guess."""
    done = ckit(*words)
    assert done.returncode == 125
    assert "No such" in done.stderr and reason in done.stderr and "Did you mean" not in done.stderr


def test_help_imports_no_command() -> None:
    """Help and completion of command names come from the table alone."""
    code = (
        "import sys; from click.testing import CliRunner; from container_kit.cli.app import cli;"
        "CliRunner().invoke(cli, ['--help']);"
        "wanted = ('sqlite3', 'rich', 'asyncio');"
        "print([m for m in sys.modules if m.startswith('container_kit.cli.') or m in wanted])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "sqlite3" not in loaded and "rich" not in loaded and "asyncio" not in loaded
    assert {row[0].partition(":")[0] for row in TOP_COMMANDS.values()} & set(_modules(loaded)) <= {"app"}


def _modules(loaded: str) -> list[str]:
    names: list[str] = eval(loaded)  # our own output of a list of names
    return [name.removeprefix("container_kit.cli.") for name in names]


@pytest.mark.parametrize("words", [["run", "--nonsense"], ["run"], ["nonsense"], ["ps", "--last", "x"]])
def test_wrong_command_lines_exit_with_125(words: list[str]) -> None:
    """A command line that makes no sense exits with docker's 125 and says why on standard error."""
    result = ckit(*words)

    assert result.returncode == 125
    assert result.stderr and not result.stdout


@pytest.mark.parametrize("words", [[], ["image"]])
def test_a_group_alone_shows_its_commands(words: list[str]) -> None:
    """Asked for nothing, the program and its groups show what they can do, and that is no error."""
    result = ckit(*words)

    assert result.returncode == 0 and "Commands:" in result.stdout and not result.stderr


def test_runtime_usage_errors_exit_with_1() -> None:
    """Engines expect 1 from a runtime that was called wrongly."""
    assert ckit("runtime", "create").returncode == 1


def test_version_is_printed() -> None:
    """--version and the version command tell the same version."""
    version = import_module("container_kit").__version__
    assert ckit("--version").stdout.strip().endswith(version)
    assert ckit("version", "--format", "{{.Version}}").stdout.strip() == version


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    """The script calls back the very program that printed it."""
    script = ckit("completion", shell).stdout
    assert "_CKIT_COMPLETE" in script and "ckit" in script


def complete(*words: str, root: str) -> list[str]:
    """What bash is offered for the last word."""
    line = " ".join(("ckit", *words))
    found = ckit(root=root, _CKIT_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    return [row.partition(",")[2] for row in found.stdout.splitlines() if "," in row]


def test_completion_offers_commands_and_flags(tmp_path: os.PathLike[str]) -> None:
    """Command names, flags and fixed values complete."""
    root = os.fspath(tmp_path)
    assert complete("unp", root=root) == ["unpause"]
    assert "--interactive" in complete("run", "--inter", root=root)
    assert "sandbox" in complete("run", "--profile", "s", root=root)
    assert "SIGTERM" in complete("kill", "-s", "TER", root=root)


def test_completion_is_silent_when_it_cannot_look(tmp_path: os.PathLike[str]) -> None:
    """A completer that fails offers nothing and prints nothing."""
    blocked = os.path.join(tmp_path, "file")
    with open(blocked, "w", encoding="ascii"):
        assert complete("stop", "", root=os.path.join(blocked, "root")) == []
