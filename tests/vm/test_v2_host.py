"""The runtime on an ordinary host: a distribution's kernel, cgroup v2 alone, every controller in one tree."""

from __future__ import annotations

import pytest

from tests.vm.machine import run_in_machine


@pytest.mark.trial
@pytest.mark.root
@pytest.mark.tool("qemu-system-x86_64")
@pytest.mark.tool("mmdebstrap")
def test_containers_run_on_cgroup_v2_alone() -> None:
    """The tests of cgroups and of whole containers pass there as they do here."""
    # The sandbox is left out: layers for a user namespace need a later kernel than that distribution's.
    finished = run_in_machine(
        "python3 -m pytest -q --color=no -p no:xdist -k 'not sandbox' "
        "tests/runtime/test_cgroups.py tests/containers/test_run.py"
    )
    assert finished.exit_code == 0, finished.output[-4000:]
