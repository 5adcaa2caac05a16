"""References follow Docker's rules of abbreviation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput
from container_kit.oci import Digest, Reference

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
        ("a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("index.docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
        ("docker.io/library/q/r", "docker.io/library/q/r:latest", "library/q/r:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("ghcr.io/a/b:c", "ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("Host/x", "Host/x:latest", "Host/x:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
        (f"x@sha256:{HEX}", f"docker.io/library/x@sha256:{HEX}", f"x@sha256:{HEX}"),
        (f"x:1@sha256:{HEX}", f"docker.io/library/x:1@sha256:{HEX}", f"x:1@sha256:{HEX}"),
    ],
)
def test_short_names_have_one_full_form(text: str, full: str, familiar: str) -> None:
    """A name means what docker says it means; its full and its short form mean the same."""
    reference = Reference.parse(text)

    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(full) == reference == Reference.parse(familiar)


@pytest.mark.parametrize(
    "text",
    ["", ":", "/x", "x/", "a//b", "UPPER", "a/UPPER", "x:", "x:" + "t" * 129, "x@sha256:12", HEX, "a..b",
     "-a", "x:t g", "x\n", "a" * 300, "é", "..", "../x", "a/../b", "x:..", "x@", "a.b/c:1:2", "x" * 5000],
)  # fmt: skip
def test_other_names_are_refused(text: str) -> None:
    """What no registry would take is refused, so that a name is never a path."""
    with pytest.raises(InvalidInput):
        Reference.parse(text)


def test_what_is_no_text_is_told() -> None:
    """Callers without a type checker get an error that says what a name looks like."""
    with pytest.raises(InvalidInput, match="is not text"):
        Reference.parse(3)  # type: ignore[arg-type]


_word = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(
    domain=st.sampled_from(["docker.io", "localhost", "localhost:1", "r.example", "10.0.0.1:5000"]),
    path=st.lists(_word, min_size=1, max_size=4).map("/".join),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.none() | st.binary(max_size=4).map(Digest.of),
)
def test_every_reference_reads_back(domain: str, path: str, tag: str | None, digest: Digest | None) -> None:
    """Parsing what a reference prints, in full or short, gives the same reference."""
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    reference = Reference(domain, path, tag, digest)

    assert Reference.parse(str(reference), default_tag=None) == reference
    assert Reference.parse(reference.familiar, default_tag=None) == reference
