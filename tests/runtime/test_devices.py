"""Device rules: shapes, the OCI list, and nodes of the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import InvalidInput, NotFound
from container_kit.oci.runtime_spec import DeviceRule as OciRule
from container_kit.runtime.devices import DEFAULT_NODES, Device, DeviceRule, effective_rules, host_nodes


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (DeviceRule("c", 1, 3), "c 1:3 rwm"),
        (DeviceRule("b", 8, -1, "r"), "b 8:* r"),
        (DeviceRule("a"), "a *:* rwm"),
    ],
)
def test_a_rule_is_written_as_the_kernel_reads_it(rule: DeviceRule, line: str) -> None:
    """The wildcard is a star, the access letters come in one order."""
    assert str(rule) == line


BAD_RULES: list[tuple[Any, ...]] = [
    ("u", 1, 1), ("c", -2, 0), ("c", 4096, 0), ("c", 0, 1 << 20), ("c", 1, 1, ""), ("c", 1, 1, "mr"),
    ("c", 1, 1, "rwx"), ("c", True, 0), ("c\n", 1, 1), ("c", "1", 1),
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_RULES, ids=str)
def test_a_rule_that_the_kernel_would_misread_cannot_exist(fields: tuple[Any, ...]) -> None:
    """Wrong types, numbers out of range and injected text are refused when the rule is made."""
    with pytest.raises(InvalidInput):
        DeviceRule(*fields)


def test_oci_rules_are_read_in_their_order() -> None:
    """A later denial takes back what it covers; a later allowance gives it again."""
    listed = [
        OciRule(True, "c", 1, 3, "rw"),
        OciRule(True, "b", None, None, "m"),
        OciRule(False, "a", access="rwm"),
        OciRule(True, "c", 10, 229, "mwr"),
    ]
    assert effective_rules(listed) == (DeviceRule("c", 10, 229, "rwm"),)
    assert effective_rules(listed[:2]) == (DeviceRule("c", 1, 3, "rw"), DeviceRule("b", access="m"))


def test_a_denial_of_a_part_is_refused() -> None:
    """An allow-list cannot say "all but", and a wider list than asked for is never made."""
    with pytest.raises(InvalidInput, match="takes away a part"):
        effective_rules([OciRule(True, "a"), OciRule(False, "b", 8, 0, "w")])


def test_a_device_of_the_host_is_found_by_path() -> None:
    """Its type, numbers and mode come from the host; path and access may be given."""
    null = Device.from_host("/dev/null:/dev/nothing:r")
    assert (null.path, null.type, null.major, null.minor) == ("/dev/nothing", "c", 1, 3)
    assert null.rule == DeviceRule("c", 1, 3, "rm")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/dev/missing", NotFound),
        ("/etc", InvalidInput),
        ("dev/null", InvalidInput),
        ("/dev/null:/x:q", InvalidInput),
    ],
)
def test_what_is_no_device_is_refused(text: str, error: type[Exception]) -> None:
    """A missing path, a path that is no device, and text of another shape each say so."""
    with pytest.raises(error):
        Device.from_host(text)


@pytest.mark.root
def test_host_nodes_are_devices_and_follow_no_link(tmp_path: Path) -> None:
    """All nodes below a directory are found; links, files and the terminals' directory are left out."""
    os.mknod(tmp_path / "zero", 0o20666, os.makedev(1, 5))
    (tmp_path / "link").symlink_to("zero")
    (tmp_path / "file").write_text("")
    (tmp_path / "pts").mkdir()
    os.mknod(tmp_path / "pts" / "0", 0o20666, os.makedev(136, 0))
    assert [(node.path, node.major, node.minor) for node in host_nodes(str(tmp_path))] == [
        (str(tmp_path / "zero"), 1, 5)
    ]


def test_every_default_node_has_a_rule_in_the_default_list() -> None:
    """The container can open each node that it is given."""
    from container_kit.runtime.devices import DEFAULT_RULES

    for node in DEFAULT_NODES:
        assert any(node.rule is not None and rule.covers(node.rule) for rule in DEFAULT_RULES)
