"""Kinds that need a word of their own before they are stored: namespaces, volumes, daemon sets and others.

Source: Kubernetes API reference v1.32; recorded answers of a real server.
"""

from container_kit.cluster.kinds.strategy import Context, Strategy
from container_kit.cluster.meta import Object

__all__ = [
    "DaemonSetStrategy",
    "DeploymentStrategy",
    "NamespaceStrategy",
    "NodeStrategy",
    "PersistentVolumeStrategy",
    "PriorityClassStrategy",
]

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class NamespaceStrategy(Strategy):
    """A namespace is held by a finalizer in its spec until it is empty."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource != "finalize":
            new["spec"] = dict(old.get("spec") or {})


class NodeStrategy(Strategy):
    """A node may come with its status."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        obj["metadata"].pop("generation", None)


class PersistentVolumeStrategy(Strategy):
    """Volumes know when their phase last changed."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": ctx.now}

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        super().prepare_update(new, old, ctx, subresource)
        status, before = new.get("status") or {}, old.get("status") or {}
        if subresource == "status" and status.get("phase") != before.get("phase"):
            status["lastPhaseTransitionTime"] = ctx.now


class DeploymentStrategy(Strategy):
    """Annotations of a deployment reach its replica sets, so they count as a change too."""

    status_leaves = ("labels",)

    def is_new_generation(self, new: Object, old: Object) -> bool:
        annotations = [(each["metadata"].get("annotations") or {}) for each in (new, old)]
        return annotations[0] != annotations[1] or super().is_new_generation(new, old)


class DaemonSetStrategy(Strategy):
    """Counts changes of the template in an annotation, for old controllers."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = "1"

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource:
            return
        count = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0"))
        if new["spec"].get("template") != old["spec"].get("template"):
            count += 1
        new["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(count)


class PriorityClassStrategy(Strategy):
    """Its generation is 1 for ever."""

    def is_new_generation(self, new: Object, old: Object) -> bool:
        return False
