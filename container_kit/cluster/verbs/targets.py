"""What ``deployment/web`` means: one object, written as for kubectl."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiError, ApiNotFound
from container_kit.cluster.client.resources import ResourceInfo
from container_kit.errors import InvalidInput

__all__ = ["Target", "pods_of", "selector_of", "target_of"]

Object = dict[str, Any]


@frozen
class Target:
    """An object that is meant, whether it exists or not."""

    info: ResourceInfo
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.info.full_name}/{self.name}"

    def get(self, client: Client) -> Object:
        try:
            return client.get(self.info.full_name, self.name, self.namespace)
        except ApiNotFound as error:
            if self.info.namespaced:
                error.args = (f"{error} in namespace {self.namespace!r}{self._elsewhere(client)}",)
            raise

    def _elsewhere(self, client: Client) -> str:
        """Where it is instead, if it is anywhere."""
        with contextlib.suppress(ApiError):
            found = client.list(self.info.full_name, None, fields=f"metadata.name={self.name}").items
            if found:
                places = ", ".join(repr(one["metadata"]["namespace"]) for one in found[:3])
                return f": there is one in {places}"
            if not client.list("namespaces", fields=f"metadata.name={self.namespace}").items:
                return ", which does not exist either"
        return ""

    def patch(self, client: Client, patch: Any, **options: Any) -> Object:
        return client.patch(self.info.full_name, self.name, patch, self.namespace, **options)


def target_of(client: Client, what: str | Mapping[str, Any], namespace: str = "", kind: str = "") -> Target:
    """The object that *what* names.

    Args:
        what: ``deployment/web``, ``web`` when *kind* is given, or an object.

    Raises:
        InvalidInput: It names none.
        NotFound: The server has no such resource.
    """
    if isinstance(what, Mapping):
        meta = what.get("metadata", {})
        info = client.resources().of_object(what["apiVersion"], what["kind"])
        return Target(info, meta.get("name", ""), meta.get("namespace") or namespace or client.namespace)
    word, slash, name = what.partition("/")
    if not slash:
        word, name = kind, what
    if not word or not name or "/" in name:
        raise InvalidInput(f"{what!r} names no object: write kind/name, such as 'deployment/web'")
    return Target(client.resource(word), name, namespace or client.namespace)


def selector_of(obj: Mapping[str, Any]) -> str:
    """The label selector by which a workload, or a service, finds its pods, as text.

    Raises:
        InvalidInput: This kind of object has none.
    """
    selector = obj.get("spec", {}).get("selector")
    if not isinstance(selector, Mapping) or not selector:
        which = f"{obj.get('kind')} {obj['metadata']['name']}"
        raise InvalidInput(f"{which} has no pods: name a pod, or a workload or service that selects some")
    labels = (
        selector.get("matchLabels")
        if "matchLabels" in selector or "matchExpressions" in selector
        else selector
    )
    words = [f"{key}={value}" for key, value in (labels or {}).items()]
    for one in selector.get("matchExpressions") or () if "matchExpressions" in selector else ():
        words.append(_expression(one))
    return ",".join(words)


def _expression(one: Mapping[str, Any]) -> str:
    key, values = one["key"], f"({','.join(one.get('values') or ())})"
    words: dict[str, str] = {
        "In": f"{key} in {values}",
        "NotIn": f"{key} notin {values}",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }
    return words[one["operator"]]


def pods_of(client: Client, target: Target) -> list[Object]:
    """The pods that *target* is, or has; the newest last."""
    if target.info.full_name == "pods":
        return [target.get(client)]
    found = client.list("pods", target.namespace, labels=selector_of(target.get(client))).items
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])
