"""The documentation's table of commands says what the sessions tried; runs after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.kubectl.program import RAN, SESSIONS, VERSIONS, program_of
from tests.cluster.kubectl.table import commands_of, rows_of_page, rows_tried

pytestmark = pytest.mark.tool("kubectl")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_has_every_command(version: str) -> None:
    """Each command that this kubectl offers is in the table, and tried."""
    program = program_of(version)
    if program is None:
        pytest.skip(f"needs kubectl {version}")
    rows = {row.split("`")[1]: row.split("|")[2:6] for row in rows_of_page()}
    tried = {command for command, ticks in rows.items() if ticks[VERSIONS.index(version)].strip() == "✓"}
    assert commands_of(program) - tried == set()


def test_the_table_is_true(request: pytest.FixtureRequest) -> None:
    """Every row has the versions that the sessions asked, and only options that they gave."""
    here = {item.path for item in request.session.items}
    if not set(Path(__file__).parent.glob("test_*.py")) <= here or RAN != SESSIONS:
        pytest.skip("needs all sessions of this folder in one run")
    if not all(map(program_of, VERSIONS)):
        pytest.skip("needs kubectl of every version")
    tried = rows_tried()
    assert not _untrue(rows_of_page(), tried), "the table ought to be:\n" + "\n".join(tried)


def _untrue(page: list[str], tried: list[str]) -> list[str]:
    """Commands whose row says too much, or of whose versions it says something else."""
    did = {row.split("`")[1]: (row.split("|")[2:6], set(row.split("|")[6].split())) for row in tried}
    said = {row.split("`")[1]: (row.split("|")[2:6], set(row.split("|")[6].split())) for row in page}
    wrong = [
        one for one in said if one in did and (said[one][0] != did[one][0] or said[one][1] - did[one][1])
    ]
    return wrong + sorted(said.keys() ^ did.keys())


def test_a_row_that_says_too_much_is_noticed() -> None:
    """An option that nobody tried, a version that was not asked, a command that is missing."""
    tried = ["| `get` | ✓ | ✓ | - | ✓ | `-o` `-l` |", "| `top` | ✓ | ✓ | ✓ | ✓ |  |"]
    assert not _untrue(["| `get` | ✓ | ✓ | - | ✓ | `-o` |", tried[1]], tried)
    assert _untrue(["| `get` | ✓ | ✓ | - | ✓ | `-o` `-A` |", tried[1]], tried) == ["get"]
    assert _untrue(["| `get` | ✓ | ✓ | ✓ | ✓ | `-o` |", tried[1]], tried) == ["get"]
    assert _untrue(tried[:1], tried) == ["top"]
