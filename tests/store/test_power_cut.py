"""R04: after a power cut at any moment, names mean whole images and acknowledged work is there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from container_kit.oci import Digest

pytestmark = [pytest.mark.root, pytest.mark.tool("mkfs.ext4"), pytest.mark.tool("losetup")]


def cut_power(place: Path, cuts: int, *options: str, program: str = "tests.store.power_cut") -> Any:
    """What the program that cuts the power found."""
    command = [sys.executable, "-m", program, str(place), str(cuts), "7", *options]
    result = subprocess.run(["unshare", "--mount", *command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def shows_lost_bytes(problems: list[str]) -> bool:
    """Whether a cut left a content without its bytes: the signature of a missing sync."""
    return any(Digest.of(b"").hex in one or "has changed on disk" in one for one in problems)


def test_some_cuts(tmp_path: Path) -> None:
    """A dozen cuts break no promise."""
    result = cut_power(tmp_path, 12)

    assert result["problems"] == []
    assert result["operations"] > 12


@pytest.mark.trial
def test_many_cuts(tmp_path: Path) -> None:
    """200 cuts break no promise."""
    result = cut_power(tmp_path, 200)

    assert result["problems"] == []
    assert result["operations"] > 200


def test_control_without_sync(tmp_path: Path) -> None:
    """Control: without the syncs, cuts leave the files of zero bytes that they are known for."""
    result = cut_power(tmp_path, 16, "--no-sync")

    assert shows_lost_bytes(result["problems"]), result
