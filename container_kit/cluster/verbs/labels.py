"""Labels and annotations of objects that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from container_kit.cluster.client.client import Client
from container_kit.cluster.verbs.targets import Target
from container_kit.errors import Conflict

__all__ = ["mark"]


def mark(
    client: Client,
    target: Target,
    field: Literal["labels", "annotations"],
    marks: Mapping[str, str | None],
    overwrite: bool,
) -> dict[str, Any]:
    """Set marks of an object; None takes one away.

    Raises:
        Conflict: One is there with another value, and *overwrite* is not wanted.
    """
    if not overwrite:
        present = target.get(client)["metadata"].get(field) or {}
        for key, value in marks.items():
            if value is not None and present.get(key, value) != value:
                words = f"{target} has {key}={present[key]} already: overwrite=True replaces it"
                raise Conflict(words)
    return target.patch(client, {"metadata": {field: dict(marks)}}, kind="merge")
