"""Health check: how a container's health is tested, as a value.

The monitor runs the checks (``_native/init/monitor_health.c``) and keeps the result in the container's state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from container_kit.errors import InvalidInput

__all__ = ["HealthCheck", "HealthStatus", "Probe", "read_probes"]

HealthStatus = Literal["none", "starting", "healthy", "unhealthy"]

_NANOSECONDS = 1_000_000_000
_SHORTEST_S = 0.001


def _is_duration(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not _SHORTEST_S <= value <= 1e9:
        raise InvalidInput(f"health check {attribute.name} {value!r}: give seconds, at least {_SHORTEST_S}")


def _is_period(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1e9:
        raise InvalidInput(f"health check {attribute.name} {value!r}: give seconds, 0 or more")


def _is_retries(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= 1_000_000:
        raise InvalidInput(f"health check retries {value!r}: give a count from 1 to 1000000")


def _is_command(_: object, attribute: attrs.Attribute[Sequence[str]], value: Sequence[str]) -> None:
    if not value:
        raise InvalidInput("a health check needs a command to run")


def _words(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


@attrs.frozen(kw_only=True)
class HealthCheck:
    """A command that runs in the container now and then; exit code 0 means healthy.

    Args:
        command: Program and arguments; for a shell line use :meth:`shell`.
        interval_s: From the end of one check to the start of the next.
        timeout_s: A check that takes longer is killed and counts as failed.
        start_period_s: Failures this early do not count.
        start_interval_s: The interval while in the start period and not yet healthy.
        retries: Failures in a row that make the container unhealthy.

    Raises:
        InvalidInput: A value is out of its range; names the field.

    Source: the defaults are Docker's (HEALTHCHECK in the Dockerfile reference).
    """

    command: tuple[str, ...] = attrs.field(converter=_words, validator=_is_command)
    interval_s: float = attrs.field(default=30.0, validator=_is_duration)
    timeout_s: float = attrs.field(default=30.0, validator=_is_duration)
    start_period_s: float = attrs.field(default=0.0, validator=_is_period)
    start_interval_s: float = attrs.field(default=5.0, validator=_is_duration)
    retries: int = attrs.field(default=3, validator=_is_retries)

    @classmethod
    def shell(cls, line: str, *, shell: Sequence[str] = ("/bin/sh", "-c"), **timing: Any) -> HealthCheck:
        """A check that runs *line* in the container's shell."""
        return cls(command=(*shell, line), **timing)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], shell: Sequence[str] = ("/bin/sh", "-c")
    ) -> HealthCheck | None:
        """The check of an image configuration's ``Healthcheck``; None when it says there is none.

        Durations are nanoseconds there, and 0 or absent means Docker's default.

        Raises:
            InvalidInput: ``Test`` has an unknown form, or a number is not one.
        """
        test = config.get("Test") or []
        if not isinstance(test, list) or not all(isinstance(word, str) for word in test):
            raise InvalidInput(f"Healthcheck.Test must be a list of strings, not {test!r}")
        if not test or test[0] == "NONE":
            return None
        timing = _timing(config)
        if test[0] == "CMD":
            return cls(command=tuple(test[1:]), **timing)
        if test[0] == "CMD-SHELL" and len(test) == 2:
            return cls.shell(test[1], shell=shell, **timing)
        raise InvalidInput(f"Healthcheck.Test {test!r}: use CMD with words or CMD-SHELL with one line")


_TIMING = {
    "Interval": "interval_s",
    "Timeout": "timeout_s",
    "StartPeriod": "start_period_s",
    "StartInterval": "start_interval_s",
}


def _timing(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of HealthCheck that *config* sets."""
    timing: dict[str, Any] = {}
    for key, field in _TIMING.items():
        value = config.get(key) or 0
        if not isinstance(value, int):
            raise InvalidInput(f"Healthcheck.{key} must be a number of nanoseconds, not {value!r}")
        if value:
            timing[field] = value / _NANOSECONDS
    retries = config.get("Retries") or 0
    if not isinstance(retries, int):
        raise InvalidInput(f"Healthcheck.Retries must be a number, not {retries!r}")
    return {**timing, "retries": retries} if retries else timing


@attrs.frozen
class Probe:
    """One health check that was run: times as RFC 3339, at most 4096 bytes of output."""

    start: str
    end: str
    exit_code: int
    output: str


def read_probes(directory: str) -> list[Probe]:
    """The last five checks of the container in *directory*, oldest first."""
    try:
        with open(os.path.join(directory, "health"), "rb") as file:
            lines = file.read(1 << 20).splitlines()
    except FileNotFoundError:
        return []
    return [_probe(json.loads(line)) for line in lines]


def _probe(row: dict[str, Any]) -> Probe:
    """One line of the file; the output has a character for each byte there."""
    output = row.pop("output").encode("latin-1").decode("utf-8", "replace")
    return Probe(**row, output=output)
