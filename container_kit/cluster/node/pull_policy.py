"""Whether an image is pulled before a container starts, and when a pull that failed is tried again.

Decisions only.  Source: Kubernetes, "Images", image pull policy; the kubelet's image manager.
"""

from __future__ import annotations

from typing import Any, Literal

from container_kit._values import frozen
from container_kit.errors import InvalidInput

__all__ = ["NeverPulled", "PullBackOff", "decide", "is_image_name"]

Object = dict[str, Any]

_FIRST_DELAY_S, _LONGEST_DELAY_S = 10.0, 300.0


class NeverPulled(Exception):
    """The image is not here, and its policy forbids to fetch it."""


def decide(policy: str, *, is_present: bool) -> Literal["use", "pull"]:
    """What to do about an image.

    Raises:
        NeverPulled: It is not here and the policy is ``Never``.
    """
    if policy == "Never" and not is_present:
        raise NeverPulled
    if policy == "Always" or not is_present:
        return "pull"
    return "use"


def is_image_name(text: str) -> bool:
    """Whether *text* can be the name of an image."""
    from container_kit.oci.reference import Reference

    try:
        Reference.parse(text)
    except InvalidInput:
        return False
    return True


@frozen
class _Failure:
    delay_s: float
    until: float
    message: str


class PullBackOff:
    """How long images that could not be pulled are left alone, each for each pod.

    Times are of one monotonic clock, in seconds.
    """

    def __init__(self, first_s: float = _FIRST_DELAY_S, longest_s: float = _LONGEST_DELAY_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._failures: dict[tuple[str, str], _Failure] = {}

    def waiting(self, key: tuple[str, str], now: float) -> str | None:
        """What went wrong, while it is too early for another try; None when it may be tried."""
        found = self._failures.get(key)
        return found.message if found is not None and now < found.until else None

    def failed(self, key: tuple[str, str], message: str, now: float) -> None:
        """A pull failed: the next may come after twice the time of the last."""
        last = self._failures.get(key)
        delay = self._first_s if last is None else min(last.delay_s * 2, self._longest_s)
        self._failures[key] = _Failure(delay, now + delay, message)

    def succeeded(self, key: tuple[str, str]) -> None:
        """It worked: the next failure starts anew."""
        self._failures.pop(key, None)

    def forget(self, uid: str) -> None:
        """The pod with this uid is gone."""
        for key in [key for key in self._failures if key[0] == uid]:
            del self._failures[key]
