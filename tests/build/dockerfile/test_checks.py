"""Build checks: every rule finds its case with the line, stays silent otherwise, and can be skipped."""

from __future__ import annotations

import pytest

from container_kit.build.dockerfile import (
    DockerfileError,
    IgnoreRules,
    context_checks,
    parse,
    require_none,
    stage_variable_checks,
)

BAD = [  # rule, line, Dockerfile
    ("StageNameCasing", 1, "FROM a AS Build"),
    ("FromAsCasing", 1, "FROM a as build\nRUN x"),
    ("NoEmptyContinuation", 3, "FROM a\nRUN x \\\n\n y"),
    ("ConsistentInstructionCasing", 2, "FROM a\nrun x\nRUN y"),
    ("ConsistentInstructionCasing", 2, "FROM a\nRun x"),
    ("DuplicateStageName", 2, "FROM a AS b\nFROM c AS b"),
    ("ReservedStageName", 1, "FROM a AS scratch"),
    ("JSONArgsRecommended", 2, "FROM a\nCMD x"),
    ("JSONArgsRecommended", 2, "FROM a\nENTRYPOINT x"),
    ("MaintainerDeprecated", 2, "FROM a\nMAINTAINER x"),
    ("UndefinedArgInFrom", 2, "ARG TAG\nFROM a$TGA"),
    ("InvalidDefaultArgInFrom", 2, "ARG TAG\nFROM a:$TAG"),
    ("WorkdirRelativePath", 2, "FROM a\nWORKDIR x"),
    ("MultipleInstructionsDisallowed", 2, 'FROM a\nCMD ["x"]\nCMD ["y"]'),
    ("LegacyKeyValueFormat", 2, "FROM a\nENV x y"),
    ("LegacyKeyValueFormat", 2, "FROM a\nLABEL x y"),
    ("RedundantTargetPlatform", 1, "FROM --platform=$TARGETPLATFORM a"),
    ("SecretsUsedInArgOrEnv", 2, "FROM a\nENV AWS_SECRET=1"),
    ("SecretsUsedInArgOrEnv", 2, "FROM a\nARG token"),
    ("SecretsUsedInArgOrEnv", 1, "ARG DB_PASSWORD\nFROM a"),
    ("FromPlatformFlagConstDisallowed", 1, "FROM --platform=linux/amd64 a AS b"),
    ("InvalidDefinitionDescription", 3, "# check=experimental=all\n# wrong\nFROM a AS b"),
    ("InvalidDefinitionDescription", 4, "# check=experimental=all\nFROM a\n# wrong\nARG x"),
    ("ExposeProtoCasing", 2, "FROM a\nEXPOSE 80/TCP"),
    ("ExposeInvalidFormat", 2, "FROM a\nEXPOSE 127.0.0.1:80:80"),
    ("ExposeInvalidFormat", 2, "FROM a\nEXPOSE 80:80"),
]

GOOD = [
    "FROM a AS build\nRUN x\nFROM build AS last",
    "from a as build\nrun x",
    "FROM a\nRUN x \\\n # remark\n y",
    'FROM a\nSHELL ["/bin/x"]\nCMD x',
    'FROM a\nCMD ["x"]\nFROM b\nCMD ["y"]\nENTRYPOINT []',
    "ARG TAG=1\nFROM a:${TAG}\nFROM b:${NO:-1}",
    "FROM a\nWORKDIR /x\nWORKDIR y\nFROM 0\nWORKDIR z",
    "FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR z",
    "FROM a\nENV PUBLIC_KEY=1 MONKEY=2 AUTHOR=3 TOKENS=4\nLABEL token=x",
    "FROM --platform=$BUILDPLATFORM a\nFROM --platform=linux/arm64 b AS build-arm64",
    "# wrong\nFROM a AS b",
    "# check=experimental=all\n# b does it\nFROM a AS b\n# x says what\nARG x\n\n# no description\n\nARG y",
    "FROM a\nEXPOSE 80 80/tcp 90-92/udp $P",
]


@pytest.mark.parametrize(
    ("rule", "line", "text"), BAD, ids=[f"{rule}-{at}" for at, (rule, _, _) in enumerate(BAD)]
)
def test_each_rule_finds_its_case(rule: str, line: int, text: str) -> None:
    """The rule of that name warns at the line of the instruction."""
    assert (rule, line) in [(warning.rule, warning.line) for warning in parse(text).warnings]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_well_written_gives_no_warning(text: str) -> None:
    """None of the rules finds anything in Dockerfiles that follow them."""
    assert parse(text).warnings == ()


def test_rules_are_skipped_by_name_or_all() -> None:
    """``skip`` leaves out rules by their names."""
    text = "FROM a\nCMD x\nMAINTAINER y"
    assert [each.rule for each in parse(text).warnings] == ["JSONArgsRecommended", "MaintainerDeprecated"]
    assert [each.rule for each in parse(f"# check=skip=JSONArgsRecommended\n{text}").warnings] == [
        "MaintainerDeprecated"
    ]
    assert parse(f"# check=skip=all\n{text}").warnings == ()


def test_warnings_can_be_made_errors() -> None:
    """With ``error=true`` a build does not begin; the error names the first line and every rule."""
    found = parse("# check=error=true\nFROM a\nCMD x\nMAINTAINER y", name="D")
    with pytest.raises(DockerfileError, match="MaintainerDeprecated") as caught:
        require_none(found, found.warnings)
    assert caught.value.line == 3
    require_none(found, ())
    require_none(parse("FROM a\nCMD x"), parse("FROM a\nCMD x").warnings)


def test_variables_of_a_stage() -> None:
    """A variable that neither the base nor the stage declares is told, with the one that was meant."""
    text = "FROM a\nARG VERSION\nENV PATH=$PATH:/x\nCOPY $VERSON /$HTTP_PROXY\nUSER ${U:-x}\n"
    text += "WORKDIR /$HOME$MINE\nENV MINE=1"
    [stage] = parse(text).stages
    warnings, variables = stage_variable_checks(stage, ["HOME"])
    assert [(each.rule, each.line) for each in warnings] == [("UndefinedVar", 4), ("UndefinedVar", 6)]
    assert "did you mean $VERSION?" in warnings[0].message
    assert variables == {"HOME", "PATH", "MINE"}


def test_files_that_the_context_does_not_have() -> None:
    """COPY of a file that the ignore rules leave out is told; patterns and other stages are not looked at."""
    found = parse(
        "FROM a\nCOPY secret/key /\nCOPY --from=b secret /\nADD http://x/secret secret* . /x/\nADD secret /"
    )
    warnings = list(context_checks(found, IgnoreRules.parse("secret")))
    assert [(each.rule, each.line) for each in warnings] == [("CopyIgnoredFile", 2), ("CopyIgnoredFile", 5)]
