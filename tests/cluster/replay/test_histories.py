"""What controllers of a real control plane made of actions, ours make of them, too."""

from __future__ import annotations

import pytest

from tests.cluster.replay.recorded import cases, topics
from tests.cluster.replay.running import play_recorded

_CASES = [(topic, case["id"]) for topic in topics("controllers") for case in cases(f"controllers/{topic}")]


@pytest.mark.parametrize(("topic", "case_id"), _CASES)
def test_a_recorded_history_is_repeated(topic: str, case_id: str) -> None:
    """The same objects in the same states, and the same events, after each action; time is simulated."""
    (case,) = (case for case in cases(f"controllers/{topic}") if case["id"] == case_id)

    assert play_recorded(topic, case).wrong == []
