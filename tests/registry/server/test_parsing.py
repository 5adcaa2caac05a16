"""Paths, ranges, scopes and hosts: what strangers write, read in one way or not at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.oci import Digest
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.handle_lists import page_of
from container_kit.registry.server.ranges import parse_chunk, parse_range, received
from container_kit.registry.server.routes import parse_route
from container_kit.registry.server.tokens import parse_scopes

NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
names = st.from_regex(NAME, fullmatch=True).filter(lambda name: len(name) < 200)
tags = st.from_regex(re.compile(r"\w[\w.-]{0,20}", re.ASCII), fullmatch=True)


@given(names, tags)
def test_every_name_has_a_route(name: str, tag: str) -> None:
    """A repository with any valid name, even one made of the protocol's own words, is found."""
    route = parse_route(f"/v2/{name}/manifests/{tag}")
    assert (route.endpoint, route.repository, route.tag) == ("manifest", name, tag)
    digest = Digest.of(name.encode())
    assert parse_route(f"/v2/{name}/blobs/{digest}").digest == digest
    assert parse_route(f"/v2/{name}/blobs/uploads/").repository == name
    assert parse_route(f"/v2/{name}/tags/list").repository == name


@given(
    st.text(alphabet="abA0./_-%2eE:@\\\0\n~é", max_size=40), st.sampled_from(["tags/list", "manifests/x", ""])
)
def test_no_other_name_has_one(middle: str, rest: str) -> None:
    """Whatever a route holds as a name is written as names are: nothing else gets through."""
    try:
        route = parse_route(f"/v2/{middle}/{rest}")
    except Refusal as refused:
        assert 400 <= refused.status < 500
        return
    assert route.repository == "" or NAME.fullmatch(route.repository)
    assert ".." not in route.repository and (route.tag is None or "/" not in route.tag)


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_a_range_is_a_part_of_the_blob(size: int, first: int, last: int, form: int) -> None:
    """What is sent lies within the blob and is what RFC 9110 says, in each form of the header."""
    text = [f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}", f"bytes={first}-{last},1-2"][form]
    expected = [range(first, last + 1), range(first, size), range(max(0, size - last), size), range(size)][
        form
    ]
    there = [at for at in expected if at < size]
    try:
        part = parse_range(text, size)
    except Refusal as refused:
        assert refused.status == 416 and not there
        return
    if part is None:
        assert form == 3 or (form == 0 and last < first)
    else:
        assert list(range(part.start, part.start + part.length)) == there and there


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_chunks_are_read_as_they_are_written(start: int, length: int) -> None:
    """start-end, both included; with or without a unit."""
    for text in (f"{start}-{start + length - 1}", f"bytes {start}-{start + length - 1}/*"):
        chunk = parse_chunk(text)
        assert (chunk.start, chunk.length) == (start, length)
    assert received(length) == f"0-{length - 1}"


@given(st.lists(st.text("abc", max_size=3), unique=True).map(sorted), st.integers(1, 4))
def test_pages_together_are_the_list(names: list[str], count: int) -> None:
    """Page by page, each entry comes once and in order."""
    found, last, more = [], "", True
    while more:
        page, more = page_of([name for name in names if name], count, last)
        found += page
        last = page[-1] if page else ""
    assert found == [name for name in names if name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repository:a/b:pull,push", [("repository", "a/b", {"pull", "push"})]),
        ("repository(plugin):a:pull", [("repository", "a", {"pull"})]),
        ("registry:catalog:*", [("registry", "catalog", {"*"})]),
        ("other:a:pull", []),
        (
            "repository:a:pull repository:b:pull",
            [("repository", "a", {"pull"}), ("repository", "b", {"pull"})],
        ),
    ],
)
def test_scopes_are_read(text: str, expected: list[tuple[str, str, set[str]]]) -> None:
    """As clients write them; kinds of resources that are not ours are left out."""
    assert [(one.type, one.name, set(one.actions)) for one in parse_scopes([text])] == expected


@pytest.mark.parametrize("text", ["repository", "repository:**:pull", "repository:../x:pull", "x " * 100])
def test_scopes_that_mean_nothing_are_refused(text: str) -> None:
    """A scope is no way to a pattern, a path or a long computation."""
    with pytest.raises(Refusal):
        parse_scopes([text])
