"""Rows on standard output: table, template, quiet, JSON lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cli.tables import Listing, align, print_rows
from container_kit.errors import InvalidInput

LISTING = Listing(headers={"ID": "CONTAINER ID", "Name": "NAMES"}, default="{{.ID}}\t{{.Name}}")
ROWS = [{"ID": "0123456789ab", "Name": "web"}, {"ID": "ba9876543210", "Name": "a"}]


@given(st.lists(st.lists(st.text(alphabet="abc ", max_size=20), min_size=3, max_size=3), min_size=1))
def test_columns_line_up(rows: list[list[str]]) -> None:
    """Every cell of a column begins at the same place, at least three blanks after the one before."""
    lines = align("\t".join(row) for row in rows)
    widths = [max(10, *(len(row[i]) + 3 for row in rows)) for i in range(2)]
    for row, line in zip(rows, lines, strict=True):
        assert line == row[0].ljust(widths[0]) + row[1].ljust(widths[1]) + row[2]


def printed(capsys: pytest.CaptureFixture[str], **how: object) -> str:
    print_rows(LISTING, ROWS, **how)  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_default_is_dockers_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --format a table with docker's titles is printed."""
    assert printed(capsys).splitlines() == [
        "CONTAINER ID   NAMES",
        "0123456789ab   web",
        "ba9876543210   a",
    ]


def test_own_table_has_titles(capsys: pytest.CaptureFixture[str]) -> None:
    """`--format 'table …'` keeps the titles of the chosen columns."""
    assert printed(capsys, format=r"table {{.Name}}\t{{.ID}}").splitlines()[0] == "NAMES     CONTAINER ID"


def test_template_has_no_titles(capsys: pytest.CaptureFixture[str]) -> None:
    """A plain template prints one line a row and nothing else."""
    assert printed(capsys, format="{{.Name}}") == "web\na\n"


def test_quiet_prints_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet prints ids only."""
    assert printed(capsys, quiet=True) == "0123456789ab\nba9876543210\n"


def test_json_prints_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """--format json prints JSON lines that programs can read back."""
    assert [json.loads(line) for line in printed(capsys, format="json").splitlines()] == ROWS


def test_unknown_field_is_refused_even_without_rows() -> None:
    """A mistyped field of a table is an error also while the list is empty."""
    with pytest.raises(InvalidInput, match="Nope"):
        print_rows(LISTING, [], format="table {{.Nope}}")
