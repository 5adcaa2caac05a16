"""R04: after a power cut at any moment, names mean whole images and acknowledged work is there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.tool("mkfs.ext4"), pytest.mark.tool("losetup")]


def cut_power(place: Path, cuts: int, *options: str, program: str = "tests.store.power_cut") -> Any:
    """What the program that cuts the power found."""
    command = [sys.executable, "-m", program, str(place), str(cuts), "7", *options]
    result = subprocess.run(["unshare", "--mount", *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_nothing_lost(result: Any, operations: int) -> None:
    """No promise broken, and no content without its bytes, in enough work to tell."""
    assert result["problems"] == []
    assert result["cuts_with_zero_byte_files"] == 0
    assert result["operations"] > operations


def assert_shows_zero_bytes(result: Any) -> None:
    """The signature of a missing sync: the name is on disk, its bytes are not, and the store says so."""
    assert result["cuts_with_zero_byte_files"] > 0, result
    assert result["problems"] != []


def test_some_cuts(tmp_path: Path) -> None:
    """A dozen cuts break no promise."""
    assert_nothing_lost(cut_power(tmp_path, 12), operations=12)


@pytest.mark.trial
def test_many_cuts(tmp_path: Path) -> None:
    """200 cuts break no promise."""
    assert_nothing_lost(cut_power(tmp_path, 200), operations=200)


def test_control_without_sync(tmp_path: Path) -> None:
    """Control: without the syncs, cuts leave the files of zero bytes that they are known for."""
    assert_shows_zero_bytes(cut_power(tmp_path, 16, "--no-sync"))
