"""The recorded cases, for the tests of this folder."""

import gzip
import json
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).parents[1] / "recorded"


def read_recorded(name: str) -> Any:
    """The JSON of a recorded file."""
    return json.loads(gzip.decompress((_RECORDED / name).read_bytes()))


def kind_of(obj: dict[str, Any]) -> tuple[str, str, str]:
    """Group, version and kind of an object."""
    group, _, version = obj["apiVersion"].rpartition("/")
    return (group, version, obj["kind"])
