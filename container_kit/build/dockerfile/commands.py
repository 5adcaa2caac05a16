"""Each instruction from its logical line: which arguments and flags it takes.

Source: moby/buildkit, frontend/dockerfile/instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from container_kit.build.dockerfile import instructions as ast
from container_kit.build.dockerfile.durations import parse_duration
from container_kit.build.dockerfile.errors import DockerfileError, closest
from container_kit.build.dockerfile.flags import Flags, parse_flags
from container_kit.build.dockerfile.heredocs import heredoc_of
from container_kit.build.dockerfile.lines import LogicalLine, split_keyword
from container_kit.build.dockerfile.mounts import parse_mount
from container_kit.build.dockerfile.words import json_words, pairs, quoted_words, split_flags, split_words

__all__ = ["Request", "parse_command", "request_of"]

_MAX_RETRIES = (1 << 31) - 1


@attrs.frozen(kw_only=True)
class Request:
    """One instruction, taken apart as far as all are alike.

    Args:
        keyword: In upper case.
        rest: Arguments after the flags.
    """

    line: LogicalLine
    keyword: str
    flags: Flags
    rest: str
    escape: str

    def words(self) -> tuple[str, ...]:
        """A JSON list, or words between blanks."""
        found = json_words(self.rest)
        return tuple(split_words(self.rest)) if found is None else found

    def one(self) -> str:
        """The whole rest as one argument."""
        if not self.rest:
            raise DockerfileError(f"{self.keyword} needs exactly one argument")
        return self.rest

    def command(self) -> ast.CommandLine:
        """The exec form, or the shell form's text."""
        found = json_words(self.rest)
        if found is not None:
            return ast.CommandLine(found, is_shell=False)
        return ast.CommandLine((self.rest,) if self.rest else (), is_shell=True)

    def common(self) -> dict[str, Any]:
        line = self.line
        return {"line": line.first, "end_line": line.last, "source": line.text, "comment": line.comment}


def request_of(line: LogicalLine, escape: str) -> Request:
    """*line* taken apart.

    Raises:
        DockerfileError: There is no such instruction, or it has no such flag.
    """
    written, rest = split_keyword(line.text)
    keyword = written.upper()
    if keyword not in _COMMANDS and keyword != "FROM":
        hint = closest(keyword, [*_COMMANDS, "FROM"])
        raise DockerfileError(f"unknown instruction {written[:40]!r}", suggestion=hint)
    if keyword == "ONBUILD":  # the flags are those of its trigger
        return Request(line=line, keyword=keyword, flags=Flags({}, {}), rest=rest, escape=escape)
    given, rest = split_flags(rest, escape)
    return Request(line=line, keyword=keyword, flags=parse_flags(keyword, given), rest=rest, escape=escape)


def parse_command(request: Request) -> ast.Instruction:
    """The instruction that *request* is; any but FROM.

    Raises:
        DockerfileError: Its arguments make no sense.
    """
    return _COMMANDS[request.keyword](request)


def _run(request: Request) -> ast.Run:
    command = request.command()
    if not command.words and not request.line.heredocs:
        raise DockerfileError("RUN needs a command")
    mounts = request.flags.texts("mount")
    for mount in mounts:
        parse_mount(mount, None)
    return ast.Run(
        **request.common(),
        command=command,
        heredocs=request.line.heredocs,
        mounts=tuple(ast.MountFlag(mount) for mount in mounts),
        network=_network(request.flags.text("network") or "default"),
        security=_security(request.flags.text("security") or "sandbox"),
    )


def _network(value: str) -> Literal["default", "none", "host"]:
    match value.lower():
        case "default" | "none" | "host" as network:
            return network
    hint = closest(value, ["default", "none", "host"])
    raise DockerfileError(f"RUN --network is default, none or host, not {value!r}", suggestion=hint)


def _security(value: str) -> Literal["sandbox", "insecure"]:
    match value.lower():
        case "sandbox" | "insecure" as security:
            return security
    hint = closest(value, ["sandbox", "insecure"])
    raise DockerfileError(f"RUN --security is sandbox or insecure, not {value!r}", suggestion=hint)


def _copy(request: Request) -> ast.Copy:
    flags = request.flags
    if "$" in flags.text("from"):
        raise DockerfileError("COPY --from takes no variables; name a stage with FROM $… AS name instead")
    sources, documents, destination = _sources(request)
    return ast.Copy(
        **request.common(),
        sources=sources,
        documents=documents,
        destination=destination,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link"),
        parents=flags.switch("parents"),
        exclude=flags.texts("exclude"),
    )


def _add(request: Request) -> ast.Add:
    flags = request.flags
    sources, documents, destination = _sources(request)
    return ast.Add(
        **request.common(),
        sources=sources,
        documents=documents,
        destination=destination,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link"),
        keep_git_dir=flags.switch("keep-git-dir"),
        checksum=flags.text("checksum"),
        unpack=flags.optional_switch("unpack"),
        exclude=flags.texts("exclude"),
    )


def _sources(request: Request) -> tuple[tuple[str, ...], tuple[ast.Heredoc, ...], str]:
    """Paths, documents and destination of COPY or ADD."""
    words = request.words()
    if len(words) < 2:
        raise DockerfileError(f"{request.keyword} needs at least one source and a destination")
    *sources, destination = words
    contents = {heredoc.name: heredoc for heredoc in request.line.heredocs}
    if contents and heredoc_of(destination):
        raise DockerfileError(f"the destination of {request.keyword} cannot be a heredoc: {destination}")
    paths: list[str] = []
    documents: list[ast.Heredoc] = []
    for source in sources:
        opened = heredoc_of(source) if contents else None
        if opened is None:
            paths.append(source)
        else:
            documents.append(_document(request, contents, opened))
    return tuple(paths), tuple(documents), destination


def _document(request: Request, contents: Mapping[str, ast.Heredoc], opened: ast.Heredoc) -> ast.Heredoc:
    if "/" in opened.name or opened.name in (".", ".."):
        raise DockerfileError(f"{request.keyword} makes a file named like the heredoc: no {opened.name!r}")
    return contents[opened.name]


def _env(request: Request) -> ast.Env:
    return ast.Env(**request.common(), pairs=pairs("ENV", request.rest, request.escape))


def _label(request: Request) -> ast.Label:
    return ast.Label(**request.common(), pairs=pairs("LABEL", request.rest, request.escape))


def _arg(request: Request) -> ast.ArgDecl:
    words = quoted_words(request.rest, request.escape)
    if not words:
        raise DockerfileError("ARG needs at least one name")
    return ast.ArgDecl(**request.common(), args=tuple(_declared(word, request.line.first) for word in words))


def _declared(word: str, line: int) -> ast.Arg:
    name, sign, default = word.partition("=")
    if not name:
        raise DockerfileError(f"ARG: there is no name before '=' in {word!r}")
    return ast.Arg(name, default if sign else None, line)


def _expose(request: Request) -> ast.Expose:
    words = tuple(split_words(request.rest))
    if not words:
        raise DockerfileError("EXPOSE needs at least one port")
    return ast.Expose(**request.common(), ports=words)


def _volume(request: Request) -> ast.Volume:
    paths = request.words()
    if not paths or not all(path.strip() for path in paths):
        raise DockerfileError("VOLUME needs at least one path, and none that is empty")
    return ast.Volume(**request.common(), paths=paths)


def _healthcheck(request: Request) -> ast.Healthcheck:
    kind, rest = split_keyword(request.rest) if request.rest else ("", "")
    if kind.upper() == "NONE":
        if rest:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return ast.Healthcheck(**request.common(), command=None)
    if kind.upper() != "CMD":
        hint = closest(kind, ["CMD", "NONE"])
        raise DockerfileError(f"HEALTHCHECK is followed by CMD or NONE, not {kind!r}", suggestion=hint)
    command = attrs.evolve(request, rest=rest).command()
    if not command.words:
        raise DockerfileError("HEALTHCHECK CMD needs a command")
    flags = request.flags
    return ast.Healthcheck(
        **request.common(),
        command=command,
        interval_s=parse_duration(flags.text("interval"), "HEALTHCHECK --interval"),
        timeout_s=parse_duration(flags.text("timeout"), "HEALTHCHECK --timeout"),
        start_period_s=parse_duration(flags.text("start-period"), "HEALTHCHECK --start-period"),
        start_interval_s=parse_duration(flags.text("start-interval"), "HEALTHCHECK --start-interval"),
        retries=_retries(flags.text("retries")),
    )


def _retries(text: str) -> int:
    digits = text.removeprefix("+")
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= _MAX_RETRIES):
        raise DockerfileError(f"HEALTHCHECK --retries is a number from 0 to {_MAX_RETRIES}, not {text!r}")
    return int(digits)


def _shell(request: Request) -> ast.Shell:
    words = json_words(request.rest)
    if not words:
        raise DockerfileError('SHELL is a JSON list, such as SHELL ["/bin/bash", "-c"]')
    return ast.Shell(**request.common(), words=words)


def _onbuild(request: Request) -> ast.Onbuild:
    keyword = split_keyword(request.rest)[0].upper() if request.rest else ""
    if not keyword:
        raise DockerfileError("ONBUILD needs an instruction")
    if keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise DockerfileError(f"{keyword} cannot be triggered by ONBUILD")
    inner = attrs.evolve(request.line, text=request.rest)
    parse_command(request_of(inner, request.escape))  # wrong triggers are told here, not when they fire
    documents = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in request.line.heredocs)
    return ast.Onbuild(**request.common(), trigger=request.rest + documents)


_COMMANDS: Mapping[str, Callable[[Request], ast.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda request: ast.Cmd(**request.common(), command=request.command()),
    "COPY": _copy,
    "ENTRYPOINT": lambda request: ast.Entrypoint(**request.common(), command=request.command()),
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": lambda request: ast.Maintainer(**request.common(), name=request.one()),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda request: ast.Stopsignal(**request.common(), signal=request.one()),
    "USER": lambda request: ast.User(**request.common(), user=request.one()),
    "VOLUME": _volume,
    "WORKDIR": lambda request: ast.Workdir(**request.common(), path=request.one()),
}
