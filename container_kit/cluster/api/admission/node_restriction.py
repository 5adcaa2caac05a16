"""Nodes may change only themselves and the pods that run on them.

Source: Kubernetes, "Admission Control", NodeRestriction; "Using Node Authorization".
"""

from collections.abc import Callable

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, DELETE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import Object
from container_kit.cluster.meta.status import not_found

__all__ = ["NodeRestriction", "node_of"]

_GROUP, _PREFIX = "system:nodes", "system:node:"
_MIRROR = "kubernetes.io/config.mirror"
_RESERVED = "node-restriction.kubernetes.io"
# Labels under kubernetes.io and k8s.io that a node may put on itself.
_OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
_OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def node_of(attributes: Attributes) -> str | None:
    """The node that asks, or None when the user is none."""
    user = attributes.user
    if _GROUP in user.groups and user.name.startswith(_PREFIX):
        return user.name.removeprefix(_PREFIX)
    return None


class NodeRestriction(Plugin):
    """Keeps a node from changing what is not its own."""

    name = "NodeRestriction"

    def handles(self, attributes: Attributes) -> bool:
        return attributes.resource.key in _RULES and node_of(attributes) is not None

    def admit(self, attributes: Attributes) -> None:
        node = node_of(attributes)
        if node is not None:
            _RULES[attributes.resource.key](attributes, node)


def _pods(attributes: Attributes, node: str) -> None:
    if attributes.subresource == "eviction":
        _bound_to(
            attributes, node, attributes.world.get("pods", attributes.namespace, attributes.name), "evict"
        )
    elif attributes.subresource == "status":
        _bound_to(attributes, node, attributes.old, "update status for")
    elif attributes.subresource:
        raise refused(attributes, f'unexpected pod subresource "{attributes.subresource}"')
    elif attributes.operation == CREATE:
        _mirror_pod(attributes, node)
    elif attributes.operation == DELETE:
        _bound_to(attributes, node, attributes.old, "delete")
    else:
        raise refused(attributes, f"unexpected operation {attributes.operation}")


def _bound_to(attributes: Attributes, node: str, pod: Object | None, what: str) -> None:
    if pod is None:
        raise not_found("pods", attributes.name)
    if (pod.get("spec") or {}).get("nodeName") != node:
        problem = f'node "{node}" can only {what} pods with spec.nodeName set to itself'
        raise refused(attributes, problem)


def _mirror_pod(attributes: Attributes, node: str) -> None:
    """A node makes only mirrors of its static pods, owned by itself."""
    pod = attributes.obj or {}
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    if _MIRROR not in (metadata.get("annotations") or {}):
        raise refused(
            attributes, f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
        )
    if spec.get("nodeName") != node:
        raise refused(attributes, f'node "{node}" can only create pods with spec.nodeName set to itself')
    owners = [(each.get("kind"), each.get("name")) for each in metadata.get("ownerReferences") or ()]
    if owners != [("Node", node)]:
        raise refused(attributes, f'node "{node}" can only create pods with an owner reference set to itself')


def _nodes(attributes: Attributes, node: str) -> None:
    name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
    if name != node:
        raise refused(attributes, f'node "{node}" is not allowed to modify node "{name}"')
    if attributes.subresource or attributes.operation == DELETE:
        return
    _own_labels(attributes, node)
    new, old = (attributes.obj or {}).get("spec") or {}, (attributes.old or {}).get("spec") or {}
    if attributes.operation == UPDATE and new.get("taints") != old.get("taints"):
        raise refused(attributes, f'node "{node}" is not allowed to modify taints')


def _own_labels(attributes: Attributes, node: str) -> None:
    new, old = (
        ((each or {}).get("metadata") or {}).get("labels") or {} for each in (attributes.obj, attributes.old)
    )
    changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
    forbidden = sorted(filter(_is_foreign_label, changed))
    if forbidden:
        raise refused(attributes, f"is not allowed to modify labels: {', '.join(forbidden)}")


def _is_foreign_label(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if _under(domain, _RESERVED):
        return True
    if key in _OWN_LABELS or any(_under(domain, own) for own in _OWN_PREFIXES):
        return False
    return any(_under(domain, family) for family in ("kubernetes.io", "k8s.io"))


def _under(domain: str, family: str) -> bool:
    return domain == family or domain.endswith(f".{family}")


def _leases(attributes: Attributes, node: str) -> None:
    name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
    if attributes.namespace != "kube-node-lease" or name != node:
        raise refused(
            attributes, f'can only access node lease with the same name as the requesting node "{node}"'
        )


def _csi_nodes(attributes: Attributes, node: str) -> None:
    name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
    if name != node:
        raise refused(
            attributes, f'can only access CSINode with the same name as the requesting node "{node}"'
        )


def _tokens(attributes: Attributes, node: str) -> None:
    """A node gets tokens only for its own pods."""
    if attributes.subresource != "token" or attributes.operation != CREATE:
        return
    reference = ((attributes.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
    if reference.get("kind") != "Pod" or not reference.get("name") or not reference.get("uid"):
        raise refused(attributes, "node requested token not bound to a pod")
    pod = attributes.world.get("pods", attributes.namespace, reference["name"])
    if pod is None or pod["metadata"].get("uid") != reference["uid"]:
        raise not_found("pods", reference["name"])
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise refused(attributes, "node requested token bound to a pod scheduled on a different node")


_RULES: dict[str, Callable[[Attributes, str], None]] = {
    "pods": _pods,
    "nodes": _nodes,
    "leases.coordination.k8s.io": _leases,
    "csinodes.storage.k8s.io": _csi_nodes,
    "serviceaccounts": _tokens,
}
