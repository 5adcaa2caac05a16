"""Builds in Python: ``ck.Image.base("debian").run("make").env(A="b").build(tag="app")``.

The same instructions, graph and cache as a Dockerfile's; each call gives a new value and changes none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.build import dockerfile as ast
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import Image

__all__ = ["ImageBuilder"]

_NAME = "python"


@attrs.frozen(eq=False)
class ImageBuilder:
    """An image that is not built yet; made by `Image.base`.

    ``$NAME`` and ``${NAME}`` in the words of `env`, `copy`, `add`, `label`, `user`, `workdir`, `volume` and
    `expose` are replaced as in a Dockerfile; ``\\\\$`` is a dollar sign.
    """

    _base: str | ImageBuilder
    _platform: str = ""
    _steps: tuple[tuple[ast.Instruction, tuple[ImageBuilder, ...]], ...] = ()

    def run(
        self,
        command: str | Iterable[str],
        *,
        mounts: Iterable[str] = (),
        network: str = "default",
        security: str = "sandbox",
    ) -> ImageBuilder:
        """RUN: a text for the shell, or the words of a program.

        Args:
            mounts: As after ``RUN --mount=``: ``type=cache,target=/root/.cache``.
            network: ``default``, ``none`` or ``host``.
            security: ``sandbox`` or ``insecure``.
        """
        flags = tuple(ast.MountFlag(text) for text in mounts)
        line, shown = _command(command)
        return self._with(
            ast.Run, f"RUN {shown}", command=line, mounts=flags, network=network, security=security
        )

    def copy(
        self,
        *sources: str | os.PathLike[str],
        to: str,
        from_: str | ImageBuilder | None = None,
        chown: str = "",
        chmod: str = "",
        link: bool = False,
        parents: bool = False,
        exclude: Iterable[str] = (),
    ) -> ImageBuilder:
        """COPY from the context of `build`, an image or named context, or another build (*from_*)."""
        words = tuple(_word(source) for source in sources)
        stage = (from_,) if isinstance(from_, ImageBuilder) else ()
        return self._with(
            ast.Copy,
            f"COPY {' '.join(words)} {to}",
            stages=stage,
            sources=words,
            destination=_word(to),
            from_=from_ if isinstance(from_, str) else "",
            chown=_word(chown),
            chmod=_word(chmod),
            link=link,
            parents=parents,
            exclude=tuple(exclude),
        )

    def file(self, path: str, content: str | bytes, *, chown: str = "", chmod: str = "") -> ImageBuilder:
        """A file with this text."""
        text = content.decode() if isinstance(content, bytes) else content
        document = ast.Heredoc(name=os.path.basename(path) or "file", content=text, expand=False)
        return self._with(
            ast.Copy,
            f"COPY <<{document.name} {path}",
            sources=(),
            documents=(document,),
            destination=_word(path),
            chown=_word(chown),
            chmod=_word(chmod),
        )

    def add(
        self,
        *sources: str,
        to: str,
        checksum: str = "",
        chown: str = "",
        chmod: str = "",
        link: bool = False,
        unpack: bool | None = None,
        keep_git_dir: bool = False,
    ) -> ImageBuilder:
        """ADD: files of the context, archives, URLs, git repositories."""
        words = tuple(_word(source) for source in sources)
        return self._with(
            ast.Add,
            f"ADD {' '.join(words)} {to}",
            sources=words,
            destination=_word(to),
            checksum=checksum,
            chown=_word(chown),
            chmod=_word(chmod),
            link=link,
            unpack=unpack,
            keep_git_dir=keep_git_dir,
        )

    def env(self, variables: Mapping[str, str] | None = None, /, **more: str) -> ImageBuilder:
        """ENV."""
        return self._with_pairs(ast.Env, "ENV", {**(variables or {}), **more})

    def arg(self, name: str, default: str | None = None) -> ImageBuilder:
        """ARG."""
        value = None if default is None else _word(default)
        shown = f"ARG {name}" if default is None else f"ARG {name}={default}"
        return self._with(ast.ArgDecl, shown, args=(ast.Arg(name, value, len(self._steps) + 2),))

    def label(self, labels: Mapping[str, str] | None = None, /, **more: str) -> ImageBuilder:
        """LABEL."""
        return self._with_pairs(ast.Label, "LABEL", {**(labels or {}), **more})

    def workdir(self, path: str) -> ImageBuilder:
        """WORKDIR."""
        return self._with(ast.Workdir, f"WORKDIR {path}", path=_word(path))

    def user(self, user: str | int) -> ImageBuilder:
        """USER."""
        return self._with(ast.User, f"USER {user}", user=_word(str(user)))

    def expose(self, *ports: str | int) -> ImageBuilder:
        """EXPOSE."""
        words = tuple(str(port) for port in ports)
        return self._with(ast.Expose, f"EXPOSE {' '.join(words)}", ports=words)

    def volume(self, *paths: str) -> ImageBuilder:
        """VOLUME."""
        return self._with(ast.Volume, f"VOLUME {' '.join(paths)}", paths=tuple(_word(path) for path in paths))

    def cmd(self, command: str | Iterable[str]) -> ImageBuilder:
        """CMD."""
        line, shown = _command(command)
        return self._with(ast.Cmd, f"CMD {shown}", command=line)

    def entrypoint(self, command: str | Iterable[str]) -> ImageBuilder:
        """ENTRYPOINT."""
        line, shown = _command(command)
        return self._with(ast.Entrypoint, f"ENTRYPOINT {shown}", command=line)

    def shell(self, *words: str) -> ImageBuilder:
        """SHELL."""
        return self._with(ast.Shell, f"SHELL {' '.join(words)}", words=words)

    def stopsignal(self, signal: str) -> ImageBuilder:
        """STOPSIGNAL."""
        return self._with(ast.Stopsignal, f"STOPSIGNAL {signal}", signal=signal)

    def healthcheck(
        self,
        command: str | Iterable[str] | None,
        *,
        interval_s: float = 0.0,
        timeout_s: float = 0.0,
        start_period_s: float = 0.0,
        start_interval_s: float = 0.0,
        retries: int = 0,
    ) -> ImageBuilder:
        """HEALTHCHECK; None switches one of the base off."""
        line, shown = (None, "NONE") if command is None else _command(command)
        return self._with(
            ast.Healthcheck,
            f"HEALTHCHECK {shown}",
            command=line,
            interval_s=interval_s,
            timeout_s=timeout_s,
            start_period_s=start_period_s,
            start_interval_s=start_interval_s,
            retries=retries,
        )

    def onbuild(self, trigger: str) -> ImageBuilder:
        """ONBUILD."""
        ast.parse_trigger(trigger)
        return self._with(ast.Onbuild, f"ONBUILD {trigger}", trigger=trigger)

    def build(self, context: Any = None, *, engine: Engine | None = None, **arguments: Any) -> Image:
        """Build it; see `Image.build` for the arguments, of which *dockerfile* and *target* have no meaning.

        Args:
            context: What `copy` and `add` read; None for nothing.
        """
        from container_kit.build.building import build_from

        for name in ("dockerfile", "target"):
            if name in arguments:
                raise InvalidInput(f"{name} has no meaning for a build that is written in Python")
        return build_from(self.as_dockerfile(), context, engine=engine, **arguments)

    def as_dockerfile(self) -> ast.Dockerfile:
        """The same as a Dockerfile would be read; the builds that it uses are its first stages."""
        builders = list(_in_order(self, set()))
        names = {id(builder): f"stage-{at}" for at, builder in enumerate(builders)}
        stages = tuple(builder._stage(at, names) for at, builder in enumerate(builders))
        return ast.Dockerfile(name=_NAME, directives=ast.Directives(), args=(), stages=stages)

    @property
    def _used(self) -> tuple[ImageBuilder, ...]:
        """The builds that it needs, directly."""
        below = (self._base,) if isinstance(self._base, ImageBuilder) else ()
        return (*below, *(stage for _, stages in self._steps for stage in stages))

    def _stage(self, index: int, names: Mapping[int, str]) -> ast.Stage:
        base = names[id(self._base)] if isinstance(self._base, ImageBuilder) else _word(self._base)
        return ast.Stage(
            index=index,
            name=names[id(self)],
            base=base,
            platform=self._platform,
            line=1,
            source=f"FROM {base}",
            instructions=tuple(_placed(step, stages, names) for step, stages in self._steps),
        )

    def _with_pairs(self, kind: type[ast.Instruction], word: str, values: Mapping[str, str]) -> ImageBuilder:
        pairs = tuple(ast.Pair(key, _word(str(value))) for key, value in values.items())
        return self._with(kind, f"{word} {' '.join(values)}", pairs=pairs)

    def _with(
        self,
        kind: type[ast.Instruction],
        source: str,
        *,
        stages: tuple[ImageBuilder, ...] = (),
        **fields: Any,
    ) -> ImageBuilder:
        line = len(self._steps) + 2  # FROM is the first
        step = kind(line=line, end_line=line, source=source, **fields)
        return attrs.evolve(self, steps=(*self._steps, (step, stages)))


def _placed(
    step: ast.Instruction, stages: tuple[ImageBuilder, ...], names: Mapping[int, str]
) -> ast.Instruction:
    return attrs.evolve(step, from_=names[id(stages[0])]) if stages else step  # type: ignore[call-arg]


def _in_order(builder: ImageBuilder, seen: set[int]) -> Iterator[ImageBuilder]:
    """What it needs before itself; builds cannot form a circle, since each is made of earlier values."""
    if id(builder) in seen:
        return
    seen.add(id(builder))
    for used in builder._used:
        yield from _in_order(used, seen)
    yield builder


def _command(command: str | Iterable[str]) -> tuple[ast.CommandLine, str]:
    """The command line, and how it is shown."""
    if isinstance(command, str):
        return ast.CommandLine((command,), True), command
    words = tuple(command)
    return ast.CommandLine(words, False), " ".join(words)


def _word(text: str | os.PathLike[str]) -> str:
    """A word that is to be expanded: only variables mean something in it, and ``\\\\$`` is a dollar sign."""
    found, skip = [], False
    given = os.fspath(text)
    for at, letter in enumerate(given):
        if skip:
            skip = False
        elif letter == "\\" and given[at + 1 : at + 2] == "$":
            found.append("\\$")
            skip = True
        else:
            found.append(f"\\{letter}" if letter in "\\'\"" else letter)
    return "".join(found)
