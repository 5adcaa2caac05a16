"""Kubernetes objects as JSON gives them, and what is asked of their metadata everywhere.

Objects are plain dicts.  These helpers read them without minding what is absent; nothing here changes an
object unless its name says so.

Source: Kubernetes API conventions, "Metadata"; meta/v1 ObjectMeta and OwnerReference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from container_kit.cluster.meta.randomness import random_bytes

__all__ = [
    "Key",
    "Object",
    "annotations_of",
    "condition_of",
    "controller_of",
    "copy_of",
    "group_of",
    "group_version",
    "is_controlled_by",
    "is_deleting",
    "key_of",
    "labels_of",
    "name_of",
    "namespace_of",
    "new_uid",
    "owner_reference",
    "set_condition",
    "split_group_version",
    "uid_of",
]

Object = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Key(NamedTuple):
    """Where an object is: ``pods`` or ``deployments.apps``, its namespace (empty for none) and its name."""

    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.resource} {place}"


def key_of(resource: str, obj: Object) -> Key:
    """The key of an object of this resource."""
    metadata = obj.get("metadata") or {}
    return Key(resource, metadata.get("namespace") or "", metadata.get("name") or "")


def name_of(obj: Object) -> str:
    """``metadata.name``, or an empty string."""
    return (obj.get("metadata") or {}).get("name") or ""


def namespace_of(obj: Object) -> str:
    """``metadata.namespace``, or an empty string."""
    return (obj.get("metadata") or {}).get("namespace") or ""


def uid_of(obj: Object) -> str:
    """``metadata.uid``, or an empty string."""
    return (obj.get("metadata") or {}).get("uid") or ""


def labels_of(obj: Object) -> dict[str, str]:
    """The labels; only to be read."""
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """The annotations; only to be read."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def is_deleting(obj: Object) -> bool:
    """Whether the object waits for its finalizers or its grace period."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def copy_of(obj: Object) -> Object:
    """A copy that shares nothing: as if it had been sent and received."""
    found: Object = _decode(_encode(obj))
    return found


def new_uid() -> str:
    """A new UID: a random UUID, as Kubernetes makes them.

    The uuid module would cost the start of a cluster more than all that it is needed for.
    """
    bits = bytearray(random_bytes(16))
    bits[6], bits[8] = bits[6] & 0x0F | 0x40, bits[8] & 0x3F | 0x80  # version 4, variant of RFC 4122
    text = bits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def split_group_version(api_version: str) -> tuple[str, str]:
    """``apps/v1`` -> ``("apps", "v1")``; the core group is empty: ``v1`` -> ``("", "v1")``."""
    group, _, version = api_version.rpartition("/")
    return group, version


def group_version(group: str, version: str) -> str:
    """The inverse of `split_group_version`."""
    return f"{group}/{version}" if group else version


def group_of(obj: Object) -> str:
    """The group of an object, from its apiVersion; empty for the core."""
    return split_group_version(obj.get("apiVersion") or "")[0]


def owner_reference(owner: Object, *, controller: bool = True) -> dict[str, Any]:
    """A reference to *owner* that makes it the controller of who carries it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": controller,
    }


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The owner reference with ``controller: true``, of which there is at most one."""
    references: Iterable[dict[str, Any]] = (obj.get("metadata") or {}).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """Whether *owner* (this very one: by UID) is the controller of *obj*."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def condition_of(obj: Object, type: str) -> dict[str, Any] | None:
    """The condition of this type in ``status.conditions``."""
    conditions: Iterable[dict[str, Any]] = (obj.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type), None)


def set_condition(
    conditions: list[dict[str, Any]], new: dict[str, Any], now: str, *, transition: str = "lastTransitionTime"
) -> bool:
    """Put a condition into a list of them; returns whether anything changed.

    Args:
        conditions: Changed in place.
        new: With ``type`` and ``status``; its transition time is *now* only if the status differs from the
            old.
        now: RFC 3339.
        transition: The name of the field for that time.
    """
    for index, old in enumerate(conditions):
        if old.get("type") == new["type"]:
            kept = old.get(transition) if old.get("status") == new["status"] else None
            merged = {**old, **new, transition: kept or now}
            conditions[index] = merged
            return merged != old
    conditions.append({**new, transition: now})
    return True
