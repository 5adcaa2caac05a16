"""From bytes to logical lines: directives, comments, continuations and the contents of heredocs.

Source: moby/buildkit, frontend/dockerfile/parser; Dockerfile reference, "Parser directives".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import attrs

from container_kit.build.dockerfile.errors import DockerfileError, closest
from container_kit.build.dockerfile.heredocs import heredocs_in
from container_kit.build.dockerfile.instructions import Check, Directives, Heredoc
from container_kit.build.dockerfile.words import json_words, split_flags
from container_kit.errors import LimitExceeded

__all__ = ["LogicalLine", "decode", "logical_lines", "parse_trigger_line", "read_directives", "split_keyword"]

_MAX_BYTES = 2 << 20
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
_WITH_HEREDOCS = frozenset(["ADD", "COPY", "RUN"])


@attrs.frozen
class LogicalLine:
    """One instruction as text.

    Args:
        text: Continuations joined, comments removed, blanks at both ends removed.
        first, last: Its line numbers from 1.
        heredocs: With their contents.
        comment: Lines of comment directly above.
        empty_line: Number of the first empty line within continuations; 0 without one.
    """

    text: str
    first: int
    last: int
    heredocs: tuple[Heredoc, ...] = ()
    comment: tuple[str, ...] = ()
    empty_line: int = 0


def decode(source: bytes | str, name: str) -> list[str]:
    """The physical lines with their line ends; bytes that are no UTF-8 survive as surrogates.

    Raises:
        DockerfileError: It holds NUL or is UTF-16.
        LimitExceeded: It is larger than 2 MiB.
    """
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogateescape")
    if len(source) > _MAX_BYTES:
        raise LimitExceeded(f"{name} has {len(source)} bytes; a Dockerfile may have {_MAX_BYTES}")
    if source.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DockerfileError("this file is UTF-16; save it as UTF-8", file=name, line=1)
    if (nul := source.find(b"\0")) >= 0:
        raise DockerfileError("there is a NUL byte", file=name, line=source.count(b"\n", 0, nul) + 1)
    text = source.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def read_directives(lines: list[str], name: str) -> Directives:
    """The directives at the top: they end at the first line that is no directive that we know.

    Raises:
        DockerfileError: One stands there twice, or has a value that makes no sense.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith("#!"):
            continue
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() not in ("syntax", "escape", "check"):
            break
        key = match[1].lower()
        if key in found:
            raise DockerfileError(f"the directive {key} stands here twice", file=name, line=number)
        if key == "escape" and match[2] not in ("\\", "`"):
            raise DockerfileError(f"escape is \\ or `, not {match[2]!r}", file=name, line=number)
        if key == "check":
            _parse_check(match[2], name, number)
        found[key] = match[2]
    check = _parse_check(found["check"], name, 1) if "check" in found else Check()
    return Directives(found.get("syntax", ""), found.get("escape", "\\"), check)


def logical_lines(lines: list[str], escape: str, name: str) -> Iterator[LogicalLine]:
    """The instructions as text, one after another.

    Raises:
        DockerfileError: A heredoc has no end.
    """
    continued = re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t]*$")
    comment: list[str] = []
    at = 0
    while at < len(lines):
        first = at + 1
        text = lines[at].strip()
        at += 1
        if text.startswith("#"):
            remark = text[1:].strip()
            comment = [*comment, remark] if remark else []
            continue
        if not text:
            comment = []  # a remark belongs to an instruction only directly above it
            continue
        parts, at, empty_line = _joined(lines, at, continued)
        text = "".join(parts).strip()
        if not text:
            continue
        heredocs, at = _contents(lines, at, _opened(text, escape), name, first)
        yield LogicalLine(text, first, at, heredocs, tuple(comment), empty_line)
        comment = []


def parse_trigger_line(text: str, escape: str, name: str) -> LogicalLine:
    """The one instruction that an ONBUILD trigger is, with its heredocs.

    Raises:
        DockerfileError: It is none, or more than one.
    """
    lines = decode(text, name)
    found = list(logical_lines(lines, escape, name))
    if len(found) != 1:
        raise DockerfileError(f"an ONBUILD trigger is one instruction, this has {len(found)}: {text!r}")
    return found[0]


def split_keyword(text: str) -> tuple[str, str]:
    """The instruction's word as written, and its arguments."""
    keyword, *rest = re.split(r"[\t\v\f\r ]+", text.strip(), maxsplit=1)
    return keyword, rest[0].strip() if rest else ""


def _joined(lines: list[str], at: int, continued: re.Pattern[str]) -> tuple[list[str], int, int]:
    """The parts of a logical line whose first part is before *at*, where it ends, its first empty line."""
    part, goes_on = continued.subn("", lines[at - 1].strip("\r\n").lstrip())
    parts, empty_line = [part], 0
    while goes_on and at < len(lines):
        line = lines[at].rstrip("\r\n")
        at += 1
        if line.lstrip().startswith("#"):
            continue
        if not line.strip():
            empty_line = empty_line or at
            continue
        part, goes_on = continued.subn("", line)
        parts.append(part)
    return parts, at, empty_line


def _opened(text: str, escape: str) -> list[Heredoc]:
    """The heredocs that the instruction *text* opens; JSON forms and other instructions open none."""
    if "<<" not in text:
        return []
    keyword, rest = split_keyword(text)
    if keyword.upper() == "ONBUILD":
        return _opened(rest, escape)
    if keyword.upper() not in _WITH_HEREDOCS:
        return []
    arguments = split_flags(rest, escape)[1]
    try:
        is_json = json_words(arguments) is not None
    except DockerfileError:
        is_json = True
    return [] if is_json else heredocs_in(text)


def _contents(
    lines: list[str], at: int, opened: list[Heredoc], name: str, first: int
) -> tuple[tuple[Heredoc, ...], int]:
    """*opened* with their contents, and the line after the last of them."""
    filled: list[Heredoc] = []
    for heredoc in opened:
        start = at
        while at < len(lines) and not _ends(heredoc, lines[at]):
            at += 1
        if at == len(lines):
            reason = f"the heredoc {heredoc.name!r} has no end: no line is just {heredoc.name}"
            raise DockerfileError(reason, file=name, line=first)
        filled.append(attrs.evolve(heredoc, content="".join(lines[start:at])))
        at += 1
    return tuple(filled), at


def _ends(heredoc: Heredoc, line: str) -> bool:
    line = line.rstrip("\r\n")
    return (line.lstrip("\t") if heredoc.strip_tabs else line) == heredoc.name


def _parse_check(value: str, name: str, line: int) -> Check:
    """``skip=A,B;error=true``."""
    rules: dict[str, frozenset[str]] = {}
    error = False
    for part in value.split(";"):
        key, _, content = (text.strip() for text in part.partition("="))
        match key.lower():
            case "skip" | "experimental" as which:
                rules[which] = frozenset(rule.strip() for rule in content.split(",") if rule.strip())
            case "error" if content.lower() in ("true", "false", "1", "0"):
                error = content.lower() in ("true", "1")
            case _:
                reason = f"the check directive has skip=… and error=true|false, not {part.strip()!r}"
                hint = closest(key, ["skip", "error", "experimental"])
                raise DockerfileError(reason, file=name, line=line, suggestion=hint)
    return Check(rules.get("skip", frozenset()), error, rules.get("experimental", frozenset()))
