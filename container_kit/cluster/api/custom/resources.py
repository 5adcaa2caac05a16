"""What a CustomResourceDefinition adds to what is served: one resource for each version."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from container_kit.cluster.api.custom.conversion import Converter
from container_kit.cluster.api.resources import Resource, ScalePaths, Subresource
from container_kit.cluster.kinds.custom.strategy import CustomStrategy, schema_of_version
from container_kit.cluster.meta.objects import Object, group_version

__all__ = ["resources_of"]

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_PART_VERBS = ("get", "patch", "update")


def resources_of(definition: Object, dial: Callable[..., Any] | None = None) -> list[Resource]:
    """The resources of *definition*, whose names are accepted; *dial* connects to services that convert."""
    spec = definition["spec"]
    group = spec["group"]
    schemas = {
        group_version(group, version["name"]): schema_of_version(version) for version in spec["versions"]
    }
    storage = next(version["name"] for version in spec["versions"] if version["storage"])
    served = [version for version in spec["versions"] if version["served"]]
    strategies = {
        version["name"]: CustomStrategy(definition, version, schemas) for version in spec["versions"]
    }
    converter = Converter(definition, strategies[storage].pruned, dial)
    found = []
    for version in served:
        strategy = strategies[version["name"]]
        found.append(
            Resource(
                group=group,
                version=version["name"],
                plural=spec["names"]["plural"],
                singular=spec["names"].get("singular") or spec["names"]["kind"].lower(),
                kind=spec["names"]["kind"],
                list_kind=spec["names"].get("listKind") or f"{spec['names']['kind']}List",
                namespaced=spec["scope"] == "Namespaced",
                verbs=_VERBS,
                short_names=tuple(spec["names"].get("shortNames") or ()),
                categories=tuple(spec["names"].get("categories") or ()),
                hash=_hash(group, storage, spec["names"]["kind"]),
                subresources=_parts(version, group, spec["names"]["kind"]),
                storage_group=group,
                storage_version=storage,
                is_typed=False,
                strategy=strategy,
                shown=strategy,
                schema=schemas[group_version(group, version["name"])],
                convert=converter.convert,
                convert_many=converter.convert_many,
                scale=_scale(version),
                is_slow=(spec.get("conversion") or {}).get("strategy") == "Webhook",
                deprecation=_deprecation(version, group, spec["names"]["kind"]),
            )
        )
    return found


def _hash(group: str, version: str, kind: str) -> str:
    """What tells clients that objects are stored in another version than before."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def _parts(version: dict[str, Any], group: str, kind: str) -> dict[str, Subresource]:
    asked = version.get("subresources") or {}
    found = {}
    if asked.get("status") is not None:
        found["status"] = Subresource(
            name="status", kind=kind, group=group, version=version["name"], verbs=_PART_VERBS
        )
    if asked.get("scale") is not None:
        found["scale"] = Subresource(
            name="scale", kind="Scale", group="autoscaling", version="v1", verbs=_PART_VERBS, foreign=True
        )
    return found


def _scale(version: dict[str, Any]) -> ScalePaths | None:
    paths = (version.get("subresources") or {}).get("scale")
    if not paths:
        return None
    return ScalePaths(
        paths["specReplicasPath"].removeprefix("."),
        paths["statusReplicasPath"].removeprefix("."),
        (paths.get("labelSelectorPath") or "").removeprefix("."),
    )


def _deprecation(version: dict[str, Any], group: str, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
