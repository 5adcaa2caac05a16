"""S20: what a container writes or calls itself cannot reach the terminal as a command."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from container_kit.cli.tables import safe_for
from container_kit.cli.terminal_safety import neutralise, neutralise_log_line

HOSTILE = "a\x1b]0;owned\x07b\x9b2Jc\r\u202ed\x00"
COLOUR = re.compile(r"\x1b\[[0-9;:]{0,32}m")


def is_harmless(text: str) -> bool:
    return not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in text)


@given(st.text())
def test_no_control_character_survives_in_a_cell(text: str) -> None:
    """Whatever a name or a command holds, a table cell has printable characters only."""
    assert is_harmless(neutralise(text))


def test_what_is_written_instead_can_be_read() -> None:
    """An escape is shown as text, so that nothing is hidden from the reader."""
    assert neutralise(HOSTILE) == r"a\x1b]0;owned\x07b\x9b2Jc\x0d\u202ed\x00"
    assert neutralise("plain ünïcode") == "plain ünïcode"


@given(st.text())
def test_log_lines_keep_colours_and_tabs_only(text: str) -> None:
    """A log line may be coloured, and cannot do anything else to the terminal."""
    rest = COLOUR.sub("", neutralise_log_line(text)).replace("\t", "")
    assert is_harmless(rest)


def test_a_coloured_line_does_not_colour_the_next() -> None:
    """A line that sets a colour ends with a reset."""
    assert neutralise_log_line("\x1b[31mred").endswith("\x1b[0m")
    assert neutralise_log_line("plain\r") == "plain"


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
)
def test_values_are_safe_on_a_terminal_and_unchanged_elsewhere(value: object) -> None:
    """Neutralising happens for terminals only: a program reads what is really there."""

    def leaves(item: object) -> list[str]:
        if isinstance(item, dict):
            return [leaf for inner in item.values() for leaf in leaves(inner)]
        if isinstance(item, list):
            return [leaf for inner in item for leaf in leaves(inner)]
        return [str(item)]

    assert all(map(is_harmless, leaves(safe_for(True, value))))
    assert safe_for(False, value) is value
