"""The recorded facts of a real API server, as files in ``recorded/`` (its own README describes them)."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "cases", "document", "topics"]

FOLDER = Path(__file__).parents[1] / "recorded"


@functools.cache
def document(name: str) -> dict[str, Any]:
    """One file, by its path below ``recorded/`` without ``.json.gz`` or ``.json``."""
    packed = FOLDER / f"{name}.json.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (FOLDER / f"{name}.json").read_bytes()
    loaded: dict[str, Any] = json.loads(data)
    return loaded


def topics(folder: str) -> list[str]:
    """The names of the files of one folder."""
    return sorted(path.name.partition(".")[0] for path in (FOLDER / folder).glob("*.json.gz"))


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(name)["cases"]
    return found
