"""How admission says no: 403, naming the resource and the object."""

from collections.abc import Sequence

from container_kit.cluster.api.plugins import Attributes
from container_kit.cluster.meta import FieldError, StatusError
from container_kit.cluster.meta.status import forbidden

__all__ = ["name_in_messages", "refused"]


def name_in_messages(attributes: Attributes) -> str:
    """The name of the object; while there is none, the prefix from which it will be made."""
    metadata = (attributes.obj or {}).get("metadata") or {}
    return attributes.name or metadata.get("name") or metadata.get("generateName") or ""


def refused(attributes: Attributes, problem: str, causes: Sequence[FieldError] = ()) -> StatusError:
    """The error that refuses a write, for the caller to raise."""
    resource = attributes.resource
    return forbidden(resource.plural, name_in_messages(attributes), problem, resource.group, causes)
