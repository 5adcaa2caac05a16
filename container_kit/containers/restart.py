"""Restart policy: whether, and after how long, a container starts again.

Decisions only: the monitor (``_native/init/monitor_restart.c``) follows the same rule when nobody is looking;
a test compares the two.
"""

from __future__ import annotations

from typing import Literal, get_args

import attrs

from container_kit.errors import InvalidInput

__all__ = ["RestartMode", "RestartPolicy", "next_delay"]

RestartMode = Literal["no", "on-failure", "always", "unless-stopped"]

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0


def _is_mode(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in get_args(RestartMode):
        raise InvalidInput(f"restart mode {value!r}: use one of {', '.join(get_args(RestartMode))}")


def _is_count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 0 <= value < 1 << 31:
        raise InvalidInput(f"restart max_retries {value!r}: give a count from 0 (no limit) to 2147483647")


@attrs.frozen
class RestartPolicy:
    """When a container starts again after it ends.

    A container that was stopped or killed on request stays down in every mode.

    Args:
        mode: ``no``, ``on-failure`` (exit code other than 0), ``always`` or ``unless-stopped``.
        max_retries: Starts to try in ``on-failure`` mode; 0 means no limit.

    Raises:
        InvalidInput: The mode is unknown, or the count is negative or given with another mode.
    """

    mode: RestartMode = attrs.field(default="no", validator=_is_mode)
    max_retries: int = attrs.field(default=0, validator=_is_count)

    def __attrs_post_init__(self) -> None:
        if self.max_retries and self.mode != "on-failure":
            raise InvalidInput(f"restart {self.mode!r} takes no number of retries: only on-failure does")

    @classmethod
    def parse(cls, text: str) -> RestartPolicy:
        """The policy written as in docker: ``no``, ``always``, ``unless-stopped``, ``on-failure[:3]``."""
        mode, colon, count = text.partition(":")
        if colon and not (count.isascii() and count.isdigit()):
            raise InvalidInput(f"restart policy {text!r}: after the colon goes a number, as in on-failure:3")
        return cls(mode or "no", int(count) if colon else 0)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.mode}:{self.max_retries}" if self.max_retries else self.mode


def next_delay(policy: RestartPolicy, exit_code: int, restarts: int) -> float | None:
    """Seconds to wait before the next start, or None to stay down.

    *restarts* counts the starts since the container last stayed up for ten seconds.
    """
    failed = exit_code != 0
    tries_left = policy.max_retries == 0 or restarts < policy.max_retries
    if policy.mode == "no" or (policy.mode == "on-failure" and not (failed and tries_left)):
        return None
    return min(FIRST_DELAY_S * (1 << min(restarts, 10)), LONGEST_DELAY_S)
