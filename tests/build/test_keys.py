"""Keys: one digest of all inputs, so that no two different steps are taken for one another."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from container_kit.build.keys import MountInput, copy_key, directory_key, run_key
from container_kit.oci import Digest, Platform

words = st.text(max_size=12)
digests = st.integers(0, 20).map(lambda number: Digest.of(str(number).encode()))
mounts = st.builds(
    MountInput,
    type=st.sampled_from(["bind", "cache", "secret"]),
    target=words,
    content=words,
    id=words,
    read_only=st.booleans(),
    detail=st.dictionaries(st.sampled_from(["mode", "uid"]), st.integers(0, 9), max_size=2),
)
INPUTS: dict[str, st.SearchStrategy[Any]] = {
    "layers": st.lists(digests, max_size=4),
    "command": st.lists(words, max_size=4),
    "env": st.dictionaries(words, words, max_size=4),
    "user": words,
    "working_dir": words,
    "mounts": st.lists(mounts, max_size=3),
    "network": st.sampled_from(["none", "host"]),
    "security": st.sampled_from(["sandbox", "insecure"]),
    "hostname": words,
    "platform": st.sampled_from([Platform("linux", "amd64"), Platform("linux", "arm64", "v8")]),
    "epoch": st.integers(0, 1 << 33),
}
steps = st.fixed_dictionaries(INPUTS)


@given(one=steps, other=steps, name=st.sampled_from(sorted(INPUTS)))
def test_steps_that_differ_in_one_input_have_different_keys(
    one: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    """Whichever input it is: equal keys mean equal inputs, and equal inputs mean equal keys."""
    changed = {**one, name: other[name]}

    assert (run_key(**one) == run_key(**changed)) == (one[name] == other[name])


@given(one=steps, other=steps)
def test_any_two_steps_share_a_key_only_if_they_are_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Words cannot be moved from one input to the next, nor joined or split, without another key."""
    assert (run_key(**one) == run_key(**other)) == (one == other)


@given(env=st.dictionaries(words, words, min_size=2, max_size=4), step=steps)
def test_the_order_of_variables_does_not_matter(env: dict[str, str], step: dict[str, Any]) -> None:
    """Variables are a set: how they came about is no input."""
    backwards = dict(reversed(env.items()))

    assert run_key(**{**step, "env": env}) == run_key(**{**step, "env": backwards})


@given(st.lists(digests, max_size=3), st.lists(digests, max_size=3), digests, digests, st.integers(0, 9))
def test_copies_depend_on_the_image_below_unless_they_are_linked(
    below: list[Digest], other: list[Digest], plan: Digest, other_plan: Digest, epoch: int
) -> None:
    """--link makes a layer that fits on any image; without it the image is an input."""
    key = copy_key(layers=below, content=plan, epoch=epoch)

    assert (key == copy_key(layers=other, content=plan, epoch=epoch)) == (below == other)
    assert (key == copy_key(layers=below, content=other_plan, epoch=epoch)) == (plan == other_plan)
    assert key != copy_key(layers=None, content=plan, epoch=epoch)
    assert key != copy_key(layers=below, content=plan, epoch=epoch + 1)


def test_kinds_of_steps_never_share_a_key() -> None:
    """A directory is no copy, whatever it is called."""
    layers = [Digest.of(b"x")]

    assert directory_key(layers=layers, path="/a", user="", epoch=1) != copy_key(
        layers=layers, content=Digest.of(b"/a"), epoch=1
    )


def test_a_mount_has_no_value_of_a_secret() -> None:
    """There is no place for one: what a key knows of a mount are these fields."""
    assert {field.name for field in attrs.fields(MountInput)} == {
        "type", "target", "content", "id", "read_only", "detail",
    }  # fmt: skip
