"""The restart policy's decisions."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.restart import RestartMode, RestartPolicy, next_delay
from container_kit.errors import InvalidInput


@given(exit_code=st.integers(0, 255), restarts=st.integers(0, 100_000))
def test_delay_grows_up_to_one_minute(exit_code: int, restarts: int) -> None:
    """A container that keeps ending is retried ever more slowly, but never given up."""
    policy = RestartPolicy("always")

    delay = next_delay(policy, exit_code, restarts)
    later = next_delay(policy, exit_code, restarts + 1)
    assert delay is not None and later is not None
    assert 0 < delay <= later <= 60


@given(exit_code=st.integers(1, 255), limit=st.integers(1, 1000), restarts=st.integers(0, 2000))
def test_on_failure_tries_so_many_times(exit_code: int, limit: int, restarts: int) -> None:
    """A failing container is started again exactly as often as its policy allows."""
    delay = next_delay(RestartPolicy("on-failure", limit), exit_code, restarts)

    assert (delay is not None) == (restarts < limit)


def test_success_is_no_failure() -> None:
    """A container that did its work is not started again by on-failure, but is by always."""
    assert next_delay(RestartPolicy("on-failure"), 0, 0) is None
    assert next_delay(RestartPolicy("always"), 0, 0) == 0.1
    assert next_delay(RestartPolicy(), 1, 0) is None


@pytest.mark.parametrize("text", ["no", "always", "unless-stopped", "on-failure", "on-failure:3"])
def test_parse_and_str_are_inverse(text: str) -> None:
    """A policy is written as docker writes it."""
    assert str(RestartPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["sometimes", "on-failure:", "on-failure:x", "on-failure:-1", "always:3", "no:²"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    """A policy that cannot be carried out as written is an error, not a guess."""
    with pytest.raises(InvalidInput, match="restart"):
        RestartPolicy.parse(text)


def test_every_mode_has_a_number_for_the_monitor() -> None:
    """The monitor knows each mode by number."""
    from container_kit.containers import monitor_client, monitor_config

    assert set(monitor_config._MODES) == set(monitor_client._MODES) == set(get_args(RestartMode))
