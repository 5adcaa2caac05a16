"""Jobs: the selector and labels that bind a job to its pods.

Source: Kubernetes API reference v1.32, Job ("manualSelector"); recorded answers of a real server.
"""

from container_kit.cluster.kinds.strategy import Context, Strategy
from container_kit.cluster.meta import Object, name_of, uid_of

__all__ = ["CONTROLLER_UID", "JobStrategy"]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"


class JobStrategy(Strategy):
    """Gives a job a selector of its own, unless it brings one."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        if not obj["spec"].get("manualSelector"):
            _bind(obj)
        labels = obj["spec"]["template"]["metadata"].get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        super().prepare_update(new, old, ctx, subresource)
        if not subresource and not new["spec"].get("selector") and old["spec"].get("selector"):
            new["spec"]["selector"] = old["spec"]["selector"]


def _bind(job: Object) -> None:
    """Label the pods with the job's name and UID, under their old and new keys, and select by the UID."""
    uid, name = uid_of(job), name_of(job)
    spec = job["spec"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels.setdefault("controller-uid", uid)
    labels.setdefault("job-name", name)
    labels[CONTROLLER_UID] = uid
    labels["batch.kubernetes.io/job-name"] = name
    spec.setdefault("selector", {}).setdefault("matchLabels", {})[CONTROLLER_UID] = uid
