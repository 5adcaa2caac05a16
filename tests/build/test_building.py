"""Whole builds: what instructions make of a base, and what is done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.build.dockerfile import DockerfileError
from container_kit.containers.engine import Engine
from container_kit.oci.progress import Progress
from tests.build.conftest import Build, actions

pytestmark = pytest.mark.root


def output(image: ck.Image, command: str, engine: Engine) -> str:
    result = ck.run(image, ["/bin/sh", "-c", command], engine=engine)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout)


def test_instructions_make_an_image_that_runs(build: Build, engine: Engine) -> None:
    """FROM, ARG, ENV, WORKDIR, COPY, RUN, USER, LABEL, EXPOSE and CMD do what they say."""
    image = build(
        """
        ARG BASE=tools
        FROM $BASE AS first
        ARG WHO=nobody
        ENV GREETING="hello $WHO"
        WORKDIR /work/here
        COPY a.txt ./
        RUN echo "$GREETING" > said && cat a.txt >> said
        FROM tools
        COPY --from=first /work/here/said /said
        LABEL a=b c="d e"
        EXPOSE 80 90/udp
        USER 12:34
        VOLUME /data
        STOPSIGNAL SIGINT
        CMD ["cat", "/said"]
        """,
        {"a.txt": "from the context\n"},
        build_args={"WHO": "world"},
        tag="said:1",
    )

    assert ck.run("said:1", engine=engine).stdout == "hello world\nfrom the context\n"
    config = image.config.config
    assert (config.user, config.labels, config.cmd) == ("12:34", {"a": "b", "c": "d e"}, ("cat", "/said"))
    assert config.exposed_ports == ("80/tcp", "90/udp")
    assert (config.volumes, config.stop_signal) == (("/data",), "SIGINT")
    assert "GREETING=hello world" not in config.env
    assert "said:latest" not in image.names and "said:1" in image.names


def test_histories_are_written_as_buildkit_does(build: Build) -> None:
    """Programs that read histories find the forms that they know, and layers where they stand."""
    image = build('FROM tools\nARG V=1\nRUN echo $V > /v\nENV A=b\nCMD cat /v\nENTRYPOINT ["x"]')

    steps = [(step.created_by, step.empty_layer) for step in image.config.history[1:]]
    assert steps == [
        ("ARG V=1", True),
        ("RUN |1 V=1 /bin/sh -c echo $V > /v # buildkit", False),
        ("ENV A=b", True),
        ('CMD ["/bin/sh" "-c" "cat /v"]', True),
        ('ENTRYPOINT ["x"]', True),
    ]
    assert {step.comment for step in image.config.history[1:]} == {"buildkit.dockerfile.v0"}


def test_a_second_build_does_nothing_again(build: Build, events: list[Progress]) -> None:
    """With equal inputs every step comes from the cache and the digest is the same."""
    text = "FROM tools\nWORKDIR /w\nCOPY . .\nRUN cat a > b"
    first = build(text, {"a": "1"})
    second = build(text, {"a": "1"}, progress=events.append)

    assert first.digest == second.digest
    assert {event.action for event in events if event.step > 1} == {"start", "cached"}


def test_only_what_changed_is_done_again(build: Build, events: list[Progress]) -> None:
    """A step whose inputs are the same is not repeated, whatever was added before it."""
    build("FROM tools\nRUN echo 1 > /one\nCOPY a /a", {"a": "1"})
    build("FROM tools\nLABEL x=y\nRUN echo 1 > /one\nCOPY a /a", {"a": "2"}, progress=events.append)

    assert actions(events, "RUN") == ["cached"]
    assert actions(events, "COPY") == ["done"]


def test_times_of_files_change_nothing(engine: Engine, tmp_path: Path, events: list[Progress]) -> None:
    """A file that was only touched is no other input, and equal contexts at two paths give one digest."""
    digests = set()
    for at, name in enumerate(("here", "there")):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "a").write_text("1")
        os.utime(directory / "a", (1000 + at, 1000 + at))
        (directory / "Dockerfile").write_text("FROM tools\nCOPY a /a\nRUN cat /a > /b\n")
        image = ck.Image.build(directory, engine=engine, no_cache=True)
        digests.add(image.digest)
        again = ck.Image.build(directory, engine=engine, progress=events.append)
        assert again.digest == image.digest

    assert len(digests) == 1
    assert set(actions(events, "COPY")) == {"cached"}


def test_a_failed_command_is_told_with_its_line_and_output(build: Build) -> None:
    """The error has the line of the Dockerfile, the command, its last output and its exit code."""
    with pytest.raises(ck.BuildFailed) as caught:
        build("FROM tools\n\nRUN echo one; \\\n    echo two >&2; exit 3")

    error = caught.value
    assert (error.line, error.exit_code, error.output) == (3, 3, ("one", "two"))
    assert error.command[:2] == ("/bin/sh", "-c")
    for part in ("Dockerfile:3", "exit code 3", "two"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("FROM tools\nRUNN x", 2, ["RUNN", "did you mean RUN"]),
        ("FROM tools\nCOPY --chwon=1 a b", 2, ["chwon", "chown"]),
        ("FROM tools\nCOPY missing.txt /", 2, ["missing.txt"]),
        ("FROM tools AS a\nCOPY --from=a /x /y", 2, ["circle"]),
        ("FROM tools AS a\nCOPY --from=b /x /y\nFROM tools AS b\nCOPY --from=a /x /y", 2, ["circle"]),
        ("FROM tools AS a\nCOPY --from=b /x /y\nFROM tools AS b", 2, ["after it"]),
        ("FROM tools:$TAG", 1, ["TAG", "nobody has set"]),
        ("ARG IMAGE\nFROM $IMAGE", 2, ["IMAGE", "nobody has set"]),
        ("FROM tools\nEXPOSE x", 2, ["no port"]),
        ("FROM tools\nSTOPSIGNAL SIGNOTHING", 2, ["no signal"]),
        ("FROM tools\nRUN --network=host true", 2, ["network.host"]),
        ("FROM tools\nRUN --security=insecure true", 2, ["security.insecure"]),
        ("FROM tools\nRUN --mount=type=secret,id=a,required=true true", 2, ["secret", "'a'"]),
        ("FROM tools\nRUN --mount=type=bind,source=nothing,target=/x true", 2, ["nothing"]),
        ("FROM tools\nUSER nobody-there\nRUN true", 3, ["nobody-there"]),
        ('FROM tools\nRUN ["no-such-program"]', 2, ["no-such-program", "127"]),
    ],
)
def test_bad_input_is_told_with_its_line(build: Build, text: str, line: int, words: list[str]) -> None:
    """Every error of a Dockerfile names the line and what is wrong with it."""
    with pytest.raises((ck.BuildFailed, DockerfileError)) as caught:
        build(text)

    assert caught.value.line == line
    for word in words:
        assert word in str(caught.value)


def test_a_target_that_is_not_there_is_told_with_those_that_are(build: Build) -> None:
    """The error lists the stages and suggests the nearest."""
    with pytest.raises(DockerfileError, match=r"'biuld'.*build.*did you mean build"):
        build("FROM tools AS build\nFROM tools AS run", target="biuld")


def test_the_start_of_an_id_is_no_base(build: Build) -> None:
    """FROM cafe means the image of that name: never whichever image has an id that begins so."""
    base = build("FROM tools\nENV A=1")
    digits = base.id.hex
    assert build(f"FROM {digits[:12]}\nENV B=2").config.config.env[-2:] == ("A=1", "B=2")
    for line in (f"FROM {digits[:4]}", f"FROM tools\nCOPY --from={digits[:4]} /bin/sh /x"):
        with pytest.raises(ck.BuildFailed, match="it is not here"):
            build(line)


def test_a_base_for_another_platform_is_named(build: Build) -> None:
    """The image is here, so it is not said to be missing: for which platform it is, and which was wanted."""
    with pytest.raises(ck.BuildFailed, match=r"that is here is for linux/\S+, not linux/s390x, and another"):
        build("FROM tools", platform="linux/s390x")


def test_a_network_that_is_not_known_is_refused_with_those_that_are(build: Build) -> None:
    """An argument's error is one of ours."""
    with pytest.raises(ck.InvalidInput, match="network='bridge' is not known: use default, none, host"):
        build("FROM tools", network="bridge")


def test_a_misspelt_stage_is_told_with_the_one_that_was_meant(build: Build) -> None:
    """What is no stage is taken for an image, and a registry's answer would say nothing of the slip."""
    with pytest.raises(ck.BuildFailed, match=r"no stage named 'biuld': did you mean 'build'.*no image named"):
        build("FROM tools AS build\nFROM tools\nCOPY --from=biuld /x /y")


def test_build_arguments_that_nothing_declares_are_told(build: Build, events: list[Progress]) -> None:
    """A misspelt argument would change nothing, without a word."""
    given = {"VERSON": "1", "BASE": "tools", "HTTP_PROXY": "x", "BUILDKIT_ANY": "1", "SOURCE_DATE_EPOCH": "0"}
    build("ARG BASE=x\nFROM $BASE\nARG VERSION", build_args=given, progress=events.append)

    told = [event.message for event in events if event.action == "warning"]
    assert told == [
        "build argument 'VERSON' is not used: no ARG of Dockerfile declares it (did you mean VERSION?)"
    ]
