"""A pod as it is kept on disk, so that another process finds it and can take it over.

``pods/<id>/pod.json``, written whole under another name and renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import attrs

from container_kit._values import frozen
from container_kit.containers.state_file import write_private
from container_kit.errors import CorruptData, NotFound
from container_kit.pods.seam import Object

__all__ = ["ContainerNote", "PodRecord", "read_pod_record", "write_pod_record"]

_FILE = "pod.json"
_LARGEST = 16 << 20


@frozen(kw_only=True)
class ContainerNote:
    """What must not be forgotten of one container of a pod.

    Args:
        id: Of the container that runs, or ran last; empty before the first start.
        previous: Of the one before.
        restarts: How often it was started again.
        is_done: An init container that has succeeded.
    """

    id: str = ""
    previous: str = ""
    restarts: int = 0
    is_done: bool = False


@frozen(kw_only=True)
class PodRecord:
    """One pod.

    Args:
        id: 64 hex digits.
        created_ns: Nanoseconds since the epoch.
        started_at: RFC 3339; when it was accepted here.
        owned: Whether it ends with the process that started it.
        detached: Whether its monitors alone look after it.
        network: Of the engine; *ip* what was asked for there.
        data: ConfigMaps and Secrets for a pod without a supervisor.
        reaper: Pid and start ticks of the first process of a pod whose containers share their processes.
    """

    id: str
    manifest: Object
    created_ns: int
    started_at: str = ""
    owned: bool = True
    detached: bool = False
    network: str = ""
    ip: str = ""
    cgroup: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    dns: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    data: tuple[Object, ...] = ()
    reaper: tuple[int, int] = (0, 0)
    outcome: str = ""
    containers: Mapping[str, ContainerNote] = attrs.field(factory=dict)


def write_pod_record(directory: str, record: PodRecord) -> None:
    """Replace the record of the pod in *directory*; only its supervisor may."""
    path = os.path.join(directory, _FILE)
    document = json.dumps(attrs.asdict(record), separators=(",", ":"))
    write_private(f"{path}.new", document.encode())
    os.rename(f"{path}.new", path)


def read_pod_record(directory: str) -> PodRecord:
    """The record of the pod in *directory*.

    Raises:
        NotFound: There is none.
        CorruptData: It cannot be understood.
    """
    try:
        with open(os.path.join(directory, _FILE), "rb") as file:
            fields: dict[str, Any] = json.loads(file.read(_LARGEST))
        notes = {name: ContainerNote(**note) for name, note in fields.pop("containers").items()}
        reaper, data = tuple(fields.pop("reaper")), tuple(fields.pop("data"))
        return PodRecord(containers=notes, reaper=reaper, data=data, **fields)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("pod", os.path.basename(directory)[:12]) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"a pod's {_FILE} cannot be read: {error}; remove the pod") from None
