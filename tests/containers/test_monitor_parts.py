"""Decisions and texts of the monitor's C code, called one by one through a shared library built here."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.monitor_config import _MODES
from container_kit.containers.restart import RestartMode, RestartPolicy, next_delay

SOURCES = Path(__file__).parents[2] / "_native" / "init"
PARTS = ("cgroup.c", "daemon.c", "monitor_restart.c", "monitor_config.c")

# Only what the tests need to reach into `struct config`.
GLUE = """
#include "monitor.h"
long delay(unsigned mode, unsigned retries, int exit_code, unsigned restarts)
{
	struct config config = { .restart_mode = mode, .restart_retries = retries };
	return restart_delay_ms(&config, exit_code, restarts);
}
void kill_members_of(const char *directory)
{
	struct cgroups groups = { .v1 = { directory }, .v1_count = 1 };
	cgroups_kill(&groups);
}
int parse(const char *data, unsigned long size)
{
	struct config config = { 0 };
	return config_parse(&config, data, size);
}
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "glue.c").write_text(GLUE)
    library = folder / "parts.so"
    sources = [str(SOURCES / name) for name in PARTS]
    options = ["-std=gnu11", "-O1", "-shared", "-fPIC", f"-I{SOURCES}", "-o", str(library)]
    subprocess.run(["cc", *options, str(folder / "glue.c"), *sources], check=True)
    found = ctypes.CDLL(str(library))
    found.delay.restype = ctypes.c_long
    return found


def test_a_list_of_processes_that_is_cut_off_kills_no_stranger(parts: ctypes.CDLL, tmp_path: Path) -> None:
    """Where one read ends within a number, what was read of it is no process of the container."""
    stranger = subprocess.Popen(["sleep", "60"])
    cut = str(stranger.pid).encode()
    (tmp_path / "cgroup.procs").write_bytes(b"0\n".rjust(4095 - len(cut), b"0") + cut + b"00000\n")
    try:
        parts.kill_members_of(str(tmp_path).encode())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@given(
    mode=st.sampled_from(sorted(_MODES)),
    limit=st.integers(0, 5),
    exit_code=st.integers(0, 255),
    restarts=st.integers(0, 2**32 - 1) | st.integers(0, 12),
)
def test_monitor_and_library_decide_alike(
    parts: ctypes.CDLL, mode: RestartMode, limit: int, exit_code: int, restarts: int
) -> None:
    """The restart policy is one rule, in two languages."""
    policy = RestartPolicy(mode, limit if mode == "on-failure" else 0)
    expected = next_delay(policy, exit_code, restarts)

    found = parts.delay(_MODES[mode], policy.max_retries, exit_code, restarts)
    assert found == (-1 if expected is None else round(expected * 1000))


@given(moment=st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)), nanoseconds=st.integers(0, 999))
def test_times_are_calendar_times(parts: ctypes.CDLL, moment: datetime, nanoseconds: int) -> None:
    """Every instant that 64 bits of nanoseconds hold is written as the calendar has it."""
    microseconds = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    text = ctypes.create_string_buffer(32)
    parts.format_time(text, ctypes.c_int64(microseconds * 1000 + nanoseconds))

    expected = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{nanoseconds:03d}Z"
    assert text.value.decode() == expected


@given(data=st.binary(max_size=200))
def test_any_bytes_as_configuration_are_survived(parts: ctypes.CDLL, data: bytes) -> None:
    """What is no configuration is refused, and nothing beyond it is read."""
    assert parts.parse(data, len(data)) < 0


@given(
    fields=st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=40)), max_size=8),
    lie=st.integers(0, 2**32 - 1),
)
def test_lengths_that_lie_are_refused(parts: ctypes.CDLL, fields: list[tuple[int, bytes]], lie: int) -> None:
    """A field that claims more than there is ends the parse."""
    body = b"".join(struct.pack("<II", tag, len(data)) + data + bytes(-len(data) % 8) for tag, data in fields)
    assert parts.parse(body + struct.pack("<II", 1, max(lie, 1)), len(body) + 8) < 0
