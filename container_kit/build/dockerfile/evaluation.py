"""Instructions with their variables replaced: which words of which instruction that concerns.

RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK and ONBUILD keep their words: a shell, or a later build, expands
those.  Where the environment comes from is the caller's business.

Source: moby/buildkit, frontend/dockerfile/instructions (Expand); Dockerfile reference, "Environment
replacement".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.expansion import expand, expand_document, expand_words
from container_kit.build.dockerfile.instructions import (
    Add,
    Arg,
    ArgDecl,
    Copy,
    Env,
    Expose,
    Heredoc,
    Instruction,
    Label,
    Pair,
    Run,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from container_kit.build.dockerfile.mounts import RunMount, parse_mount

__all__ = ["evaluate", "mounts_of"]

_I = TypeVar("_I", bound=Instruction)
_Word = Callable[[str], str]


def evaluate(instruction: _I, env: Mapping[str, str], *, escape: str = "\\", file: str = "") -> _I:
    """*instruction* with the words that are the builder's to expand, expanded.

    Args:
        instruction: Of `parse`.
        env: Variables of ENV and ARG that are in effect; all pairs of one ENV see those before it.
        escape: Of the Dockerfile's directives.
        file: Name of the Dockerfile, for errors.

    Raises:
        DockerfileError: A word cannot be expanded; says which line.
    """
    word = functools.partial(expand, env=env, escape=escape)
    try:
        if isinstance(instruction, Expose):
            ports = (port for text in instruction.ports for port in expand_words(text, env, escape=escape))
            return attrs.evolve(instruction, ports=tuple(ports))
        return attrs.evolve(instruction, **_changes(instruction, word, env))
    except DockerfileError as error:
        raise error.located(file, instruction.line) from None


def mounts_of(
    run: Run, env: Mapping[str, str], *, escape: str = "\\", file: str = ""
) -> tuple[RunMount, ...]:
    """The mounts of *run*, their values expanded.

    Raises:
        DockerfileError: One makes no sense; says which line.
    """
    word = functools.partial(expand, env=env, escape=escape)
    try:
        return tuple(parse_mount(mount.text, word) for mount in run.mounts)
    except DockerfileError as error:
        raise error.located(file, run.line) from None


def _changes(instruction: Instruction, word: _Word, env: Mapping[str, str]) -> dict[str, Any]:
    match instruction:
        case Copy() | Add():
            return _copied(instruction, word, env)
        case Env(pairs=pairs) | Label(pairs=pairs):
            return {"pairs": tuple(Pair(word(pair.key), word(pair.value), pair.legacy) for pair in pairs)}
        case ArgDecl(args=args):
            return {"args": tuple(_declared(arg, word) for arg in args)}
        case Volume(paths=paths):
            return {"paths": tuple(word(path) for path in paths)}
        case User(user=user):
            return {"user": word(user)}
        case Workdir(path=path):
            return {"path": word(path)}
        case Stopsignal(signal=signal):
            return {"signal": word(signal)}
    return {}


def _copied(copy: Copy | Add, word: _Word, env: Mapping[str, str]) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "sources": tuple(word(source) for source in copy.sources),
        "destination": word(copy.destination),
        "documents": tuple(_document(document, env) for document in copy.documents),
        "chown": word(copy.chown),
        "chmod": word(copy.chmod),
        "exclude": tuple(word(pattern) for pattern in copy.exclude),
    }
    if isinstance(copy, Add):
        changes["checksum"] = word(copy.checksum)
    return changes


def _document(document: Heredoc, env: Mapping[str, str]) -> Heredoc:
    if not document.expand:
        return document
    return attrs.evolve(document, content=expand_document(document.text, env), strip_tabs=False)


def _declared(arg: Arg, word: _Word) -> Arg:
    return Arg(word(arg.name), None if arg.default is None else word(arg.default), arg.line)
