"""Build checks of variables: those that FROM or a stage uses and nobody declared; and of the context.

Source: Docker documentation, "Build checks": UndefinedVar, UndefinedArgInFrom, InvalidDefaultArgInFrom,
CopyIgnoredFile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from container_kit.build.dockerfile import instructions as ast
from container_kit.build.dockerfile.errors import DockerfileError, closest
from container_kit.build.dockerfile.expansion import LexMode, lex
from container_kit.build.dockerfile.ignore import IgnoreRules
from container_kit.build.dockerfile.instructions import Dockerfile, Instruction, Stage, Warning
from container_kit.build.dockerfile.patterns import has_wildcards
from container_kit.errors import InvalidInput
from container_kit.oci.reference import Reference

__all__ = ["PLATFORM_ARGS", "PREDEFINED_ARGS", "context_checks", "from_checks", "stage_variable_checks"]

# In effect before the first FROM without being declared; within a stage only where ARG names them.
PLATFORM_ARGS = frozenset(
    f"{side}{part}"
    for side in ("BUILD", "TARGET")
    for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
) | {"TARGETSTAGE"}
# Can be given to any build without being declared, and stay out of its history.
PREDEFINED_ARGS = frozenset(
    name
    for each in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (each, each.lower())
)


def from_checks(dockerfile: Dockerfile) -> Iterator[Warning]:
    """UndefinedArgInFrom and InvalidDefaultArgInFrom: as if no build argument was given."""
    mode = LexMode(dockerfile.directives.escape)
    env = dict.fromkeys(PLATFORM_ARGS, "linux")
    declared = set(env)
    for arg in dockerfile.args:
        declared.add(arg.name)
        if arg.default is not None:
            env[arg.name] = _text(arg.default, env, mode)
    for stage in dockerfile.stages:
        yield from _undeclared(stage, declared, mode)
        base = _text(stage.base, env, mode)
        if "$" in stage.base and not _is_image(base):
            message = f"Default value for ARG {stage.base} results in empty or invalid base image name"
            yield Warning("InvalidDefaultArgInFrom", message, stage.line)


def stage_variable_checks(
    stage: Stage, known: Iterable[str], *, escape: str = "\\"
) -> tuple[tuple[Warning, ...], frozenset[str]]:
    """UndefinedVar within one stage.

    Args:
        stage: Of the Dockerfile.
        known: Variables of its base image or stage.
        escape: Of the Dockerfile's directives.

    Returns:
        The warnings, and the variables that images based on this stage have.
    """
    mode = LexMode(escape)
    lasting, here = set(known), set(PREDEFINED_ARGS)
    found: list[Warning] = []
    for instruction in stage.instructions:
        for word in _words(instruction):
            found += _undefined(word, lasting | here, mode, instruction.line)
        if isinstance(instruction, ast.Env):
            lasting |= {pair.key for pair in instruction.pairs}
        elif isinstance(instruction, ast.ArgDecl):
            here |= {arg.name for arg in instruction.args}
    return tuple(found), frozenset(lasting)


def context_checks(dockerfile: Dockerfile, rules: IgnoreRules) -> Iterator[Warning]:
    """CopyIgnoredFile: a file by name that the context does not have because of its ignore rules."""
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            if not isinstance(instruction, ast.Copy | ast.Add):
                continue
            if isinstance(instruction, ast.Copy) and instruction.from_:
                continue
            for path in instruction.sources:
                plain = path.strip("/")
                if "$" in plain or "://" in plain or has_wildcards(plain) or plain in ("", "."):
                    continue
                if rules.ignores(plain):
                    what = f'Attempting to {instruction.keyword.capitalize()} file "{path}"'
                    message = f"{what} that is excluded by .dockerignore"
                    yield Warning("CopyIgnoredFile", message, instruction.line)


def _undeclared(stage: Stage, declared: set[str], mode: LexMode) -> Iterator[Warning]:
    for word in (stage.base, stage.platform):
        for name in sorted(_unset(word, declared, mode)):
            hint = closest(name, declared)
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {hint}?)" if hint else "")
            yield Warning("UndefinedArgInFrom", message, stage.line)


def _undefined(word: str, known: set[str], mode: LexMode, line: int) -> Iterator[Warning]:
    for name in sorted(_unset(word, known, mode)):
        hint = closest(name, known)
        message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${hint}?)" if hint else "")
        yield Warning("UndefinedVar", message, line)


def _words(instruction: Instruction) -> Iterator[str]:
    """The words that the builder expands."""
    match instruction:
        case ast.Copy() | ast.Add():
            yield from (*instruction.sources, instruction.destination, instruction.chown, instruction.chmod)
        case ast.Env(pairs=pairs) | ast.Label(pairs=pairs):
            for pair in pairs:
                # PATH=$PATH:/x extends what the base may or may not have: not a slip.
                yield pair.value.replace(f"${pair.key}", "").replace(f"${{{pair.key}}}", "")
        case ast.ArgDecl(args=args):
            yield from (arg.default for arg in args if arg.default is not None)
        case ast.Expose(ports=words) | ast.Volume(paths=words):
            yield from words
        case ast.User(user=word) | ast.Workdir(path=word) | ast.Stopsignal(signal=word):
            yield word


def _unset(word: str, known: Iterable[str], mode: LexMode) -> frozenset[str]:
    if "$" not in word:
        return frozenset()
    try:
        return frozenset(
            name for name in lex(word, dict.fromkeys(known, "x"), mode).unset if name.isidentifier()
        )
    except DockerfileError:  # told when it is expanded in earnest
        return frozenset()


def _text(word: str, env: Mapping[str, str], mode: LexMode) -> str:
    try:
        return lex(word, env, mode).text
    except DockerfileError:
        return ""


def _is_image(name: str) -> bool:
    try:
        Reference.parse(name)
    except InvalidInput:
        return False
    return True
