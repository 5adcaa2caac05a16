"""Creating many objects without hammering a server that refuses them.

Source: the slow start of the workload controllers of Kubernetes: batches of 1, 2, 4, ... while all goes well.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from container_kit.cluster.client import ApiError, Client
from container_kit.cluster.meta import Object

__all__ = ["create_all"]


def create_all(client: Client, objects: Iterable[Object], count: int) -> tuple[list[Object], ApiError | None]:
    """Create *count* objects, in batches that double; nothing is tried after a batch in which one failed.

    Returns:
        What was created, and the first failure. That the namespace is being deleted is no failure: there is
        nothing to be done about it.
    """
    made: list[Object] = []
    failure: ApiError | None = None
    rest, batch = iter(objects), 1
    while count > 0 and failure is None:
        for obj in islice(rest, min(batch, count)):
            try:
                made.append(client.create(obj))
            except ApiError as error:
                if _namespace_ends(error):
                    return made, None
                failure = failure or error
        count, batch = count - batch, batch * 2
    return made, failure


def _namespace_ends(error: ApiError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)
