"""Parsing: every instruction and flag, forms, continuations, heredocs, directives, errors with their line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.build.dockerfile import (
    Add,
    Arg,
    ArgDecl,
    Cmd,
    CommandLine,
    Copy,
    Dockerfile,
    DockerfileError,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
    parse,
    parse_trigger,
)
from container_kit.errors import LimitExceeded


def one(text: str | bytes) -> Instruction:
    """The instruction *text*, in a stage."""
    start = "FROM scratch\n" if isinstance(text, str) else b"FROM scratch\n"
    [instruction] = parse(start + text).stages[0].instructions  # type: ignore[operator]
    return instruction


def shell(text: str) -> CommandLine:
    return CommandLine((text,), is_shell=True)


def words(*parts: str) -> CommandLine:
    return CommandLine(parts, is_shell=False)


FIELDS = [
    ("RUN echo  a", Run, {"command": shell("echo  a")}),
    ('RUN ["a", "b c"]', Run, {"command": words("a", "b c")}),
    ("RUN ['a']", Run, {"command": shell("['a']")}),
    ("RUN --network=none --security=insecure x", Run, {"network": "none", "security": "insecure"}),
    ("run --mount=type=tmpfs,target=/t --mount=target=/s x", Run, {"command": shell("x")}),
    ("COPY a b /c/", Copy, {"sources": ("a", "b"), "destination": "/c/"}),
    ('COPY ["a b", "/c"]', Copy, {"sources": ("a b",), "destination": "/c"}),
    ("COPY --from=base --chown=1:2 --chmod=u+x a /", Copy, {"from_": "base", "chown": "1:2", "chmod": "u+x"}),
    ("COPY --link --parents --exclude=*.o --exclude=x a /", Copy, {"exclude": ("*.o", "x"), "parents": True}),
    ("COPY --link=false a /", Copy, {"link": False}),
    ("ADD --checksum=sha256:00 http://h/f /", Add, {"checksum": "sha256:00", "unpack": None}),
    ("ADD --keep-git-dir --unpack=false --link a /", Add, {"keep_git_dir": True, "unpack": False}),
    ("ADD --link a /", Add, {"link": True, "unpack": None}),
    ("ENV a=1 b='2 3'", Env, {"pairs": (Pair("a", "1"), Pair("b", "'2 3'"))}),
    ('ENV c="4\\" 5"', Env, {"pairs": (Pair("c", '"4\\" 5"'),)}),
    ("ENV a b  c", Env, {"pairs": (Pair("a", "b  c", legacy=True),)}),
    ("LABEL a.b=c d=", Label, {"pairs": (Pair("a.b", "c"), Pair("d", ""))}),
    ("ARG a b= c=$d", ArgDecl, {"args": (Arg("a", None, 2), Arg("b", "", 2), Arg("c", "$d", 2))}),
    ("EXPOSE 80 81/udp 90-92", Expose, {"ports": ("80", "81/udp", "90-92")}),
    ("VOLUME /a /b", Volume, {"paths": ("/a", "/b")}),
    ('VOLUME ["/a b"]', Volume, {"paths": ("/a b",)}),
    ("USER app:1", User, {"user": "app:1"}),
    ("WORKDIR /a b", Workdir, {"path": "/a b"}),
    ("ENTRYPOINT [ \"/x\" ]", Entrypoint, {"command": words("/x")}),
    ("ENTRYPOINT []", Entrypoint, {"command": words()}),
    ("CMD", Cmd, {"command": CommandLine((), is_shell=True)}),
    ("CMD a b", Cmd, {"command": shell("a b")}),
    ("HEALTHCHECK NONE", Healthcheck, {"command": None}),
    (
        "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=2h --start-interval=3s CMD a",
        Healthcheck,
        {"interval_s": 90.0, "timeout_s": 0.5, "start_period_s": 7200.0, "start_interval_s": 3.0},
    ),
    (
        "HEALTHCHECK --retries=4 CMD a b",
        Healthcheck,
        {"retries": 4, "interval_s": 0.0, "command": shell("a b")},
    ),
    ('HEALTHCHECK CMD ["a"]', Healthcheck, {"command": words("a")}),
    ("STOPSIGNAL SIGINT", Stopsignal, {"signal": "SIGINT"}),
    ('SHELL ["/bin/sh", "-ec"]', Shell, {"words": ("/bin/sh", "-ec")}),
    ("ONBUILD RUN a b", Onbuild, {"trigger": "RUN a b"}),
    ("MAINTAINER a <b@c>", Maintainer, {"name": "a <b@c>"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "fields"), FIELDS, ids=[text[:40] for text, _, _ in FIELDS])
def test_every_instruction_gives_its_fields(text: str, kind: type, fields: dict[str, object]) -> None:
    """Each instruction and flag becomes the value that it means."""
    found = one(text)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in fields} == fields
    assert found.line == 2


WRONG = [
    ("RUNN x", 2, "unknown instruction 'RUNN' (did you mean RUN?)"),
    ("COPY --chwon=1 a b", 2, "no flag --chwon"),
    ("COPY --chwon=1 a b", 2, "(did you mean --chown?)"),
    ("WORKDIR --x=1 a", 2, "it has none"),
    ("COPY a", 2, "needs at least one source and a destination"),
    ("COPY --from=$x a b", 2, "takes no variables"),
    ("COPY --link=maybe a b", 2, "true or false"),
    ("COPY --chown a b", 2, "needs a value"),
    ("COPY --chown=1 --chown=2 a b", 2, "stands here twice"),
    ("COPY <<a/b /x\na/b", 2, "no 'a/b'"),
    ("COPY a <<E\nE", 2, "destination of COPY cannot be a heredoc"),
    ("RUN", 2, "needs a command"),
    ("RUN <<E\nx", 2, "the heredoc 'E' has no end"),
    ("RUN --network=hots x", 2, "did you mean host?"),
    ("RUN --security=x y", 2, "sandbox or insecure"),
    ("RUN --mount=type=cahce,target=/x y", 2, "did you mean cache?"),
    ("RUN --mount=typ=cache,target=/x y", 2, "did you mean type?"),
    ("RUN --mount=from=$x,target=/y z", 2, "takes no variables"),
    ("RUN --mount=type=cache,size=1,target=/x y", 2, "takes no size"),
    ("RUN --mount=type=secret y", 2, "needs an id or a target"),
    ("ENV a", 2, "ENV a has no value"),
    ("ENV a=1 b", 2, "is not key=value"),
    ("ENV =1", 2, "no key before '='"),
    ("ENV", 2, "needs at least one key=value"),
    ("ARG", 2, "needs at least one name"),
    ("ARG =x", 2, "no name before '='"),
    ("EXPOSE", 2, "needs at least one port"),
    ('VOLUME ["a", 1]', 2, "strings only"),
    ("VOLUME", 2, "needs at least one path"),
    ("USER", 2, "exactly one argument"),
    ("SHELL /bin/sh", 2, "SHELL is a JSON list"),
    ("HEALTHCHECK cdm x", 2, "did you mean CMD?"),
    ("HEALTHCHECK CMD", 2, "needs a command"),
    ("HEALTHCHECK NONE x", 2, "takes no arguments"),
    ("HEALTHCHECK --interval=1 CMD x", 2, "is a duration"),
    ("HEALTHCHECK --interval=1us CMD x", 2, "less than 1ms"),
    ("HEALTHCHECK --retries=-1 CMD x", 2, "is a number from 0"),
    ("ONBUILD", 2, "needs an instruction"),
    ("ONBUILD FROM x", 2, "cannot be triggered"),
    ("ONBUILD ONBUILD RUN x", 2, "cannot be triggered"),
    ("ONBUILD RNU x", 2, "did you mean RUN?"),
    ("FROM", 2, "FROM takes an image"),
    ("FROM a b", 2, "FROM takes an image"),
    ("FROM a AS 1x", 2, "begins with a letter"),
    ("FROM a AS b c", 2, "FROM takes an image"),
    ("RUN a \\\n  b\nRUNN", 4, "unknown instruction"),
    ("RUN <<E\nx\nE\nRUNN", 5, "unknown instruction"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "part"), WRONG, ids=[text[:40] for text, _, _ in WRONG])
def test_errors_name_file_line_and_what_was_meant(text: str, line: int, part: str) -> None:
    """A wrong instruction is told with its file, its first line, and a suggestion where there is one."""
    with pytest.raises(DockerfileError) as caught:
        parse(f"FROM scratch\n{text}", name="my.Dockerfile")
    assert part in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("my.Dockerfile", line)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no instructions"),
        ("# only\n\n", "no instructions"),
        ("ARG a\n", "there is no FROM"),
        ("RUN x\nFROM y", "stands before the first FROM"),
        ("# escape=x\nFROM y", "escape is"),
        ("# escape=`\n# escape=`\nFROM y", "stands here twice"),
        ("# check=skp=all\nFROM y", "did you mean skip?"),
        (b"FROM x\nRUN \0", "NUL"),
        ("FROM x".encode("utf-16"), "UTF-16"),
    ],
)
def test_files_that_are_no_dockerfile_are_told(text: str | bytes, part: str) -> None:
    """Files without stages, with wrong directives or in another encoding give an error that says so."""
    with pytest.raises(DockerfileError, match=part):
        parse(text)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read() -> None:
    """A Dockerfile larger than 2 MiB, or of more than 10 000 instructions, is refused."""
    with pytest.raises(LimitExceeded):
        parse(b"FROM x\n" + b"#" * (2 << 20))
    with pytest.raises(DockerfileError, match="more than 10000"):
        parse("FROM x\n" + "RUN x\n" * 10_001)


def test_stages_have_base_name_platform_and_arguments() -> None:
    """FROM lines split the file into stages; ARG before them belongs to the whole file."""
    found = parse(
        "ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V As Build\nRUN x\nFROM build\nFROM scratch as last\n"
    )
    assert found.args == (Arg("V", "1", 1),)
    assert [(stage.index, stage.base, stage.name, stage.platform, stage.line) for stage in found.stages] == [
        (0, "a:$V", "build", "$BUILDPLATFORM", 2),
        (1, "build", None, "", 4),
        (2, "scratch", "last", "", 5),
    ]
    assert [len(stage.instructions) for stage in found.stages] == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN a \\\n  b", "a   b"),
        ("RUN a \\  \t\n# remark\n  # another\n\n  b \\\n\n&& c", "a   b && c"),
        ("RUN a \\\r\nb\r\n", "a b"),
        ("   RUN   a  ", "a"),
        ("RUN a \\\\", "a \\\\"),
        ("RUN a #b", "a #b"),
        ("RUN a \\", "a"),
        ("RUN echo '<<x'", "echo '<<x'"),
    ],
)
def test_continuations_and_comments(text: str, command: str) -> None:
    """Lines that end in the escape go on; comments and empty lines between them count for nothing."""
    found = one(text)
    assert isinstance(found, Run)
    assert found.command == shell(command)


def test_the_escape_directive_changes_continuations() -> None:
    """With ``escape=`` set to a backtick, a backslash at the end of a line is a backslash."""
    [stage] = parse("# escape=`\nFROM x\nRUN a `\n b\nWORKDIR c:\\\n").stages
    run, workdir = stage.instructions
    assert isinstance(run, Run)
    assert isinstance(workdir, Workdir)
    assert run.command == shell("a  b")
    assert workdir.path == "c:\\"


def test_bom_crlf_and_directives() -> None:
    """A byte order mark and CRLF are no part of the text; directives end at the first other line."""
    source = b"\xef\xbb\xbf# syntax = docker/dockerfile:1 \r\n#CHECK=skip=A,B;error=true\r\n"
    source += b"FROM x\r\n# escape=`\r\n"
    found = parse(source)
    assert found.directives.syntax == "docker/dockerfile:1"
    assert found.directives.escape == "\\"
    assert found.directives.check.skip == {"A", "B"}
    assert found.directives.check.error
    assert found.stages[0].base == "x"
    assert parse("#!/usr/bin/env x\n# escape=`\nFROM x").directives.escape == "`"
    assert parse("# a remark\n# escape=`\nFROM x").directives.escape == "\\"


@pytest.mark.parametrize(
    ("text", "heredocs"),
    [
        ("RUN <<E\na $b\nE", [Heredoc(name="E", content="a $b\n")]),
        ("RUN <<-'E' cat\n\t\ta\n\tE", [Heredoc(name="E", content="\t\ta\n", expand=False, strip_tabs=True)]),
        ('RUN <<"a b"\nx\na b', [Heredoc(name="a b", content="x\n", expand=False)]),
        (
            "RUN 3<<A cat <<B\n1\nA\n2\nB",
            [Heredoc(name="A", content="1\n"), Heredoc(name="B", content="2\n")],
        ),
        ("COPY <<f.txt /x\r\na\r\nf.txt\r\n", [Heredoc(name="f.txt", content="a\r\n")]),
        ("RUN <<E\n# no remark\n\nRUN x\nE", [Heredoc(name="E", content="# no remark\n\nRUN x\n")]),
        ("RUN echo 1 << 2", []),
        ("RUN cat <<<x", []),
        ('RUN ["<<E"]', []),
        ("CMD <<E", []),
    ],
)
def test_heredocs(text: str, heredocs: list[Heredoc]) -> None:
    """Heredocs of RUN, COPY and ADD take the lines up to their delimiter, in order, as they stand."""
    found = one(text)
    if isinstance(found, Run):
        assert list(found.heredocs) == heredocs
    elif isinstance(found, Copy):
        assert list(found.documents) == heredocs
    else:
        assert not heredocs


def test_tabs_of_a_dashed_heredoc_do_not_count() -> None:
    """``<<-`` takes the tabs off the beginning of every line, and nothing else."""
    found = one("COPY <<-E /x\n\ta\n\t\t b\tc\n\tE")
    assert isinstance(found, Copy)
    assert found.documents[0].text == "a\n b\tc\n"


def test_triggers_survive_the_way_through_a_config() -> None:
    """An ONBUILD trigger, with its heredoc, is parsed again as the instruction that it was."""
    found = one("ONBUILD COPY --chown=1 <<E /x\nhello\nE\n")
    assert isinstance(found, Onbuild)
    again = parse_trigger(found.trigger)
    assert isinstance(again, Copy)
    assert again.chown == "1"
    assert again.documents[0].text == "hello\n"
    with pytest.raises(DockerfileError, match="one instruction"):
        parse_trigger("RUN a\nRUN b")
    with pytest.raises(DockerfileError, match="cannot be triggered"):
        parse_trigger("FROM a")


def test_bytes_that_are_no_text_survive() -> None:
    """Paths need not be UTF-8: their bytes reach the file system unchanged."""
    found = one(b"COPY a\xff /b\n")
    assert isinstance(found, Copy)
    assert found.sources[0].encode("utf-8", "surrogateescape") == b"a\xff"


LINES = st.sampled_from(
    ["FROM a", "RUN x", "RUN <<E", "E", "COPY a b", "COPY <<E <<F /x", "F", "\\", "# c", "",
     "ONBUILD RUN <<E", 'CMD ["a"', 'CMD ["\\ud800"]', "ENV a=$", "ENV 'a", "--x", "RUN --mount=a",
     "HEALTHCHECK --retries=9 CMD x",
     "ARG", "[" * 2000, "RUN " + "[" * 2000, "\ufeff", "LABEL \"a=b", "# escape=`", "`", "# check=skip=all"]
)  # fmt: skip


@given(st.lists(LINES, max_size=12).map("\n".join) | st.text(max_size=200) | st.binary(max_size=200))
def test_parsing_never_fails_otherwise(source: str | bytes) -> None:
    """Whatever the bytes are, the outcome is a Dockerfile or a DockerfileError with a line."""
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    try:
        found = parse(source)
    except DockerfileError as error:
        assert error.line >= 1
    else:
        assert isinstance(found, Dockerfile)
        for stage in found.stages:
            for instruction in stage.instructions:
                assert 1 <= instruction.line <= instruction.end_line <= source.count(b"\n") + 1


@given(st.text(max_size=80))
def test_triggers_never_fail_otherwise(text: str) -> None:
    """What a config of an image says cannot do more than be refused."""
    with contextlib.suppress(DockerfileError):
        parse_trigger(text.encode("utf-8", "replace").decode())
