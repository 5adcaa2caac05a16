"""What controllers of a real control plane made of actions, ours make of them, too.

Every case of every topic is played by ``python -m tests.cluster.replay``; here are those that soon are over.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.replay.in_process import InProcessTarget
from tests.cluster.replay.running import outcomes, serving

_SOON = ("scheduler", "services", "volumes", "quota")
_LATER = ("preemption", "hpa", "nodes")  # 15 to 100 s each, since the delays are the point


@pytest.fixture(scope="module")
def target() -> Iterator[InProcessTarget]:
    """A cluster as the recorded one was."""
    with serving() as made:
        yield made


@pytest.mark.parametrize("topic", [*_SOON, *(pytest.param(each, marks=pytest.mark.trial) for each in _LATER)])
def test_recorded_histories_are_repeated(target: InProcessTarget, topic: str) -> None:
    """The same objects in the same states, and the same events, after each action."""
    found = list(outcomes(f"controllers/{topic}", target))

    assert found
    assert {one.id: one.wrong for one in found if one.wrong} == {}
