"""The recorded facts of a real server, as far as they are about kinds."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from container_kit.cluster.meta import Object

FOLDER = Path(__file__).parent.parent / "recorded"
NOW = "<time>"


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of one file, such as ``defaults`` or ``exchanges/tables``."""
    content: dict[str, Any] = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    found: list[dict[str, Any]] = content["cases"]
    return found


def built_in(obj: Object) -> bool:
    """Whether it is an object of a kind that the server brings along."""
    return "example.com" not in obj.get("apiVersion", "")


def group_of(obj: Object) -> str:
    return str(obj["apiVersion"].rpartition("/")[0])


class EmptyWorld:
    """A cluster in which nothing is stored."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Object]:
        return ()


def differences(left: Any, right: Any, path: str = "") -> Iterable[str]:
    """The paths at which two JSON values differ; ``<...>`` on the right stands for any text or number."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            if key in left and key in right:
                yield from differences(left[key], right[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif left != right and not (isinstance(right, str) and right.startswith("<")):
        yield path
