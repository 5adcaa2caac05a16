"""Reads the examples out of a Markdown file.

A fence ``python`` is run; when the next fence is ``text`` it holds what the block prints.
A fence ``console`` holds commands behind ``$`` with their output below them.  In expected output
``...`` stands for anything.  A fence with a name behind its language, in whichever language, is a file of
that name.  Fences in other languages are only read by people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

_FENCE = re.compile(r"^```(\w+)(?: ([\w.-]+))?[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Example:
    """One thing to run, and what it prints (None: whatever it likes); or a file to write (``file``)."""

    line: int
    language: str
    code: str
    output: str | None
    name: str = ""


def read_examples(page: Path) -> list[Example]:
    """All examples of *page*, in the order in which a reader meets them."""
    text = page.read_text()
    fences = [(text.count("\n", 0, m.start()) + 1, *m.groups()) for m in _FENCE.finditer(text)]
    found: list[Example] = []
    for number, (line, language, name, body) in enumerate(fences):
        if name is not None:
            found.append(Example(line, "file", body, None, name))
        elif language == "python":
            follower = fences[number + 1] if number + 1 < len(fences) else None
            output = follower[3] if follower is not None and follower[1] == "text" else None
            found.append(Example(line, language, body, output))
        elif language == "console":
            found.extend(_commands(line, body))
    return found


def _commands(line: int, body: str) -> Iterator[Example]:
    command, output, start = "", "", line
    for offset, row in enumerate(body.splitlines(), start=1):
        if row.startswith("$ "):
            if command:
                yield Example(start, "console", command, output)
            command, output, start = row[2:], "", line + offset
        elif row.startswith("> "):
            command += "\n" + row[2:]
        else:
            output += row + "\n"
    if command:
        yield Example(start, "console", command, output)


def matches(expected: str, printed: str) -> bool:
    """Whether *printed* is *expected*, where ``...`` stands for anything and spaces count as one."""
    parts = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    return (
        re.fullmatch(
            r".*?".join(parts).replace(r"\ .*?\ ", r"\ .*?\ ?"), " ".join(printed.split()), re.DOTALL
        )
        is not None
    )
