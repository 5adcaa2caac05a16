"""Tables: what people see of objects, in cells.

Which columns a kind has is the business of its strategy.

Source: meta/v1 Table, TableOptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from container_kit.cluster.api.encoding import partial
from container_kit.cluster.api.messages import Request
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError

__all__ = ["included_part", "table"]

_PARTS = ("", "None", "Metadata", "Object")


def included_part(request: Request) -> str:
    """What of each object comes with its row: ``Metadata``, ``Object`` or ``None``.

    Raises:
        StatusError: The parameter means none of these.
    """
    wanted = request.parameter("includeObject")
    if wanted not in _PARTS:
        problem = f"""Invalid value: "{wanted}": must be 'Metadata', 'Object', 'None', or empty"""
        message = f"Unable to convert to Table as requested: includeObject: {problem}"
        raise StatusError(400, "BadRequest", message)
    return wanted or "Metadata"


def table(
    resource: Resource,
    objects: Iterable[Object],
    metadata: dict[str, Any],
    *,
    now: str,
    part: str = "Metadata",
    header: bool = True,
) -> Object:
    """The table of these objects; ages are counted until *now*; without *header* it continues one."""
    columns = resource.shown.columns
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": list(columns.definitions) if header else None,
        "rows": [_row(columns, obj, now, part) for obj in objects],
    }


def _row(columns: Any, obj: Object, now: str, part: str) -> Object:
    row: Object = {"cells": columns.row(obj, now)}
    conditions = columns.conditions(obj)
    if conditions:
        row["conditions"] = conditions
    row["object"] = {"Object": obj, "Metadata": partial(obj)}.get(part)
    return row
