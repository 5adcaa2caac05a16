"""Which signed names fit which pulled names: the table of containers-policy.json(5), row by row."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.errors import InvalidInput
from container_kit.oci import Reference
from container_kit.registry.signatures.identities import Identity

DIGEST = "sha256:" + "a" * 64
EXACT = {"type": "exactReference", "dockerReference": "h.example/team/app:1"}
REPOSITORY = {"type": "exactRepository", "dockerRepository": "h.example/team/app"}
REMAP = {"type": "remapIdentity", "prefix": "mirror:5000/vendor", "signedPrefix": "vendor.example"}


@pytest.mark.parametrize(
    ("rule", "image", "signed", "fits"),
    [
        ({"type": "matchExact"}, "h.example/app:1", "h.example/app:1", True),
        ({"type": "matchExact"}, "h.example/app:1", "h.example/app:2", False),
        ({"type": "matchExact"}, "h.example/app:1", "h.example/app", False),
        ({"type": "matchExact"}, f"h.example/app@{DIGEST}", "h.example/app:1", False),
        ({"type": "matchRepoDigestOrExact"}, "h.example/app:1", "h.example/app:1", True),
        ({"type": "matchRepoDigestOrExact"}, "h.example/app:1", "h.example/app:2", False),
        ({"type": "matchRepoDigestOrExact"}, "h.example/app:1", "h.example/app", False),
        ({"type": "matchRepoDigestOrExact"}, f"h.example/app@{DIGEST}", "h.example/app:1", True),
        ({"type": "matchRepoDigestOrExact"}, f"h.example/app@{DIGEST}", "h.example/other:1", False),
        ({"type": "matchRepository"}, "h.example/app:1", "h.example/app:2", True),
        ({"type": "matchRepository"}, "h.example/app:1", "h.example/app", True),
        ({"type": "matchRepository"}, "h.example/app:1", "g.example/app:1", False),
        ({"type": "matchRepository"}, "busybox", "index.docker.io/library/busybox", True),
        (EXACT, "anything", "h.example/team/app:1", True),
        (EXACT, "anything", "h.example/team/app:2", False),
        (REPOSITORY, "anything", "h.example/team/app:2", True),
        (REPOSITORY, "anything", "h.example/team/app2:2", False),
        (REMAP, "mirror:5000/vendor/a/b:1", "vendor.example/a/b:1", True),
        (REMAP, "mirror:5000/vendor/a/b:1", "vendor.example/a/b:2", False),
        (REMAP, "mirror:5000/vendor2/a:1", "vendor.example2/a:1", False),
        (REMAP, "elsewhere/a:1", "elsewhere/a:1", True),
    ],
)
def test_names_fit_as_the_manual_says(rule: dict[str, Any], image: str, signed: str, fits: bool) -> None:
    """Each kind of identity accepts and refuses what its paragraph says."""
    named, claimed = Reference.parse(image), Reference.parse(signed, default_tag=None)
    assert Identity.from_json(rule, "identity").accepts(named, claimed) is fits


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "matchAnything"},
        {"type": "matchExact", "dockerReference": "a:1"},
        {"type": "exactReference"},
        {"type": "exactReference", "dockerReference": "h.example/app"},
        {"type": "exactRepository", "dockerRepository": "h.example/app:1"},
        {"type": "remapIdentity", "prefix": "", "signedPrefix": "a"},
        {"type": "remapIdentity", "prefix": "a"},
        {"Type": "matchExact"},
        [],
        None,
    ],
)
def test_identities_are_read_strictly(rule: Any) -> None:
    """What another reader could understand in another way is refused."""
    with pytest.raises(InvalidInput):
        Identity.from_json(rule, "identity")
