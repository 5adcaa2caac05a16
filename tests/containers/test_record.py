"""A container's record survives being written and read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.health import HealthCheck
from container_kit.containers.monitor_config import LogOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.options import ContainerOptions
from container_kit.containers.record import Record, read_record, write_record
from container_kit.errors import CorruptData
from container_kit.runtime.limits import Limits

WORD = st.text(
    st.characters(blacklist_characters="\0=", blacklist_categories=("Cs",)), min_size=1, max_size=8
)
OPTIONS = st.builds(
    ContainerOptions,
    env=st.dictionaries(WORD, WORD, max_size=3),
    user=st.sampled_from(["", "1000", "nobody:nogroup"]),
    limits=st.sampled_from([None, Limits(memory="64m", cpus=0.5, pids=32), Limits(hugetlb={"2MB": "4m"})]),
    mounts=st.lists(st.sampled_from([Mount.bind("/etc", "/x"), Mount.tmpfs("/y", size="1m")]), max_size=2),
    entrypoint=st.sampled_from([None, [], ["a", "b"]]),
    restart=st.sampled_from(["no", "always", "on-failure:3"]),
    health=st.sampled_from([None, HealthCheck(command=("true",), interval_s=1)]),
    log=st.sampled_from([LogOptions(), LogOptions(max_size=1 << 20, max_files=2)]),
    rlimits=st.dictionaries(st.sampled_from(["nofile", "core"]), st.integers(0, 9), max_size=2),
    masked_paths=st.sampled_from([None, [], ["/proc/x"]]),
    labels=st.dictionaries(WORD, WORD, max_size=3),
    stop_timeout_s=st.floats(0, 100),
)


@given(options=OPTIONS, arguments=st.sampled_from([None, (), ("a", "b")]))
def test_a_record_is_read_as_it_was_written(options: ContainerOptions, arguments: tuple[str, ...]) -> None:
    """Every option comes back from the document with its value and type."""
    record = Record(
        id="ab" * 32, name="n", created_ns=7, command=("x",), arguments=arguments, options=options, owner="t"
    )
    assert Record.from_json(record.to_json()) == record


def test_a_record_is_replaced_whole_and_private(tmp_path: Path) -> None:
    """The file is renamed into place with mode 0600; nothing else stays."""
    for name in ("one", "two"):
        write_record(str(tmp_path), Record(id="ab" * 32, name=name, created_ns=7))
    found = read_record(str(tmp_path))
    assert found is not None and found.name == "two"
    assert os.listdir(tmp_path) == ["record.json"]
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_no_record(tmp_path: Path) -> None:
    """A container that is just being made or removed is passed over, not an error."""
    assert read_record(str(tmp_path)) is None
    (tmp_path / "record.json").write_bytes(b"")
    assert read_record(str(tmp_path)) is None


@pytest.mark.parametrize("document", [b"{", b"[]", b"{}", b'{"id":1}', b'{"options":{"env":[["",""]]}}'])
def test_a_damaged_record_is_said_to_be_damaged(document: bytes) -> None:
    """Whatever stands in the file, the error is CorruptData."""
    with pytest.raises(CorruptData):
        Record.from_json(document)
