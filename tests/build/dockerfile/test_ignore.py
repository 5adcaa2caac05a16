"""Ignore files: the tables of Docker's documentation, order and taking back, bounded time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.build.dockerfile import IgnoreRules
from container_kit.build.dockerfile.patterns import _Automaton, _tokens, path_matcher
from container_kit.errors import InvalidInput, LimitExceeded

TABLE = [  # rules, ignored, not ignored
    ("*/temp*", "somedir/temporary.txt somedir/temp", "temporary.txt a/b/temp"),
    ("*/*/temp*", "somedir/subdir/temporary.txt", "somedir/temporary.txt"),
    ("temp?", "tempa tempb", "temp tempab a/tempa"),
    ("**/*.go", "a.go a/b.go a/b/c.go", "a.goo"),
    ("*.md\n!README.md", "a.md", "README.md"),
    ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", "README.md README-x.md"),
    ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README-secret.md README.md"),
    ("/foo/bar\nfoo2/bar/", "foo/bar foo2/bar foo/bar/x", "foo a/foo/bar"),
    ("**", "a a/b .hidden", ""),
    ("**\n!a/b", "a c", "a/b a/b/c"),
    ("docs\n!docs/README", "docs docs/x docs/a/b", "docs/README"),
    ("a/**", "a/b a/b/c", "a b/a"),
    ("**/a", "a b/a b/c/a", "ab b/ab"),
    ("a/**/b", "a/b a/x/b a/x/y/b", "ab a/xb"),
    ("a/**/*.c", "a/x.c a/b/x.c", "x.c b/a/x.c"),
    ("[a-c]x", "ax bx", "dx"),
    ("[^a-c]x", "dx", "ax"),
    ("a\\*b", "a*b", "aab"),
    ("  spaced  \n\n# remark\n./dot/../dir/", "spaced dir dir/x", "remark dot"),
    (" #x", "#x", "x"),
    (".", "", "a"),
    ("/", "", "a"),
    ("../up", "", "up"),
    ("a.b", "a.b", "aXb"),
    ("!a", "", "a"),
]


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"), TABLE, ids=[rules.replace("\n", " ") for rules, _, _ in TABLE]
)
def test_the_table_of_rules(rules: str, ignored: str, kept: str) -> None:
    """Each set of rules leaves out what Docker's documentation and matcher leave out, and nothing else."""
    parsed = IgnoreRules.parse(rules)
    assert [path for path in ignored.split() if not parsed.ignores(path)] == []
    assert [path for path in kept.split() if parsed.ignores(path)] == []


def test_bom_and_line_ends_do_not_matter() -> None:
    """A file that an editor of Windows saved means the same."""
    assert IgnoreRules.parse(b"\xef\xbb\xbfa\r\nb\r\n").ignores("a")


@pytest.mark.parametrize("rules", ["a[", "!", "a\\", "[b-a]", "[]", "[a-]"])
def test_rules_that_cannot_be_read_are_named(rules: str) -> None:
    """A pattern with an open bracket, a lone ``!`` or backslash is an error that names the file."""
    with pytest.raises(InvalidInput, match=r"x\.dockerignore"):
        IgnoreRules.parse(rules, name="x.dockerignore")


def test_files_of_rules_have_a_limit() -> None:
    """Neither a huge file nor ten thousand rules are taken."""
    with pytest.raises(LimitExceeded):
        IgnoreRules.parse("a" * (2 << 20))
    with pytest.raises(LimitExceeded):
        IgnoreRules.parse("a\n" * 10_001)


PATTERNS = st.lists(st.sampled_from(["*", "**", "/", "a", "b", "?", "[ab]", "**/"]), max_size=7).map("".join)
PATHS = st.text("ab/", max_size=9)


@given(pattern=PATTERNS, path=PATHS)
def test_both_ways_to_match_agree(pattern: str, path: str) -> None:
    """Running all states at once gives what the regular expression gives."""
    tokens = _tokens(pattern, deep=True)
    assert _Automaton(tokens).matches(path) == bool(re.fullmatch("".join(tokens), path))


@given(
    rules=st.lists(st.tuples(st.booleans(), PATTERNS), max_size=5),
    path=st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
)
def test_the_last_rule_that_matches_decides(rules: list[tuple[bool, str]], path: list[str]) -> None:
    """A model that asks every rule about the path and its parents, one after another, agrees."""
    lines = [("!" if take_back else "") + pattern for take_back, pattern in rules if pattern.strip("/")]
    parsed = IgnoreRules.of(lines)
    parents = ["/".join(path[:depth]) for depth in range(1, len(path) + 1)]
    ignored = False
    for rule in parsed.rules:
        if rule.takes_back == ignored and any(rule.matches(parent) for parent in parents):
            ignored = not rule.takes_back
    # A walk knows of a parent only what was asked there; the model is exact without rules that take back.
    if not parsed.take_back:
        assert parsed.ignores("/".join(path)) == ignored


def test_hostile_patterns_end_soon() -> None:
    """Forty stars on a path made for them take their time once, not exponentially."""
    assert not path_matcher("*a" * 40 + "b")("a" * 4000)
    assert not path_matcher("**/a" * 40 + "b")("a/" * 2000)
