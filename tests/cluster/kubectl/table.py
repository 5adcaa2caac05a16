"""The table of kubectl's commands in the documentation, made of what the sessions asked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.cluster.kubectl.program import ASKED, VERSIONS, program_of

__all__ = ["PAGE", "commands_of", "rows_of_page", "rows_tried"]

PAGE = Path(__file__).parents[3] / "docs/reference/kubectl.md"
_GROUPS = (
    "apply",
    "auth",
    "certificate",
    "cluster-info",
    "config",
    "create",
    "create secret",
    "create service",
    "plugin",
    "rollout",
    "set",
    "top",
)
# These do nothing without one of their parts.
_ONLY_GROUPS = {
    "auth",
    "certificate",
    "config",
    "create secret",
    "create service",
    "plugin",
    "rollout",
    "set",
    "top",
}


@cache
def commands_of(program: str) -> set[str]:
    """All commands that this kubectl offers, such as ``create secret tls``."""
    found = {word for word in _offered(program, "") if word not in _ONLY_GROUPS}
    for group in _GROUPS:
        found |= {f"{group} {word}" for word in _offered(program, group)}
    return found - _ONLY_GROUPS


def rows_tried() -> list[str]:
    """The table's rows, one for each command that any version was asked, with its options."""
    rows = []
    for command in sorted(_all_known()):
        uses = {version: [one for one in ASKED[version] if _command(one) == command] for version in VERSIONS}
        ticks = " | ".join("✓" if uses[version] else "-" for version in VERSIONS)
        options = sorted({option for words in uses.values() for one in words for option in _options(one)})
        if any(uses.values()):
            shown = " ".join(f"`{one}`" for one in options)
            rows.append(f"| `{command}` | {ticks} | {shown} |")
    return rows


def rows_of_page() -> list[str]:
    """The table as the page has it."""
    return [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]


@cache
def _all_known() -> frozenset[str]:
    programs = filter(None, map(program_of, VERSIONS))
    return frozenset(command for program in programs for command in commands_of(program))


def _offered(program: str, group: str) -> Iterable[str]:
    command = [program, "__complete", *group.split(), ""]
    lines = subprocess.run(command, capture_output=True, text=True, env={"HOME": "/nonexistent"}).stdout
    return [line.split("\t")[0] for line in lines.splitlines() if not line.startswith(":")]


@cache
def _tops() -> frozenset[str]:
    return frozenset(command.split()[0] for command in _all_known())


def _plain(words: tuple[str, ...]) -> list[str]:
    """Without options, from the first word on that is a command."""
    plain = [word for word in words[: words.index("--") if "--" in words else None] if word[:1] != "-"]
    return next((plain[start:] for start, word in enumerate(plain) if word in _tops()), [])


def _prefixes(plain: list[str]) -> list[str]:
    return [" ".join(plain[:length]) for length in (3, 2, 1) if len(plain) >= length]


@cache
def _command(words: tuple[str, ...]) -> str:
    return next((one for one in _prefixes(_plain(words)) if one in _all_known()), "")


def _options(words: tuple[str, ...]) -> set[str]:
    """Names of the options; of long ones without their values."""
    own = words[: words.index("--") if "--" in words else None]
    named = {word.split("=")[0] for word in own if word.startswith("--")}
    short = {word[:2] for word in own if len(word) > 1 and word[0] == "-" and word[1].isalpha()}
    return named | short
