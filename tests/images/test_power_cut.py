"""R04 for loads: after a power cut at any moment of a load, the tag means a whole image, old or new."""

from pathlib import Path

import pytest

from tests.store.test_power_cut import cut_power, shows_lost_bytes

pytestmark = [pytest.mark.root, pytest.mark.tool("mkfs.ext4"), pytest.mark.tool("losetup")]


@pytest.mark.parametrize("cuts", [8, pytest.param(200, marks=pytest.mark.trial)])
def test_cuts_during_loads(tmp_path: Path, cuts: int) -> None:
    """Cuts during loads break no promise."""
    result = cut_power(tmp_path, cuts, program="tests.images.power_cut")

    assert result["problems"] == []
    assert result["operations"] > cuts // 2


def test_control_without_sync(tmp_path: Path) -> None:
    """Control: without the store's syncs, the same trial finds documents that are damaged."""
    result = cut_power(tmp_path, 16, "--no-sync", program="tests.images.power_cut")

    assert shows_lost_bytes(result["problems"]), result
