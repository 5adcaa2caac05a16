"""What the answers to a probe mean together: decisions only."""

from __future__ import annotations

from container_kit._values import frozen
from container_kit.pods.spec import Probe

__all__ = ["Count", "next_look_s"]

_FIRST_EAGER_S = 0.02


@frozen(kw_only=True)
class Count:
    """How often in a row a probe has succeeded or failed, and what that means.

    Args:
        verdict: None before a threshold was reached for the first time.
    """

    successes: int = 0
    failures: int = 0
    verdict: bool | None = None

    def after(self, probe: Probe, is_well: bool) -> Count:
        """With one more answer."""
        if is_well:
            successes = self.successes + 1
            return Count(successes=successes, verdict=True if successes >= probe.successes else self.verdict)
        failures = self.failures + 1
        return Count(failures=failures, verdict=False if failures >= probe.failures else self.verdict)


def next_look_s(probe: Probe, is_awaited: bool, eager_looks: int) -> float:
    """Seconds until the next look.

    A container that is not ready yet may be looked at more often than its period says, so that it is ready
    sooner: ever more slowly, up to the period.
    """
    if not is_awaited or probe.successes > 1:
        return probe.period_s
    return min(_FIRST_EAGER_S * (1 << min(eager_looks, 12)), probe.period_s)
