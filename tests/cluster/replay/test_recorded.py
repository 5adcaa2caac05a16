"""What a real API server answered, ours answers, too; each remaining difference is listed and explained."""

from __future__ import annotations

import pytest

from tests.cluster.replay.known import KNOWN, unexplained
from tests.cluster.replay.recorded import cases
from tests.cluster.replay.running import TOPICS, outcomes

# Documents are compared where they are made, histories have tests of their own.
PLAYED = [topic for topic in TOPICS if not topic.startswith(("discovery/", "controllers/"))]


@pytest.mark.parametrize("topic", PLAYED)
def test_recorded_requests_are_answered_as_recorded(topic: str) -> None:
    """Status, headers and bodies of every recorded case of a topic, events of watches, what kubectl asked."""
    found = list(outcomes(topic))

    assert found
    surprises = {one.id: unexplained(topic, one) for one in found}
    assert {name: each for name, each in surprises.items() if each} == {}


def test_known_differences_are_about_recorded_cases() -> None:
    """A line about a case or a step that there is not is a slip."""
    for topic, known in KNOWN.items():
        steps = {case["id"]: len(case["steps"]) for case in cases(topic)}
        assert all(max(numbers) < steps[name] for name, (numbers, _) in known.items())
