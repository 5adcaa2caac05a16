"""Platforms: aliases, text, and which image runs where."""

import pytest

from container_kit.errors import InvalidInput, NotFound
from container_kit.oci import Descriptor, Digest, Index, Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("x86_64", Platform("linux", "amd64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("armhf", Platform("linux", "arm", "v7")),
        ("Windows/amd64", Platform("windows", "amd64")),
    ],
)
def test_aliases_are_translated(text: str, platform: Platform) -> None:
    """What other tools call an architecture becomes the specification's word."""
    assert Platform.parse(text) == platform == Platform.parse(str(platform))


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "li nux/x", "linux/../x", "bogus", "linux"])
def test_other_text_is_refused(text: str) -> None:
    """A platform is one to three words, and one alone is an architecture."""
    with pytest.raises(InvalidInput):
        Platform.parse(text)


def test_index_gives_the_closest_variant() -> None:
    """Of the manifests that run here, the one for the latest processor is taken, if it runs."""
    names = ["linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "windows/arm"]
    entries = [
        Descriptor("application/x", Digest.of(name.encode()), 1, platform=Platform.parse(name))
        for name in names
    ]
    index = Index.build(entries)

    assert index.select(Platform("linux", "arm")).digest == Digest.of(b"linux/arm/v7")
    assert index.select(Platform("linux", "arm", "v6")).digest == Digest.of(b"linux/arm/v6")
    assert index.select(Platform("linux", "arm64")).digest == Digest.of(b"linux/arm64/v8")
    with pytest.raises(NotFound, match="linux/arm64/v8"):
        index.select(Platform("linux", "riscv64"))
