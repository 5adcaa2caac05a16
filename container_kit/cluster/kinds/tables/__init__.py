"""Tables: which columns people see of a kind, and what stands in the cells.

The columns are data (columns.json, from a real server); how an object fills them is a function per kind.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from container_kit.cluster.kinds.tables.cells import Row, created_at
from container_kit.cluster.meta import Object, name_of

__all__ = ["Columns", "columns_for"]

_FINISHED = {
    "Succeeded": ("Succeeded", "The pod has completed successfully."),
    "Failed": ("Failed", "The pod failed."),
}


class Columns:
    """The columns of one kind.

    Attributes:
        definitions: As ``columnDefinitions`` of a Table: name, type, format, description, priority.
    """

    def __init__(
        self, definitions: Sequence[Mapping[str, Any]], fill: Callable[[Object, str], list[Any]]
    ) -> None:
        self.definitions = tuple(dict(each) for each in definitions)
        self._fill = fill

    def row(self, obj: Object, now: str) -> list[Any]:
        """The cells of one object; ages are counted until *now* (RFC 3339)."""
        return self._fill(obj, now)

    def conditions(self, obj: Object) -> list[Object]:
        """What a row says about an object that is finished: only pods ever are."""
        if obj.get("kind") != "Pod":
            return []
        finished = _FINISHED.get((obj.get("status") or {}).get("phase", ""))
        if finished is None:
            return []
        reason, message = finished
        return [{"type": "Completed", "status": "True", "reason": reason, "message": message}]


@cache
def columns_for(group: str, kind: str) -> Columns:
    """The columns of a kind; name and creation time for kinds that have none of their own."""
    key = f"{group}/{kind}"
    known = _definitions()
    fill = _rows().get(key)
    if fill is None:
        return Columns(known["*"], _name_and_time)
    return Columns(known[key], fill)


def _name_and_time(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), created_at(obj)]


@cache
def _definitions() -> dict[str, list[dict[str, Any]]]:
    content = json.loads(Path(__file__).with_name("columns.json").read_bytes())
    texts = content["texts"]
    return {
        kind: [
            each | {"description": texts.get(each["description"], each["description"])} for each in columns
        ]
        for kind, columns in content["kinds"].items()
    }


@cache
def _rows() -> dict[str, Row]:
    """How every kind fills its cells; imported when the first table is asked for."""
    from container_kit.cluster.kinds.tables import core, extensions, pods, storage, workloads

    return core.ROWS | extensions.ROWS | pods.ROWS | storage.ROWS | workloads.ROWS
