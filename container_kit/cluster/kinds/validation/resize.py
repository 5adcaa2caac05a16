"""Checks of other resources for a running pod.

Source: Kubernetes API reference, Pod ("resize"); "Resize CPU and Memory Resources".
"""

from typing import Any

from container_kit.cluster.kinds.pods import qos_class
from container_kit.cluster.kinds.validation.common import Errors
from container_kit.cluster.kinds.validation.pods import check_pod_spec
from container_kit.cluster.meta import FieldError, Object

__all__ = ["check_resize"]

Node = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"


def check_resize(new: Object, old: Object) -> Errors:
    """The problems of a resize: cpu and memory may change, but the quality of service must stay."""
    if _MIRROR in (old["metadata"].get("annotations") or {}):
        return [FieldError.forbidden("[]", "static pods cannot be resized")]
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return [FieldError.forbidden("[]", "windows pods cannot be resized")]
    errors = check_pod_spec("spec", new["spec"])
    if qos_class(new["spec"]) != qos_class(old["spec"]):
        shown = (new.get("status") or {}).get("qosClass") or ""
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(FieldError.invalid("spec", shown, detail))
    for key in ("initContainers", "containers"):
        pairs = zip(new["spec"].get(key) or (), old["spec"].get(key) or (), strict=False)
        for index, (fresh, stale) in enumerate(pairs):
            errors += _container(f"spec.{key}[{index}].resources", fresh, stale, init=key == "initContainers")
    return errors


def _container(path: str, new: Node, old: Node, *, init: bool) -> Errors:
    if init and new.get("restartPolicy") != "Always":
        if (new.get("resources") or {}) == (old.get("resources") or {}):
            return []
        detail = "resources for non-sidecar init containers are immutable"
        return [FieldError.forbidden("spec", detail)]
    errors: Errors = []
    fixed = []
    for key, word in (("requests", "resource requests"), ("limits", "resource limits")):
        fresh, stale = ((each.get("resources") or {}).get(key) or {} for each in (new, old))
        if set(stale) - set(fresh):
            errors.append(FieldError.forbidden(f"{path}.{key}", f"{word} cannot be removed"))
        fixed += [name for name in {*fresh, *stale} - {"cpu", "memory"} if fresh.get(name) != stale.get(name)]
    if fixed:
        whose = " for sidecar containers" if init else ""
        errors.append(FieldError.forbidden("spec", f"only cpu and memory resources{whose} are mutable"))
    return errors
