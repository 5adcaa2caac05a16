"""Namespaces: nothing is made where none is, or where one is going away.

Source: Kubernetes, "Admission Control", NamespaceLifecycle.
"""

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CONNECT, CREATE, DELETE, Attributes, Plugin
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.status import not_found

__all__ = ["NamespaceLifecycle"]

_IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
_REVIEWS = frozenset(("localsubjectaccessreviews",))


class NamespaceLifecycle(Plugin):
    """Refuses objects in namespaces that are not there or are being deleted."""

    name = "NamespaceLifecycle"

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation != CONNECT

    def admit(self, attributes: Attributes) -> None:
        plural = attributes.resource.plural
        if plural == "namespaces" and not attributes.resource.group:
            if attributes.operation == DELETE and attributes.name in _IMMORTAL:
                raise refused(attributes, "this namespace may not be deleted")
            return
        if attributes.operation == DELETE or not attributes.namespace or plural in _REVIEWS:
            return
        self._check_namespace(attributes)

    def _check_namespace(self, attributes: Attributes) -> None:
        name = attributes.namespace
        namespace = attributes.world.get("namespaces", "", name)
        if namespace is None:
            raise not_found("namespaces", name)
        terminating = (namespace.get("status") or {}).get("phase") == "Terminating"
        if attributes.operation == CREATE and (terminating or namespace["metadata"].get("deletionTimestamp")):
            problem = f"unable to create new content in namespace {name} because it is being terminated"
            cause = FieldError(
                "metadata.namespace", "NamespaceTerminating", f"namespace {name} is being terminated"
            )
            raise refused(attributes, problem, [cause])
