"""Which stages there are, what they are based on, and which of them are built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.build.dockerfile import DockerfileError, parse
from container_kit.build.graph import Graph, plan_graph
from container_kit.oci import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def graph_of(text: str, **given: Any) -> Graph:
    wishes = {"build_args": {}, "target": None, "platform": AMD64, **given}
    return plan_graph(parse(text), **wishes)


def test_only_what_the_target_needs_is_built() -> None:
    """A stage that nothing needs is left out; bases, copies and mounts count as needs."""
    text = """
    FROM one AS base
    FROM base AS copied
    FROM two AS mounted
    FROM three AS unused
    FROM scratch AS final
    COPY --from=copied /x /y
    RUN --mount=type=bind,from=mounted,target=/m true
    FROM base AS last
    """
    assert graph_of(text, target="final").reachable == (0, 1, 2, 4)
    assert graph_of(text).reachable == (0, 5)
    assert graph_of(text, target="3").reachable == (3,)


def test_stages_are_found_by_name_in_any_case_and_by_number() -> None:
    """COPY --from=BASE and --from=0 mean the same stage; an unknown name means an image."""
    graph = graph_of("FROM a AS Base\nFROM b\nCOPY --from=BASE x y\nCOPY --from=0 x y\nCOPY --from=image x y")

    assert graph.nodes[1].needs == {0}
    assert graph.stage_called("image", 1) is None


def test_a_base_that_is_called_like_a_later_stage_is_an_image() -> None:
    """FROM looks backwards only."""
    graph = graph_of("FROM later AS first\nFROM x AS later\nFROM first")

    assert [node.base_stage for node in graph.nodes] == [None, None, 0]


@pytest.mark.parametrize(
    ("arguments", "base"),
    [({}, "debian:12"), ({"TAG": "13"}, "debian:13"), ({"NAME": "alpine"}, "alpine:12")],
)
def test_arguments_before_from_fill_bases(arguments: dict[str, str], base: str) -> None:
    """The caller's value wins over the default, and later arguments see earlier ones."""
    text = "ARG NAME=debian\nARG TAG=12\nARG IMAGE=${NAME}:${TAG}\nFROM $IMAGE"

    assert graph_of(text, build_args=arguments).nodes[0].base == base


def test_platforms_come_from_the_flag_or_the_target() -> None:
    """FROM --platform=$BUILDPLATFORM is this host's; without the flag it is the target's."""
    graph = graph_of(
        "FROM --platform=$BUILDPLATFORM a\nFROM b\nFROM --platform=linux/s390x c-$TARGETARCH", platform=ARM64
    )

    assert [node.platform for node in graph.nodes] == [Platform.host(), ARM64, Platform("linux", "s390x")]
    assert graph.nodes[2].base == "c-arm64"


def test_a_context_takes_the_place_of_a_stage_or_base() -> None:
    """A named context that is called like a stage replaces all of it; like a base, the image."""
    graph = graph_of("FROM a AS tools\nRUN true\nFROM base\nFROM tools", contexts={"tools", "base"})

    assert graph.nodes[0].instructions == () and graph.nodes[0].base == "tools"
    assert graph.nodes[1].base == "base"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a AS x\nCOPY --from=x /a /b", "'x' needs itself"),
        ("FROM a AS x\nCOPY --from=y /a /b\nFROM b AS y\nCOPY --from=x /a /b", "form a circle"),
        ("FROM a AS x\nRUN --mount=from=y,target=/m true\nFROM x AS y", "form a circle"),
        ("FROM a AS x\nCOPY --from=y /a /b\nFROM b AS y", "comes after it"),
        ("FROM a\nCOPY --from=7 /a /b", "no stage number 7"),
        ("FROM ${MISSING}", "MISSING"),
        ("FROM --platform=$NOTHING a", "NOTHING"),
        ("ARG IMAEG=a\nFROM ${IMAGE}", "did you mean IMAEG"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_done(text: str, message: str) -> None:
    """Circles, stages out of order and bases without a name are errors with their line."""
    with pytest.raises(DockerfileError, match=message) as caught:
        graph_of(text)

    assert caught.value.line >= 1


@given(st.lists(st.lists(st.integers(0, 8), max_size=3), min_size=1, max_size=9), st.data())
def test_every_stage_needs_only_earlier_ones(needs: list[list[int]], data: st.DataObject) -> None:
    """In any graph that is accepted nobody waits for himself, and what is reachable is closed."""
    lines = []
    for index, sources in enumerate(needs):
        lines.append(f"FROM image AS s{index}")
        lines += [f"COPY --from=s{source} a b" for source in sources if source < len(needs)]
    target = data.draw(st.integers(0, len(needs) - 1))
    is_ordered = all(
        source < index for index, row in enumerate(needs) for source in row if source < len(needs)
    )

    try:
        graph = graph_of("\n".join(lines), target=f"s{target}")
    except DockerfileError:
        assert not is_ordered
        return
    assert is_ordered
    for index in graph.reachable:
        assert all(need < index and need in graph.reachable for need in graph.nodes[index].needs)
