"""R04 for containers: after a power cut during commits, images and containers are whole."""

from pathlib import Path

import pytest

from tests.store.test_power_cut import assert_nothing_lost, assert_shows_zero_bytes, cut_power

pytestmark = [pytest.mark.root, pytest.mark.tool("mkfs.ext4"), pytest.mark.tool("losetup")]

PROGRAM = "tests.containers.power_cut"


@pytest.mark.parametrize("cuts", [8, pytest.param(200, marks=pytest.mark.trial)])
def test_cuts_during_commits(tmp_path: Path, cuts: int) -> None:
    """Commits that were acknowledged are there, whole; each container can be used or has been swept away."""
    assert_nothing_lost(cut_power(tmp_path, cuts, program=PROGRAM), operations=cuts // 2)


def test_control_without_sync(tmp_path: Path) -> None:
    """Control: without the store's syncs, cuts leave documents of zero bytes, and the trial finds them."""
    assert_shows_zero_bytes(cut_power(tmp_path, 24, "--no-sync", program=PROGRAM))
