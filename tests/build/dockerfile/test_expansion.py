"""Variables: every modifier, quotes and escapes, words, budgets; and which instruction expands what."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.build.dockerfile import (
    ArgDecl,
    Copy,
    DockerfileError,
    Env,
    Expose,
    Run,
    evaluate,
    expand,
    expand_document,
    expand_words,
    mounts_of,
    parse,
)

ENV = {
    "a": "A",
    "sp": "x  y",
    "empty": "",
    "path": "/one/two/three.tar.gz",
    "foo": "foobarbaz",
    "star": "a*b",
    "_": "U",
}

TEXTS = [
    ("$a", "A"), ("${a}b", "Ab"), ("$ab", ""), ("$a$a", "AA"), ("$", "$"), ("a$", "a$"), ("$ a", "$ a"),
    ("$_", "U"), ("$1x", "x"), ("$10x", "x"), ("$#", ""), ("$-", ""), ("$é", ""),
    ("\\$a", "$a"), ("\\\\$a", "\\A"), ("'$a'", "$a"), ('"$a"', "A"), ("'\\$a'", "\\$a"), ('"\\$a"', "$a"),
    ('"\\n"', "\\n"), ("\\n", "n"),
    ('"a\'b"', "a'b"), ("'a\"b'", 'a"b'), ('""', ""), ("a\\", "a"), ("a\\ b", "a b"),
    ("${a:-x}", "A"), ("${empty:-x}", "x"), ("${empty-x}", ""), ("${no:-x}", "x"), ("${no-x}", "x"),
    ("${no:-}", ""),
    ("${a:+x}", "x"), ("${empty:+x}", ""), ("${empty+x}", "x"), ("${no:+x}", ""), ("${no+x}", ""),
    ("${a:?m}", "A"), ("${empty?m}", ""),
    ("${no:-$a}", "A"), ("${no:-${nope:-$sp}}", "x  y"), ("${no:-'$a'}", "$a"), ("${no:-\\}}", "}"),
    ("${path#*/}", "one/two/three.tar.gz"), ("${path##*/}", "three.tar.gz"),
    ("${path%.*}", "/one/two/three.tar"), ("${path%%.*}", "/one/two/three"),
    ("${foo#f*b}", "arbaz"), ("${foo##f*b}", "az"), ("${foo%b*}", "foobar"), ("${foo%%b*}", "foo"),
    ("${foo#x}", "foobarbaz"), ("${foo#?}", "oobarbaz"), ("${foo%?}", "foobarba"), ("${foo##*}", ""),
    ("${foo/ba/fo}", "foofor" + "baz"), ("${foo//ba/fo}", "fooforfoz"), ("${foo//o/}", "fbarbaz"),
    ("${foo/b*/X}", "fooX"), ("${foo/?/X}", "Xoobarbaz"), ("${path//\\//-}", "-one-two-three.tar.gz"),
    ("${star/\\*/x}", "axb"), ("${star#a\\*}", "b"), ("${no/a/b}", ""), ("${foo/ba/$a}", "fooArbaz"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meaning"), TEXTS, ids=[text for text, _ in TEXTS])
def test_modifiers_quotes_and_escapes(text: str, meaning: str) -> None:
    """Each form gives what BuildKit's documentation and a POSIX shell say."""
    assert expand(text, ENV) == meaning


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${a", "unknown modifier ''"), ("${", "'}' is missing"), ("${}", "no name"), ("${:-x}", "no name"),
        ("${{a}}", "no name"), ("${a;x}", "unknown modifier ';'"), ("${a:x}", "unknown modifier ':x'"),
        ("${a:-x", "ends before the '}'"), ("'a", "single quote"), ('"a', "double quote"),
        ("${foo/a}", "ends before"),
        ("${no:?say so}", "no: say so"), ("${no?}", "no: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"), ("${foo#\\x}", "is no escape"),
        ("${a:-" * 70 + "}" * 70, "within each other"),
    ],
)  # fmt: skip
def test_what_cannot_be_expanded_is_told(text: str, part: str) -> None:
    """Open quotes and braces, unknown modifiers and required variables are errors that name them."""
    with pytest.raises(DockerfileError, match=re.escape(part)):
        expand(text, ENV)


def test_the_other_escape() -> None:
    """With a backtick as escape, a backslash is a letter like any other."""
    assert expand("c:\\$a`$a", ENV, escape="`") == "c:\\A$a"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("$sp", ["x", "y"]), ('"$sp"', ["x  y"]), ("$no", []), ("a$sp", ["ax", "y"]), ("a b", ["a", "b"]),
     ("a\\ b", ["a b"])],
)  # fmt: skip
def test_words_split_after_expansion_unless_quoted(text: str, meaning: list[str]) -> None:
    """A variable with blanks gives several words, a quoted one gives one."""
    assert expand_words(text, ENV) == meaning


def test_documents_keep_their_quotes() -> None:
    """In a heredoc quotes are text and a backslash takes a dollar's meaning."""
    assert expand_document("'$a' \"${no:-x}\" \\$a\n", ENV) == "'A' \"x\" $a\n"


PIECES = st.lists(st.sampled_from(["a", "b", "*", "?", "ab"]), max_size=6).map("".join)


@given(value=st.text("ab", max_size=10), pattern=PIECES)
def test_cutting_agrees_with_trying_every_length(value: str, pattern: str) -> None:
    """``#`` and ``%`` cut the shortest match, ``##`` and ``%%`` the longest, of all that a glob allows."""
    starts = [end for end in range(len(value) + 1) if fnmatch.fnmatchcase(value[:end], pattern)]
    ends = [at for at in range(len(value) + 1) if fnmatch.fnmatchcase(value[at:], pattern)]
    env = {"v": value}
    assert expand(f"${{v#{pattern}}}", env) == value[min(starts, default=0) :]
    assert expand(f"${{v##{pattern}}}", env) == value[max(starts, default=0) :]
    assert expand(f"${{v%{pattern}}}", env) == value[: max(ends, default=len(value))]
    assert expand(f"${{v%%{pattern}}}", env) == value[: min(ends, default=len(value))]


@given(st.text(max_size=60))
def test_expanding_never_fails_otherwise(text: str) -> None:
    """Whatever the text is, the outcome is a text or a DockerfileError."""
    try:
        assert isinstance(expand(text, ENV), str)
    except DockerfileError as error:
        assert error.reason


@given(st.text("ab$\\'\" ", max_size=20))
def test_single_quotes_make_anything_literal(text: str) -> None:
    """A text without single quotes, put between them, expands to itself."""
    literal = text.replace("'", "")
    assert expand(f"'{literal}'", ENV) == literal


def test_hostile_patterns_and_values_end_soon() -> None:
    """A pattern made to backtrack ends, and so does a value that doubles with every use."""
    expand("${v//" + "*a" * 60 + "b/x}", {"v": "a" * 4000})
    expand("${v#" + "*a" * 60 + "b}", {"v": "a" * 16_000})
    with pytest.raises(DockerfileError, match="more than"):
        expand("$v" * 3, {"v": "x" * (1 << 19)})
    with pytest.raises(DockerfileError, match="characters only"):
        expand("${v#x}", {"v": "x" * 20_000})


def test_evaluation_expands_what_is_the_builders() -> None:
    """Paths, users, ports and pairs are expanded; commands are left to the shell; errors have the line."""
    text = "FROM x\nCOPY --chown=$a <<E <<'F' $sp /${a}\n$a\nE\n$a\nF\nRUN $a\nENV k=$a $a=1\n"
    text += "EXPOSE $sp\nARG q=$a\nUSER ${no?}\n"
    copy, run, env, expose, arg, user = parse(text).stages[0].instructions
    copied = evaluate(copy, ENV)
    assert isinstance(copied, Copy)
    assert (copied.chown, copied.destination, copied.sources) == ("A", "/A", ("x  y",))
    assert [document.text for document in copied.documents] == ["A\n", "$a\n"]
    assert evaluate(run, ENV) == run
    declared = evaluate(env, ENV)
    assert isinstance(declared, Env)
    assert [(pair.key, pair.value) for pair in declared.pairs] == [("k", "A"), ("A", "1")]
    ports = evaluate(expose, ENV)
    assert isinstance(ports, Expose)
    assert ports.ports == ("x", "y")
    args = evaluate(arg, ENV)
    assert isinstance(args, ArgDecl)
    assert args.args[0].default == "A"
    with pytest.raises(DockerfileError) as caught:
        evaluate(user, ENV, file="D")
    assert (caught.value.file, caught.value.line) == ("D", 11)


def test_mounts_are_resolved_with_their_variables() -> None:
    """A mount's values are expanded before they are checked; its flags have the defaults of its type."""
    text = "FROM x\nRUN --mount=type=cache,id=$a,target=/c,sharing=locked,mode=0700,uid=1 \
--mount=type=secret,id=s,env=S,required --mount=type=tmpfs,size=1.5m,dst=/t --mount=source=/x,target=/y,rw \
--mount=type=ssh,mode=0600 x\n"
    [run] = parse(text).stages[0].instructions
    assert isinstance(run, Run)
    cache, secret, tmpfs, bind, ssh = mounts_of(run, ENV)
    assert (cache.id, cache.sharing, cache.mode, cache.uid, cache.read_only) == (
        "A",
        "locked",
        0o700,
        1,
        False,
    )
    assert (secret.env, secret.required, secret.read_only) == ("S", True, True)
    assert (tmpfs.size_bytes, tmpfs.target) == (3 << 19, "/t")
    assert (bind.type, bind.read_only, bind.source) == ("bind", False, "/x")
    assert (ssh.type, ssh.mode) == ("ssh", 0o600)
    [broken] = parse("FROM x\nRUN --mount=type=$a,target=/x y").stages[0].instructions
    assert isinstance(broken, Run)
    with pytest.raises(DockerfileError, match="type is bind") as caught:
        mounts_of(broken, ENV)
    assert caught.value.line == 2
