"""Who manages which fields: metadata.managedFields on every write.

The bookkeeping is that of `container_kit.cluster.schema.Tracker`; here is which one a request needs.

Source: Kubernetes, "Server-Side Apply"; the reset fields of strategies in pkg/registry.
"""

from __future__ import annotations

import functools
from typing import Any

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.encoding import versioned
from container_kit.cluster.api.options import WriteOptions
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.meta.objects import Object, copy_of, split_group_version
from container_kit.cluster.schema import Schema, Tracker, schema_of

__all__ = ["applied", "track"]

# What writes through a subresource cannot change, beside what is not its own.
_RESET = {"status": (("spec",),), "": (("status",),)}


class _Trackers:
    """The trackers of one resource, one for each subresource."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._made: dict[str, Tracker | None] = {}

    def of(self, subresource: str) -> Tracker | None:
        """None when nothing is known of the type."""
        if subresource not in self._made:
            self._made[subresource] = self._make(subresource)
        return self._made[subresource]

    def _make(self, subresource: str) -> Tracker | None:
        resource = self._resource
        schema = _schema_in(resource, resource.api_version)
        if schema is None:
            return None
        return Tracker(
            schema,
            resource.api_version,
            subresource,
            reset=_RESET.get(subresource, ()) if resource.strategy.status else (),
            convert=functools.partial(_converted, resource),
            schema_in=functools.partial(_schema_in, resource),
        )


def _converted(resource: Resource, obj: Object, api_version: str) -> Object:
    if resource.convert is None or obj.get("apiVersion") == api_version:
        return obj
    return resource.convert(copy_of(obj), api_version)


def _schema_in(resource: Resource, api_version: str) -> Schema | None:
    if api_version == resource.api_version and resource.schema is not None:
        found: Schema = resource.schema
        return found
    group, version = split_group_version(api_version)
    return schema_of((group, version, resource.kind))


def _tracker(call: Call) -> Tracker | None:
    resource = call.resource
    if resource.trackers is None:
        resource.trackers = _Trackers(resource)
    found: Tracker | None = resource.trackers.of(call.route.subresource)
    return found


def track(call: Call, old: Object | None, new: Object, options: WriteOptions) -> None:
    """Note in *new* that the manager of this request wrote what differs from *old* (as it is stored)."""
    tracker = _tracker(call)
    if tracker is not None:
        if old is not None and not call.resource.is_stored_as_is:
            old = versioned(call.resource, copy_of(old))
        gains = not _scales_to_zero(call, new)
        tracker.update(old, new, options.manager, call.core.clock.stamp(), gains=gains)


def _scales_to_zero(call: Call, new: Object) -> bool:
    """A scale of zero has no replicas when it is written, so who sets it owns nothing."""
    if call.route.subresource != "scale":
        return False
    path = call.resource.scale.spec_replicas if call.resource.scale else "spec.replicas"
    node: Any = new
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return not node


def applied(call: Call, old: Object | None, config: Object, options: WriteOptions) -> Object:
    """What becomes of *old* when *config* is applied; both in the version of the request.

    Raises:
        StatusError: 409 for conflicts, 500 for what does not fit the type.
    """
    tracker = _tracker(call)
    if tracker is None:
        return config
    stamp = call.core.clock.stamp()
    return tracker.apply(old, config, options.manager, stamp, force=options.force)
