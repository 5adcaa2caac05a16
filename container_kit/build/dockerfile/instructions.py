"""The Dockerfile as values: stages, and one class for each instruction, its words still unexpanded.

Plain data without behaviour.

Source: Dockerfile reference; moby/buildkit, frontend/dockerfile/instructions.
"""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = [
    "Add",
    "Arg",
    "ArgDecl",
    "Check",
    "Cmd",
    "CommandLine",
    "Copy",
    "Directives",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expose",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Maintainer",
    "MountFlag",
    "Onbuild",
    "Pair",
    "Run",
    "Shell",
    "Stage",
    "Stopsignal",
    "User",
    "Volume",
    "Warning",
    "Workdir",
]


@attrs.frozen(kw_only=True)
class Heredoc:
    """A document in the Dockerfile.

    Args:
        name: The delimiter without quotes; also the name of the file that COPY makes of it.
        content: Its lines as they stand, each with its line end.
        expand: Whether variables in it are replaced (no part of the delimiter was quoted).
        strip_tabs: It was written ``<<-``: tabs that begin a line do not count.
    """

    name: str
    content: str
    expand: bool = True
    strip_tabs: bool = False

    @property
    def text(self) -> str:
        """The content, without the tabs that do not count."""
        if not self.strip_tabs:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


@attrs.frozen
class CommandLine:
    """What a shell or a program gets.

    Args:
        words: The exec form's words; the one text of the shell form.
        is_shell: Whether it is the shell form.
    """

    words: tuple[str, ...]
    is_shell: bool


@attrs.frozen
class Pair:
    """``key=value`` of ENV or LABEL; *legacy* is the form ``ENV key value``."""

    key: str
    value: str
    legacy: bool = False


@attrs.frozen
class Arg:
    """One declaration of ARG: *default* is None where there is no ``=``."""

    name: str
    default: str | None
    line: int


@attrs.frozen
class MountFlag:
    """The text of a ``--mount=`` of RUN; `parse_mount` makes its meaning of it."""

    text: str


@attrs.frozen(kw_only=True)
class Instruction:
    """What all instructions have.

    Args:
        line: Its first line, from 1.
        end_line: Its last line, with continuations and heredocs.
        source: Its logical line as written, continuations joined, heredocs left out.
        comment: Lines of comment directly above, without ``#``.
    """

    line: int
    end_line: int
    source: str
    comment: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """``RUN``, ``COPY``…"""
        return "ARG" if isinstance(self, ArgDecl) else type(self).__name__.upper()


@attrs.frozen(kw_only=True)
class Run(Instruction):
    """RUN.

    Args:
        heredocs: In their order.  A shell form that is nothing but one heredoc means its text.
    """

    command: CommandLine
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[MountFlag, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    security: Literal["sandbox", "insecure"] = "sandbox"


@attrs.frozen(kw_only=True)
class Copy(Instruction):
    """COPY.

    Args:
        sources: Paths and patterns; heredocs stand in *documents*.
        from_: Stage, number of a stage, image or named context; empty is the build context.
        chmod: Octal or symbolic, unexpanded; empty leaves modes.
    """

    sources: tuple[str, ...]
    destination: str
    documents: tuple[Heredoc, ...] = ()
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Add(Instruction):
    """ADD.

    Args:
        sources: Paths, patterns, URLs and git references; heredocs stand in *documents*.
        checksum: ``sha256:…`` of the one URL, or the commit of the one git reference; or empty.
        unpack: None is the default: archives of the context are unpacked, those of URLs are not.
    """

    sources: tuple[str, ...]
    destination: str
    documents: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    keep_git_dir: bool = False
    checksum: str = ""
    unpack: bool | None = None
    exclude: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Env(Instruction):
    """ENV."""

    pairs: tuple[Pair, ...]


@attrs.frozen(kw_only=True)
class ArgDecl(Instruction):
    """ARG within a stage."""

    args: tuple[Arg, ...]


@attrs.frozen(kw_only=True)
class Label(Instruction):
    """LABEL."""

    pairs: tuple[Pair, ...]


@attrs.frozen(kw_only=True)
class Expose(Instruction):
    """EXPOSE: words like ``80``, ``80/udp`` and ``8000-8010``; expanding one may give several."""

    ports: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Volume(Instruction):
    """VOLUME."""

    paths: tuple[str, ...]


@attrs.frozen(kw_only=True)
class User(Instruction):
    """USER."""

    user: str


@attrs.frozen(kw_only=True)
class Workdir(Instruction):
    """WORKDIR."""

    path: str


@attrs.frozen(kw_only=True)
class Entrypoint(Instruction):
    """ENTRYPOINT."""

    command: CommandLine


@attrs.frozen(kw_only=True)
class Cmd(Instruction):
    """CMD."""

    command: CommandLine


@attrs.frozen(kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK: *command* is None for ``NONE``; times in seconds, 0 means the default."""

    command: CommandLine | None
    interval_s: float = 0.0
    timeout_s: float = 0.0
    start_period_s: float = 0.0
    start_interval_s: float = 0.0
    retries: int = 0


@attrs.frozen(kw_only=True)
class Stopsignal(Instruction):
    """STOPSIGNAL."""

    signal: str


@attrs.frozen(kw_only=True)
class Shell(Instruction):
    """SHELL."""

    words: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Onbuild(Instruction):
    """ONBUILD: *trigger* is the instruction as a text that `parse_trigger` takes."""

    trigger: str


@attrs.frozen(kw_only=True)
class Maintainer(Instruction):
    """MAINTAINER."""

    name: str


@attrs.frozen(kw_only=True)
class Stage:
    """One FROM with all that follows.

    Args:
        index: From 0.
        name: After AS, in lower case; None without.
        base: Image, earlier stage or ``scratch``, unexpanded.
        platform: Of ``--platform``, unexpanded; empty without.
        name_as_written: With the case that the Dockerfile has.
    """

    index: int
    name: str | None
    base: str
    platform: str
    line: int
    source: str
    instructions: tuple[Instruction, ...] = ()
    comment: tuple[str, ...] = ()
    name_as_written: str = ""


@attrs.frozen
class Warning:
    """What a build check found: the rule's name in BuildKit's reference, a sentence, the line from 1."""

    rule: str
    message: str
    line: int


@attrs.frozen
class Check:
    """The ``check`` directive.

    Args:
        skip: Rules that are left out; "all" leaves out every one.
        error: Whether a warning stops the build.
        experimental: Rules, or "all", that only run when they are asked for.
    """

    skip: frozenset[str] = frozenset()
    error: bool = False
    experimental: frozenset[str] = frozenset()


@attrs.frozen
class Directives:
    """Parser directives. *syntax* is only noted: the built-in frontend reads every Dockerfile."""

    syntax: str = ""
    escape: str = "\\"
    check: Check = Check()


@attrs.frozen(kw_only=True)
class Dockerfile:
    """A whole Dockerfile.

    Args:
        args: Those before the first FROM.
        warnings: What the build checks found that need nothing but the file; without those that are skipped.
    """

    name: str
    directives: Directives
    args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    warnings: tuple[Warning, ...] = ()
