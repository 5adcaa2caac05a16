"""Differences from the recorded answers that are known and explained.

Whoever removes a difference removes its line; what is not listed here is a failure of the tests.  What users
can notice is explained in docs/reference/kubernetes-compatibility.md.
"""

from __future__ import annotations

import re

from tests.cluster.replay.exchanges import Outcome

__all__ = ["KNOWN", "unexplained"]

_GO_DIFF = "the message has a list of changes as a Go library prints them"
_PROC_MOUNT = "procMount is kept here, and named"

# Topic -> case -> (steps, why).
KNOWN: dict[str, dict[str, tuple[set[int], str]]] = {
    "exchanges/admission": {
        "podsecurity-baseline": ({8}, _PROC_MOUNT),
        "podsecurity-restricted": ({8}, _PROC_MOUNT),
    },
    "exchanges/crd": {"cluster": ({8}, "a definition without objects is gone at once")},
    "exchanges/deletion": {
        "plain": ({35}, "luck: the garbage collector was slower than the controller in between"),
    },
    "exchanges/errors": {
        "routes": ({19}, "another case's pod of the recording server"),
        "bad-params": ({18}, "the store of the recording server was too old for a watch from now on"),
        "auth": ({37}, "a binding of the recording server's own"),
    },
    "exchanges/fieldvalidation": {"warnings": ({2}, "the recorded controllers listened elsewhere")},
    "exchanges/patches": {"smp-delete-spec-template": ({1}, "nil and empty maps of Go")},
    "exchanges/subresources": {"ephemeral": ({4, 7}, _GO_DIFF)},
    "exchanges/validation": {
        "u-job": ({2}, "a pod template as Go prints it"),
        "u-pod": ({1, 2, 3, 6}, _GO_DIFF),
    },
}


def unexplained(topic: str, outcome: Outcome) -> list[str]:
    """What differs in a case beyond what is known."""
    steps, _ = KNOWN.get(topic, {}).get(outcome.id, (set[int](), ""))
    return [one for one in (*outcome.wrong, *outcome.words) if _step_of(one) not in steps]


def _step_of(sentence: str) -> int:
    found = re.match(r"step (\d+) ", sentence)
    return int(found[1]) if found else -1
