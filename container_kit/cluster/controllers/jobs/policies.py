"""What the end of a pod means for its Job, by the Job's own rules.

Source: Kubernetes documentation, "Jobs" (pod failure policy, success policy).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.controllers.jobs.indexes import parse_indexes
from container_kit.cluster.meta import Object, name_of, namespace_of

__all__ = ["Failure", "failure_of", "success_message"]


@frozen
class Failure:
    """What a failed pod means.

    Attributes:
        action: ``Count``, ``Ignore``, ``FailIndex`` or ``FailJob``.
        message: Why, if the whole Job fails.
    """

    action: str = "Count"
    message: str = ""

    @property
    def counts(self) -> bool:
        return self.action != "Ignore"


def failure_of(job: Object, pod: Object) -> Failure:
    """The first rule that fits *pod* decides; without one it is counted."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        found = _exit_code(rule.get("onExitCodes"), pod) or _condition(rule.get("onPodConditions"), pod)
        if found:
            return Failure(rule["action"], f"{found} matching {rule['action']} rule at index {number}")
    return Failure()


def success_message(job: Object, succeeded: Collection[int]) -> str | None:
    """Why the Job has succeeded with these indexes; None if no rule says so."""
    completions = job["spec"].get("completions") or 0
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        text, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        wanted = parse_indexes(text, completions) if text is not None else None
        matching = set(succeeded) if wanted is None else wanted & set(succeeded)
        needed = count if count is not None else len(wanted or ())
        if len(matching) >= needed:
            return f"Matched rules at index {number}"
    return None


def _exit_code(wish: dict[str, Any] | None, pod: Object) -> str:
    if wish is None:
        return ""
    name = wish.get("containerName")
    for status in _statuses(pod):
        code = (status.get("state", {}).get("terminated") or {}).get("exitCode", 0)
        if code == 0 or (name is not None and name != status["name"]):
            continue
        if (code in wish["values"]) == (wish["operator"] == "In"):
            place = f"{namespace_of(pod)}/{name_of(pod)}"
            return f"Container {status['name']} for pod {place} failed with exit code {code}"
    return ""


def _condition(wishes: list[dict[str, Any]] | None, pod: Object) -> str:
    conditions = pod.get("status", {}).get("conditions") or ()
    for wish in wishes or ():
        for condition in conditions:
            if (condition["type"], condition["status"]) == (wish["type"], wish.get("status", "True")):
                return f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {wish['type']}"
    return ""


def _statuses(pod: Object) -> Iterator[dict[str, Any]]:
    status = pod.get("status", {})
    yield from status.get("containerStatuses") or ()
    yield from status.get("initContainerStatuses") or ()
