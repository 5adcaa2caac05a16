"""What a monitor is told."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from container_kit.containers.monitor_config import LogOptions, MonitorConfig
from container_kit.errors import InvalidInput
from container_kit.native.fields import text


def test_fields_are_aligned_and_texts_terminated(tmp_path: Path) -> None:
    """The monitor reads numbers in place and uses texts as they are."""
    data = MonitorConfig(id="c1", directory=str(tmp_path), plan=b"x" * 13, cgroups=("/a", "/bc")).encode()

    offset, tags = 0, []
    while offset < len(data):
        tag, size = struct.unpack_from("<II", data, offset)
        tags.append(tag)
        if tag in (1, 2, 6):
            assert data[offset + 8 : offset + 8 + size].endswith(b"\0")
        offset += 8 + (size + 7) // 8 * 8
    assert offset == len(data)
    assert tags == [1, 2, 4, 6, 6, 7, 8, 9, 10]


def test_a_path_with_a_nul_is_refused() -> None:
    """No path can contain one, so it would name another file than the caller meant."""
    with pytest.raises(InvalidInput, match="NUL"):
        text("/tmp/a\0b")


def test_docker_s_log_options_are_understood() -> None:
    """--log-opt max-size=10m max-file=3 means what it does there."""
    assert LogOptions.parse({"max-size": "10m", "max-file": "3"}) == LogOptions(
        max_size=10 << 20, max_files=3
    )
    assert LogOptions.parse({"max-size": "-1"}).max_size is None
    assert not LogOptions.parse({}, driver="none").enabled


@pytest.mark.parametrize(
    "options", [{"max-size": "ten"}, {"max-size": "1k"}, {"max-file": "0"}, {"max-file": "x"}, {"tag": "x"}]
)
def test_log_options_that_cannot_be_kept_are_refused(options: dict[str, str]) -> None:
    """Each is named."""
    with pytest.raises(InvalidInput, match="log"):
        LogOptions.parse(options)


def test_an_unknown_log_driver_is_refused() -> None:
    """Logs are never silently sent nowhere."""
    with pytest.raises(InvalidInput, match="syslog"):
        LogOptions.parse({}, driver="syslog")
