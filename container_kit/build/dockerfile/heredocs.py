"""Where heredocs begin in a line: ``<<NAME``, ``<<-NAME``, ``<<"NAME"``, several of them.

Source: moby/buildkit, frontend/dockerfile/parser; POSIX, "Here-Document".
"""

from __future__ import annotations

import re

from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.expansion import LexMode, lex
from container_kit.build.dockerfile.instructions import Heredoc

__all__ = ["heredoc_of", "heredocs_in"]

_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)")
_AS_WRITTEN = LexMode(keep_quotes=True, keep_escapes=True, keep_unset=True)
_PLAIN = LexMode(keep_unset=True)


def heredocs_in(line: str) -> list[Heredoc]:
    """The heredocs that *line* opens, in order, still without content."""
    if "<<" not in line:
        return []
    try:
        words = lex(line, {}, _AS_WRITTEN).words
    except DockerfileError:  # no words that we understand: the shell will say so itself
        return []
    return [heredoc for word in words if (heredoc := heredoc_of(word)) is not None]


def heredoc_of(word: str) -> Heredoc | None:
    """The heredoc that *word* opens, if it does."""
    match = _HEREDOC.fullmatch(word)
    if match is None:
        return None
    dash, delimiter = match.groups()
    try:
        plain, written = lex(delimiter, {}, _PLAIN).words, lex(delimiter, {}, _AS_WRITTEN).words
    except DockerfileError:
        return None
    if len(plain) != 1:
        return None
    return Heredoc(name=plain[0], content="", expand=plain == written, strip_tabs=bool(dash))
