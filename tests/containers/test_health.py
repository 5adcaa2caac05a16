"""Health checks as values."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.containers.health import HealthCheck
from container_kit.errors import InvalidInput

SECOND = 1_000_000_000


def test_an_image_configuration_gives_the_check() -> None:
    """HEALTHCHECK of an image becomes a check, with Docker's defaults for what it leaves out."""
    check = HealthCheck.from_config(
        {"Test": ["CMD", "probe", "-q"], "Interval": 5 * SECOND, "StartPeriod": SECOND // 2, "Retries": 7}
    )

    assert check == HealthCheck(command=("probe", "-q"), interval_s=5, start_period_s=0.5, retries=7)
    assert check.timeout_s == 30


def test_a_shell_line_runs_in_the_image_s_shell() -> None:
    """CMD-SHELL uses the shell that the image names."""
    check = HealthCheck.from_config({"Test": ["CMD-SHELL", "a && b"]}, shell=["/bin/bash", "-c"])

    assert check is not None and check.command == ("/bin/bash", "-c", "a && b")


@pytest.mark.parametrize("config", [{}, {"Test": []}, {"Test": ["NONE"]}])
def test_no_check_is_no_check(config: dict[str, Any]) -> None:
    """An image without a check, or one that switches it off, has none."""
    assert HealthCheck.from_config(config) is None


@pytest.mark.parametrize(
    "config",
    [
        {"Test": "probe"},
        {"Test": ["CMD"]},
        {"Test": ["RUN", "x"]},
        {"Test": ["CMD-SHELL", "a", "b"]},
        {"Test": ["CMD", 3]},
        {"Test": ["CMD", "x"], "Interval": "5s"},
        {"Test": ["CMD", "x"], "Interval": -1},
        {"Test": ["CMD", "x"], "Retries": "many"},
        {"Test": ["CMD", "x"], "Retries": -1},
    ],
)
def test_a_malformed_check_is_refused(config: dict[str, Any]) -> None:
    """An image's health check is data, and bad data is named."""
    with pytest.raises(InvalidInput, match=r"(?i)health"):
        HealthCheck.from_config(config)
