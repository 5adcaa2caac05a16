"""R07 and R17: containers that fill the disk hurt nobody else, and give it back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

SOURCE = Path(__file__).parents[1] / "probe" / "hog.c"


def test_containers_fill_the_disk(tmp_path: Path) -> None:
    """By files and by logs: others run on and can be entered, stop works, the space comes back."""
    subprocess.run(["cc", "-static", "-O1", "-o", tmp_path / "hog", SOURCE], check=True)
    command = [sys.executable, "-m", "tests.containers.full_disk", str(tmp_path), str(tmp_path / "hog")]
    result = subprocess.run(["unshare", "--mount", *command], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, ""), result.stderr
