"""The arguments of an instruction: flags in front, then words, ``key=value`` or a JSON list.

Words keep their quotes and variables; `expansion` removes them later.

Source: moby/buildkit, frontend/dockerfile/parser.
"""

from __future__ import annotations

import json
import re

from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.instructions import Pair

__all__ = ["json_words", "pairs", "quoted_words", "split_flags", "split_words"]

_BLANKS = re.compile(r"[\t\v\f\r ]+")


def split_words(text: str) -> list[str]:
    """Words between blanks; quotes mean nothing here."""
    return _BLANKS.split(text) if text else []


def json_words(text: str) -> tuple[str, ...] | None:
    """The words of a JSON list of strings; None when *text* is anything else, which then is shell form.

    Raises:
        DockerfileError: It is a JSON list, and something in it is no string.
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in found):
        raise DockerfileError("a JSON list here holds strings only; write each word in double quotes")
    return tuple(_without_lone_surrogates(word) for word in found)


def split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """The ``--flags`` that *text* begins with, quotes removed, and the rest after them."""
    flags: list[str] = []
    at = 0
    while True:
        while text[at : at + 1].isspace():
            at += 1
        if not text.startswith("--", at):
            return flags, text[at:]
        flag, at = _flag(text, at, escape)
        if flag == "--":
            return flags, text[at:].lstrip()
        flags.append(flag)


def quoted_words(text: str, escape: str) -> list[str]:
    """Words between blanks that are not within quotes; quotes and escapes stay."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'":
            word.append(text[at : at + 2] if at + 1 < len(text) else "")
            at += 2
            continue
        if char.isspace() and not quote:
            words += ["".join(word)] if word else []
            word = []
        else:
            word.append(char)
            quote = _quote_after(quote, char)
        at += 1
    return [*words, "".join(word)] if word else words


def pairs(keyword: str, text: str, escape: str) -> tuple[Pair, ...]:
    """``key=value key2="value 2"``, or ``key all the rest`` in the old form.

    Raises:
        DockerfileError: There is no value, no key, or a word without ``=`` among others with it.
    """
    words = quoted_words(text, escape)
    if not words:
        raise DockerfileError(f"{keyword} needs at least one key=value")
    if "=" not in words[0]:
        key, *value = _BLANKS.split(text, maxsplit=1)
        if not value:
            raise DockerfileError(f"{keyword} {key} has no value; write {keyword} {key}=value")
        return (Pair(key, value[0], legacy=True),)
    return tuple(_pair(keyword, word) for word in words)


def _pair(keyword: str, word: str) -> Pair:
    key, sign, value = word.partition("=")
    if not sign:
        raise DockerfileError(f"{keyword}: {word!r} is not key=value; a value with blanks stands in quotes")
    if not key:
        raise DockerfileError(f"{keyword}: there is no key before '=' in {word!r}")
    return Pair(key, value)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """One flag from *at* on, and where it ends."""
    flag: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char.isspace() and not quote:
            break
        if char == escape and quote != "'":
            flag.append(text[at + 1 : at + 2])
            at += 2
            continue
        after = _quote_after(quote, char)
        if after == quote:
            flag.append(char)
        quote = after
        at += 1
    return "".join(flag), at


def _quote_after(quote: str, char: str) -> str:
    """The quote that is open after *char*."""
    if quote:
        return "" if char == quote else quote
    return char if char in "'\"" else ""


def _without_lone_surrogates(word: str) -> str:
    """JSON can escape halves of a character; bytes that are no UTF-8 (U+DC80 and up) stay as they are."""
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", word)
