"""Small objects, and how they are stored: every default of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.cluster.replay.exchanges import Outcome, Target, body_differences, send
from tests.cluster.replay.matching import Bindings

__all__ = ["play_default"]


def play_default(case: Mapping[str, Any], target: Target) -> Outcome:
    """Play one case of ``defaults``."""
    bindings = Bindings()
    answer = send(target, case["request"], bindings)
    wrong: list[str] = []
    if answer.status != case["status"]:
        wrong.append(f"status {case['status']} expected, got {answer.status}: {str(answer.body)[:300]}")
    warnings = answer.headers.get("warning", [])
    if len(warnings) != len(case.get("warnings") or ()):
        wrong.append(f"warnings {case.get('warnings')} expected, got {warnings}")
    wrong += [one for one, _ in body_differences("defaults", case["stored"], answer.body, bindings)]
    return Outcome(case["id"], wrong, [])
