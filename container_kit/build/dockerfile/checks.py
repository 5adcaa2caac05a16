"""Build checks: what is allowed in a Dockerfile and probably not meant, as warnings with their line.

These need the file only; `variable_checks` has those that need to know which variables there are, and
`context_checks` the one that needs the ignore rules.

Source: Docker documentation, "Build checks".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from container_kit.build.dockerfile import instructions as ast
from container_kit.build.dockerfile.errors import DockerfileError
from container_kit.build.dockerfile.instructions import Dockerfile, Instruction, Stage, Warning
from container_kit.build.dockerfile.lines import LogicalLine, split_keyword

__all__ = ["EXPERIMENTAL", "file_checks", "kept", "require_none"]

# Rules that only run when the check directive asks for them, as in BuildKit.
EXPERIMENTAL = frozenset(["CopyIgnoredFile", "InvalidDefinitionDescription"])

_RESERVED = ("context", "scratch")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)
_ADDRESS_OR_MAPPING = re.compile(r"[^/]*:.*|[0-9]+(?:\.[0-9]+){3}.*")

_Found = Iterator[Warning]


def file_checks(dockerfile: Dockerfile, lines: Sequence[LogicalLine]) -> tuple[Warning, ...]:
    """What the rules find that need nothing but the file, by line; all rules, skipped or not."""
    found = [warning for check in _LINE_CHECKS for warning in check(lines)]
    found += _argument_checks(dockerfile.args)
    for check in _FILE_CHECKS:
        found += check(dockerfile)
    for stage in dockerfile.stages:
        for stage_check in _STAGE_CHECKS:
            found += stage_check(stage)
    return tuple(sorted(found, key=lambda warning: (warning.line, warning.rule)))


def kept(check: ast.Check, warnings: Iterable[Warning]) -> tuple[Warning, ...]:
    """Those of *warnings* that the check directive wants to hear of."""
    if "all" in check.skip:
        return ()
    asked = EXPERIMENTAL if "all" in check.experimental else check.experimental
    return tuple(
        warning
        for warning in warnings
        if warning.rule not in check.skip and (warning.rule not in EXPERIMENTAL or warning.rule in asked)
    )


def require_none(dockerfile: Dockerfile, warnings: Sequence[Warning]) -> None:
    """Stop a build for *warnings* if the Dockerfile says ``# check=error=true``.

    Raises:
        DockerfileError: It does, and there is one; the others follow in the message.
    """
    if not dockerfile.directives.check.error or not warnings:
        return
    all_of_them = "; ".join(f"line {each.line}: {each.rule}: {each.message}" for each in warnings)
    reason = f"the check directive makes warnings errors: {all_of_them}"
    raise DockerfileError(reason, file=dockerfile.name, line=warnings[0].line)


def _empty_continuations(lines: Sequence[LogicalLine]) -> _Found:
    for line in lines:
        if line.empty_line:
            yield Warning("NoEmptyContinuation", "Empty continuation line", line.empty_line)


def _instruction_casing(lines: Sequence[LogicalLine]) -> _Found:
    words = [(split_keyword(line.text)[0], line.first) for line in lines]
    lower = sum(word.islower() for word, _ in words)
    upper = sum(word.isupper() for word, _ in words)
    majority = "lowercase" if lower > upper else "uppercase"
    for word, number in words:
        if not (word.islower() if majority == "lowercase" else word.isupper()):
            message = f"Command '{word}' should match the case of the command majority ({majority})"
            yield Warning("ConsistentInstructionCasing", message, number)


def _from_as_casing(lines: Sequence[LogicalLine]) -> _Found:
    for line in lines:
        words = line.text.split()
        if words[0].upper() != "FROM" or len(words) < 4 or words[-2].upper() != "AS":
            continue
        if words[0].islower() != words[-2].islower() or words[0].isupper() != words[-2].isupper():
            message = f"'{words[-2]}' and '{words[0]}' keywords' casing do not match"
            yield Warning("FromAsCasing", message, line.first)


def _stage_names(dockerfile: Dockerfile) -> _Found:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        if stage.name is None:
            continue
        if stage.name_as_written != stage.name:
            message = f"Stage name '{stage.name_as_written}' should be lowercase"
            yield Warning("StageNameCasing", message, stage.line)
        if stage.name in seen:
            message = f'Duplicate stage name "{stage.name}", stage names should be unique'
            yield Warning("DuplicateStageName", message, stage.line)
        if stage.name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            yield Warning("ReservedStageName", message, stage.line)
        seen.add(stage.name)


def _relative_workdirs(dockerfile: Dockerfile) -> _Found:
    absolute: dict[str, bool] = {}  # stages that end with a working directory of their own
    for stage in dockerfile.stages:
        is_absolute = absolute.get(stage.base.lower(), False)
        for instruction in stage.instructions:
            if not isinstance(instruction, ast.Workdir):
                continue
            path = instruction.path.strip("\"'")
            if not path.startswith(("/", "$")) and not is_absolute:
                message = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                yield Warning("WorkdirRelativePath", message, instruction.line)
            is_absolute = True
        for name in (stage.name, str(stage.index)):
            if name is not None:
                absolute[name] = is_absolute


def _platforms(stage: Stage) -> _Found:
    platform = stage.platform.strip("\"'")
    if platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        message = (
            f"Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
        )
        yield Warning("RedundantTargetPlatform", message, stage.line)
    elif platform and "$" not in platform and not _is_named_after(stage.name or "", platform):
        message = f'FROM --platform flag should not use constant value "{platform}"'
        yield Warning("FromPlatformFlagConstDisallowed", message, stage.line)


def _is_named_after(name: str, platform: str) -> bool:
    """A stage for one platform says so by its name, such as ``build-arm64``."""
    return any(part in name for part in platform.lower().split("/"))


def _repeated(stage: Stage) -> _Found:
    last: dict[str, Instruction] = {}
    for instruction in stage.instructions:
        keyword = instruction.keyword
        if keyword in _ONCE:
            if keyword in last:
                message = (
                    f"Multiple {keyword} instructions should not be used in the same stage because only the "
                    "last one will be used"
                )
                yield Warning("MultipleInstructionsDisallowed", message, last[keyword].line)
            last[keyword] = instruction


def _shell_forms(stage: Stage) -> _Found:
    if any(isinstance(instruction, ast.Shell) for instruction in stage.instructions):
        return  # whoever chooses the shell means it
    for instruction in stage.instructions:
        if isinstance(instruction, ast.Cmd | ast.Entrypoint) and instruction.command.is_shell:
            message = (
                f"JSON arguments recommended for {instruction.keyword} to prevent unintended behavior "
                "related to OS signals"
            )
            yield Warning("JSONArgsRecommended", message, instruction.line)


def _single_instructions(stage: Stage) -> _Found:
    for instruction in stage.instructions:
        line = instruction.line
        match instruction:
            case ast.Maintainer():
                message = "Maintainer instruction is deprecated in favor of using label"
                yield Warning("MaintainerDeprecated", message, line)
            case ast.Env(pairs=pairs) | ast.Label(pairs=pairs):
                yield from _pairs(instruction, pairs)
            case ast.ArgDecl(args=args):
                yield from _argument_checks(args)
                yield from _descriptions("argument", [arg.name for arg in args], instruction.comment, line)
            case ast.Expose(ports=ports):
                yield from _ports(ports, line)


def _pairs(instruction: Instruction, pairs: Iterable[ast.Pair]) -> _Found:
    keyword, line = instruction.keyword, instruction.line
    for pair in pairs:
        if pair.legacy:
            message = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
            yield Warning("LegacyKeyValueFormat", message, line)
        if keyword == "ENV" and _is_secret(pair.key):
            yield _secret(keyword, pair.key, line)


def _argument_checks(args: Iterable[ast.Arg]) -> _Found:
    for arg in args:
        if _is_secret(arg.name):
            yield _secret("ARG", arg.name, arg.line)


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def _secret(keyword: str, name: str, line: int) -> Warning:
    message = f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")'
    return Warning("SecretsUsedInArgOrEnv", message, line)


def _ports(ports: Iterable[str], line: int) -> _Found:
    for port in ports:
        if "$" in port:
            continue
        number, _, protocol = port.partition("/")
        if protocol and not protocol.islower():
            message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield Warning("ExposeProtoCasing", message, line)
        if _ADDRESS_OR_MAPPING.fullmatch(number):
            message = (
                f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            )
            yield Warning("ExposeInvalidFormat", message, line)


def _stage_description(stage: Stage) -> _Found:
    if stage.name is not None:
        yield from _descriptions("build stage", [stage.name], stage.comment, stage.line)


def _descriptions(what: str, names: list[str], comment: Sequence[str], line: int) -> _Found:
    if comment and not any(comment[-1].startswith(f"{name} ") for name in names):
        message = f"Comment for {what} should follow the format: `# {names[0]} <description>`"
        yield Warning("InvalidDefinitionDescription", message, line)


_LINE_CHECKS: Sequence[Callable[[Sequence[LogicalLine]], _Found]] = (
    _empty_continuations, _instruction_casing, _from_as_casing,
)  # fmt: skip
_FILE_CHECKS: Sequence[Callable[[Dockerfile], _Found]] = (_stage_names, _relative_workdirs)
_STAGE_CHECKS: Sequence[Callable[[Stage], _Found]] = (
    _platforms, _repeated, _shell_forms, _single_instructions, _stage_description,
)  # fmt: skip
