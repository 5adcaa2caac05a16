"""Builds written in Python are the same builds."""

from __future__ import annotations

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput
from container_kit.oci.progress import Progress
from tests.build.conftest import Build


@pytest.mark.root
def test_the_same_steps_in_python_are_cached(build: Build, engine: Engine, events: list[Progress]) -> None:
    """What a Dockerfile has done is not done again for the same steps in Python, and the digest is equal."""
    text = 'FROM tools\nENV A="b c"\nWORKDIR /w\nCOPY f ./g\nRUN cat g > h\nCMD ["cat", "h"]'
    first = build(text, {"f": "1"})
    builder = (
        ck.Image.base("tools")
        .env(A="b c")
        .workdir("/w")
        .copy("f", to="./g")
        .run("cat g > h")
        .cmd(["cat", "h"])
    )
    second = builder.build({"f": "1"}, engine=engine, progress=events.append, tag="python:1")

    assert second.digest == first.digest
    assert "done" not in [event.action for event in events if event.step > 1]
    assert ck.run("python:1", engine=engine).stdout == "1"


@pytest.mark.root
def test_builds_use_builds(engine: Engine) -> None:
    """One build can be the base of others, and what they copy from."""
    common = ck.Image.base("tools").run("echo common > /common")
    made = common.run("cat /common > /made && echo more >> /made")
    image = common.copy("/made", to="/taken", from_=made).cmd(["cat", "/taken"]).build(engine=engine)

    assert ck.run(image, engine=engine).stdout == "common\nmore\n"


def test_each_step_is_a_new_value() -> None:
    """A builder that others go on from stays as it is."""
    base = ck.Image.base("tools").run("one")
    two, three = base.run("two"), base.env(X="3")

    steps = [
        [one.source for one in builder.as_dockerfile().stages[-1].instructions]
        for builder in (base, two, three)
    ]
    assert steps == [["RUN one"], ["RUN one", "RUN two"], ["RUN one", "ENV X"]]


@pytest.mark.root
def test_words_mean_themselves_but_for_variables(engine: Engine) -> None:
    """Quotes, backslashes and blanks stay; variables are replaced; an escaped dollar sign is one."""
    builder = ck.Image.base("tools").env(A="x").env(B='it\'s "$A" \\ \\$A').file("/f", "$A 'q'\n")
    image = builder.cmd(["cat", "/f"]).build(engine=engine)

    assert 'B=it\'s "x" \\ $A' in image.config.config.env
    assert ck.run(image, engine=engine).stdout == "$A 'q'\n"


def test_what_a_python_build_has_not_is_refused() -> None:
    """A Dockerfile or a target make no sense beside the steps."""
    with pytest.raises(InvalidInput, match="target"):
        ck.Image.base("tools").build(target="x")


@pytest.mark.root
def test_an_image_that_is_there_can_be_the_base(engine: Engine) -> None:
    """The object stands for itself, with or without a name."""
    unnamed = ck.Image.base("tools").env(A="1").build(engine=engine)

    image = ck.Image.base(unnamed).env(B="2").build(engine=engine)
    assert {"A=1", "B=2"} <= set(image.config.config.env)
