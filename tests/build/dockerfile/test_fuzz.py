"""Mutated Dockerfiles, words and ignore files: each is understood or refused, none is anything else."""

from __future__ import annotations

import random

import pytest

from container_kit.build.dockerfile import (
    Dockerfile,
    DockerfileError,
    IgnoreRules,
    evaluate,
    expand_words,
    parse,
    parse_trigger,
    stage_variable_checks,
)
from container_kit.errors import InvalidInput
from tests.build.dockerfiles import EQUAL, EXPECTED

CORPUS = [
    f"FROM base AS first\n{text}\n" for text in (*EQUAL.values(), *(text for text, _ in EXPECTED.values()))
]
PIECES = ["\\", "\n", "\\\n", "<<", "<<-E", "E\n", '"', "'", "$", "${", "}", ":-", "##", "/", "[", "]",
          '["', "--", "=", "\r", "\t", "\0", "\ufeff", "#", "# escape=`\n", "`",
          "**", "!", "\udc80", "é", "ONBUILD ", "COPY ", "FROM "]  # fmt: skip


def mutated(rng: random.Random) -> str:
    """One of the corpus with some pieces put in, left out, repeated, or replaced by those of another."""
    text = rng.choice(CORPUS)
    for _ in range(rng.randint(1, 6)):
        at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[min(end, at + 9) :]
            case 2:
                text = text[:end] + text[at:]
            case _:
                other = rng.choice(CORPUS)
                text = text[:at] + other[rng.randrange(len(other)) :][:30] + text[end:]
        text = text[:4000]
    return text


def tried(text: str) -> None:
    env = {"a": "x y", "b": "", "c": "*" * 9}
    try:
        found: Dockerfile | None = parse(text)
    except DockerfileError:
        found = None
    for stage in found.stages if found else ():
        stage_variable_checks(stage, env)
        for instruction in stage.instructions:
            try:
                evaluate(instruction, env)
            except DockerfileError as error:
                assert error.line == instruction.line
    for line in text.split("\n")[:4]:
        for function in (parse_trigger, lambda text: expand_words(text, env)):
            try:
                function(line)
            except DockerfileError:
                continue
        try:
            IgnoreRules.parse(line).ignores("a/b/c.d")
        except InvalidInput:
            continue


@pytest.mark.parametrize("seed", range(4))
def test_mutations_are_understood_or_refused(seed: int) -> None:
    """No mutation makes anything but a Dockerfile, a DockerfileError or an InvalidInput of a pattern."""
    rng = random.Random(seed)
    for _ in range(300):
        tried(mutated(rng))


@pytest.mark.trial
def test_many_mutations(request: pytest.FixtureRequest) -> None:
    """The same for fifty thousand; the seed of a failure is in its message."""
    for seed in range(50_000):
        try:
            tried(mutated(random.Random(seed)))
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}")
