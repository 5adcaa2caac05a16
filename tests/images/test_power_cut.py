"""R04 for loads: after a power cut at any moment of a load, the tag means a whole image, old or new."""

from pathlib import Path

import pytest

from tests.store.test_power_cut import assert_nothing_lost, assert_shows_zero_bytes, cut_power

pytestmark = [
    pytest.mark.root,
    pytest.mark.tool("mkfs.ext4"),
    pytest.mark.tool("losetup"),
    pytest.mark.usefixtures("both_forms"),
]


@pytest.mark.parametrize("cuts", [8, pytest.param(200, marks=pytest.mark.trial)])
def test_cuts_during_loads(tmp_path: Path, cuts: int) -> None:
    """Cuts during loads break no promise."""
    assert_nothing_lost(cut_power(tmp_path, cuts, program="tests.images.power_cut"), operations=cuts // 2)


def test_control_without_sync(tmp_path: Path) -> None:
    """Control: without the store's syncs, cuts leave documents of zero bytes, and the trial finds them."""
    assert_shows_zero_bytes(cut_power(tmp_path, 16, "--no-sync", program="tests.images.power_cut"))
