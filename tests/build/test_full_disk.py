"""A disk that is full while a build runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.root
def test_a_full_disk_is_told_and_its_space_comes_back(tmp_path: Path) -> None:
    """Copies, commands and mounts that do not fit fail with a reason; nothing of them stays."""
    command = ["unshare", "--mount", sys.executable, "-m", "tests.build.full_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
