"""How long a container that keeps ending waits for its next start: decisions only.

The first restart comes at once; then each waits twice as long as the one before, counted from the last end.
A container that stayed up for long begins anew.

Source: Kubernetes documentation, Pod lifecycle, "Container restarts".
"""

from __future__ import annotations

import attrs

from container_kit._values import frozen

__all__ = ["BackOff", "BackOffTimes"]


@frozen(kw_only=True)
class BackOffTimes:
    """The first wait and the longest, in seconds, and after how long of running all is forgiven."""

    first_s: float = 10.0
    longest_s: float = 300.0
    forgiven_s: float = 600.0


@frozen(kw_only=True)
class BackOff:
    """What is known of a container's earlier ends."""

    wait_s: float = 0.0

    def after_end(self, times: BackOffTimes, ran_s: float) -> BackOff:
        """The wait before the next start, of a container that has just ended and ran for *ran_s* seconds."""
        return BackOff() if ran_s >= times.forgiven_s else self

    def after_start(self, times: BackOffTimes) -> BackOff:
        """The wait before the start after the next end, once the container is started again."""
        longer = times.first_s if self.wait_s == 0 else min(2 * self.wait_s, times.longest_s)
        return attrs.evolve(self, wait_s=longer)
