"""Variables in the words of a Dockerfile: ``$name``, ``${name:-word}``, quotes and escapes.

Pure text: nothing is run, and every expansion has a budget.

Source: moby/buildkit, frontend/dockerfile/shell; POSIX, "Parameter Expansion".
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.globs import remove_prefix, remove_suffix, replace

__all__ = ["Expansion", "LexMode", "expand", "expand_document", "expand_words", "lex"]

_MAX_DEPTH = 64  # of ${a:-${b:-…}}
_MAX_LENGTH = 1 << 20  # of a result: ENV A=$A$A doubles with every line
_SPECIAL = frozenset("@*#?-$!")  # POSIX' special parameters, which are never set here


@attrs.frozen
class LexMode:
    """How a text is read.

    Args:
        escape: ``\\`` or `` ` ``.
        keep_quotes: Quotes stay in the result.
        keep_escapes: Escapes stay in the result.
        quotes_are_text: Quotes mean nothing, as in a heredoc.
        keep_unset: ``$name`` of what is not set stays as written.
    """

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    quotes_are_text: bool = False
    keep_unset: bool = False


@attrs.frozen
class Expansion:
    """A text with its variables replaced.

    Args:
        text: As one word.
        words: Split at blanks that are neither quoted nor escaped.
        used, unset: Names that were looked up: found, and not found although nothing says what is then meant.
    """

    text: str
    words: tuple[str, ...]
    used: frozenset[str] = frozenset()
    unset: frozenset[str] = frozenset()


def expand(word: str, env: Mapping[str, str], *, escape: str = "\\") -> str:
    """*word* with its variables replaced and its quotes and escapes removed, as one word.

    Raises:
        DockerfileError: A quote or brace is not closed, a modifier is unknown, or ``${name:?}`` says so.
    """
    return lex(word, env, LexMode(escape)).text


def expand_words(word: str, env: Mapping[str, str], *, escape: str = "\\") -> list[str]:
    """As `expand`, but what a variable holds is split at its blanks: one word may become several or none."""
    return list(lex(word, env, LexMode(escape)).words)


def expand_document(text: str, env: Mapping[str, str]) -> str:
    """The text of a heredoc with its variables replaced; quotes stay, ``\\$`` is a dollar."""
    return lex(text, env, LexMode(quotes_are_text=True)).text


def lex(text: str, env: Mapping[str, str], mode: LexMode) -> Expansion:
    """Read *text* in this *mode*.

    Raises:
        DockerfileError: As `expand`.
    """
    reader = _Reader(text, env, mode)
    result = reader.read_until("", mode.keep_escapes)
    return Expansion(
        "".join(result.text), result.finished_words(), frozenset(reader.used), frozenset(reader.unset)
    )


class _Result:
    """A text as it grows, whole and split into words."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self._words: list[str] = []
        self._word: list[str] = []

    def add_plain(self, text: str) -> None:
        """Text in which blanks end a word."""
        self.text.append(text)
        for char in text:
            if not char.isspace():
                self._word.append(char)
            elif self._word:
                self._end_word()

    def add_raw(self, text: str) -> None:
        """Text that was quoted or escaped: blanks belong to the word."""
        self.text.append(text)
        self._word.append(text)

    def finished_words(self) -> tuple[str, ...]:
        self._end_word()
        return tuple(self._words)

    def _end_word(self) -> None:
        word = "".join(self._word)
        if word:
            self._words.append(word)
        self._word = []


class _Reader:
    def __init__(self, text: str, env: Mapping[str, str], mode: LexMode) -> None:
        self._text, self._env, self._mode = text, env, mode
        self._at = 0
        self._depth = 0
        self._length = 0
        self.used: set[str] = set()
        self.unset: set[str] = set()

    def read_until(self, stop: str, keep_escapes: bool) -> _Result:
        """Everything up to the character *stop*, which is consumed; up to the end where it is empty."""
        result = _Result()
        while char := self._peek():
            if char == stop:
                self._at += 1
                return result
            if char == "$":
                result.add_plain(self._dollar())
            elif char in "'\"" and not self._mode.quotes_are_text:
                quoted = self._single_quoted() if char == "'" else self._double_quoted(keep_escapes)
                result.add_raw(quoted)
            elif char == self._mode.escape:
                self._escaped(result, keep_escapes)
            else:
                self._at += 1
                result.add_plain(char)
        if stop:
            raise DockerfileError(
                f"the text ends before the {stop!r} that should close ${{…}}: {self._text!r}"
            )
        return result

    def _escaped(self, result: _Result, keep_escapes: bool) -> None:
        self._at += 1
        if keep_escapes:
            result.add_raw(self._mode.escape)
        if char := self._peek():  # an escape at the very end means nothing
            self._at += 1
            result.add_raw(char)

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise DockerfileError(f"a single quote is not closed in {self._text!r}")
        quoted = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{quoted}'" if self._mode.keep_quotes else quoted

    def _double_quoted(self, keep_escapes: bool) -> str:
        self._at += 1
        parts: list[str] = []
        while (char := self._peek()) != '"':
            if not char:
                raise DockerfileError(f"a double quote is not closed in {self._text!r}")
            if char == "$":
                parts.append(self._dollar())
                continue
            self._at += 1
            if char == self._mode.escape:
                char = self._escaped_in_quotes(parts, keep_escapes)
            parts.append(char)
        self._at += 1
        quoted = "".join(parts)
        return f'"{quoted}"' if self._mode.keep_quotes else quoted

    def _escaped_in_quotes(self, parts: list[str], keep_escapes: bool) -> str:
        """Within double quotes only the quote, the dollar and the escape itself can be escaped."""
        if keep_escapes:
            parts.append(self._mode.escape)
        char = self._peek()
        if not char:
            return ""
        if char in ('"', "$", self._mode.escape):
            self._at += 1
            return char
        return self._mode.escape if not keep_escapes else ""

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() == "{":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise DockerfileError(f"more than {_MAX_DEPTH} ${{…}} within each other")
            value = self._braced()
            self._depth -= 1
        else:
            name = self._name()
            value = self._value(name, f"${name}") if name else "$"
        self._length += len(value)
        if self._length > _MAX_LENGTH:
            raise DockerfileError(f"the variables of one text hold more than {_MAX_LENGTH} characters")
        return value

    def _braced(self) -> str:
        self._at += 1
        first = self._peek()
        if not first:
            raise DockerfileError(f"a '}}' is missing in {self._text!r}")
        if first in "{}:":
            raise DockerfileError(f"no name of a variable after '${{' in {self._text!r}")
        name = self._name()
        sign = self._next()
        match sign:
            case "}":
                return self._value(name, f"${{{name}}}")
            case ":":
                return self._modified(name, self._next(), ":")
            case "/":
                return self._replaced(name)
            case _:
                return self._modified(name, sign, "")

    def _modified(self, name: str, sign: str, colon: str) -> str:
        """``${name:-word}`` and its kin; with the colon an empty value counts as unset."""
        if not sign or sign not in "+-?#%":
            raise DockerfileError(f"unknown modifier {colon + sign!r} in {self._text!r}")
        is_pattern = sign in "#%"
        word = "".join(self.read_until("}", is_pattern).text)
        value = self._look_up(name) if is_pattern else self._env.get(name)
        if value is None and self._mode.keep_unset:
            return f"${{{name}{colon}{sign}{word}}}"
        if is_pattern:
            return _trimmed(value or "", sign, word)
        missing = value is None or (bool(colon) and not value)
        if sign == "+":
            return "" if missing else word
        if not missing:
            return value or ""
        if sign == "-":
            return word
        state = "empty" if value is not None else "unset"
        raise DockerfileError(f"{name}: {word or f'is not allowed to be {state}'}")

    def _replaced(self, name: str) -> str:
        """``${name/pattern/replacement}``, with two slashes for every match."""
        everywhere = self._peek() == "/"
        if everywhere:
            self._at += 1
        pattern = "".join(self.read_until("/", True).text)
        replacement = "".join(self.read_until("}", True).text)
        value = self._look_up(name)
        if value is None and self._mode.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return replace(value or "", pattern, replacement, everywhere=everywhere)

    def _value(self, name: str, as_written: str) -> str:
        value = self._look_up(name)
        if value is None:
            return as_written if self._mode.keep_unset else ""
        return value

    def _look_up(self, name: str) -> str | None:
        value = self._env.get(name)
        (self.unset if value is None else self.used).add(name)
        return value

    def _name(self) -> str:
        """Letters, digits and underscores; a number; or one special sign."""
        start, first = self._at, self._peek()
        if first in _SPECIAL and first:
            self._at += 1
        elif first.isdigit():
            while self._peek().isdigit():
                self._at += 1
        else:
            while (char := self._peek()) and (char.isalnum() or char == "_"):
                self._at += 1
        return self._text[start : self._at]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char


def _trimmed(value: str, sign: str, pattern: str) -> str:
    longest = pattern.startswith(sign)
    trim = remove_prefix if sign == "#" else remove_suffix
    return trim(value, pattern[1:] if longest else pattern, longest=longest)
