"""How fast the number of replicas may change, and how steady it is kept.

Source: kubernetes.io, "Horizontal Pod Autoscaling" (configurable scaling behavior); API reference,
``HorizontalPodAutoscalerBehavior``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import NamedTuple

from container_kit.cluster.meta import Object

__all__ = ["Limited", "Past", "limited"]

_DEFAULTS: dict[str, Object] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


_Choose = Callable[[Iterable[int]], int]


class Past:
    """What was recommended and done lately, for one autoscaler; times are in seconds that never go back."""

    def __init__(self) -> None:
        self.recommended: list[tuple[float, int]] = []
        self.changes: list[tuple[float, int]] = []  # by how many replicas, negative for fewer

    def forget_before(self, time_s: float) -> None:
        self.recommended = [entry for entry in self.recommended if entry[0] >= time_s]
        self.changes = [entry for entry in self.changes if entry[0] >= time_s]


class Limited(NamedTuple):
    """A number of replicas, and the conditions that say what has changed it on the way."""

    replicas: int
    able: tuple[str, str]
    limit: tuple[str, str]


_MATCHES = ("ReadyForNewScale", "recommended size matches current size")
_HELD_UP = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_HELD_DOWN = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
IN_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")


def limited(spec: Object, current: int, wanted: int, past: Past, now_s: float) -> Limited:
    """The number of replicas that an autoscaler may go to now, when its metrics ask for *wanted*."""
    rules = {way: _DEFAULTS[way] | ((spec.get("behavior") or {}).get(way) or {}) for way in _DEFAULTS}
    past.recommended.append((now_s, wanted))
    steady = _stabilized(rules, current, past, now_s)
    able = _MATCHES if steady == wanted else (_HELD_UP if steady > wanted else _HELD_DOWN)
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if steady > current:
        limit = max(_up_limit(rules["scaleUp"], current, past, now_s), current)
        highest = min(limit, most)
        if steady > highest:
            return Limited(highest, able, _TOO_MANY if most <= limit else _UP_LIMIT)
    elif steady < current:
        limit = min(_down_limit(rules["scaleDown"], current, past, now_s), current)
        lowest = max(limit, least)
        if steady < lowest:
            return Limited(lowest, able, _TOO_FEW if least >= limit else _DOWN_LIMIT)
    bounded = min(max(steady, least), most)
    reason = IN_RANGE if bounded == steady else (_TOO_MANY if bounded < steady else _TOO_FEW)
    return Limited(bounded, able, reason)


def _stabilized(rules: dict[str, Object], current: int, past: Past, now_s: float) -> int:
    """Not more than the least that was recommended lately, and not fewer than the most."""
    up_s = rules["scaleUp"]["stabilizationWindowSeconds"]
    down_s = rules["scaleDown"]["stabilizationWindowSeconds"]
    past.forget_before(now_s - max(up_s, down_s, 3600))
    up = min(count for time_s, count in past.recommended if time_s >= now_s - up_s)
    down = max(count for time_s, count in past.recommended if time_s >= now_s - down_s)
    return min(max(current, up), max(down, up))


def _up_limit(rule: Object, current: int, past: Past, now_s: float) -> int:
    limits = []
    for policy in rule["policies"]:
        since_s, value = now_s - policy["periodSeconds"], policy["value"]
        start = current - sum(change for when, change in past.changes if change > 0 and when > since_s)
        limits.append(start + value if policy["type"] == "Pods" else ceil(start * (1 + value / 100)))
    return _selected(rule, limits, current, boldest=max, mildest=min)


def _down_limit(rule: Object, current: int, past: Past, now_s: float) -> int:
    limits = []
    for policy in rule["policies"]:
        since_s, value = now_s - policy["periodSeconds"], policy["value"]
        start = current - sum(change for when, change in past.changes if change < 0 and when > since_s)
        limits.append(start - value if policy["type"] == "Pods" else int(start * (1 - value / 100)))
    return _selected(rule, limits, current, boldest=min, mildest=max)


def _selected(rule: Object, limits: list[int], current: int, *, boldest: _Choose, mildest: _Choose) -> int:
    """By ``selectPolicy`` the limit that allows the greatest change, the smallest, or none at all."""
    if rule.get("selectPolicy") == "Disabled" or not limits:
        return current
    return mildest(limits) if rule.get("selectPolicy") == "Min" else boldest(limits)
