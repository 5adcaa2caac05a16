"""Defaults of claims and ingresses that come from the cluster, and volumes that are kept while in use.

Source: Kubernetes, "Admission Control": DefaultStorageClass, DefaultIngressClass,
StorageObjectInUseProtection, PersistentVolumeClaimResize.
"""

from fractions import Fraction

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import Object, quantity

__all__ = [
    "DefaultIngressClass",
    "DefaultStorageClass",
    "PersistentVolumeClaimResize",
    "StorageObjectInUseProtection",
]

STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
STORAGE_DEFAULT_BETA = "storageclass.beta.kubernetes.io/is-default-class"
INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
}


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one, the newest if there are several."""

    name = "DefaultStorageClass"

    def handles(self, attributes: Attributes) -> bool:
        claims = attributes.resource.plural == "persistentvolumeclaims"
        return claims and attributes.operation == CREATE and not attributes.subresource

    def admit(self, attributes: Attributes) -> None:
        claim = attributes.obj
        assert claim is not None
        spec = claim.setdefault("spec", {})
        if spec.get(
            "storageClassName"
        ) is not None or "volume.beta.kubernetes.io/storage-class" in _annotations(claim):
            return
        classes = [
            each for each in attributes.world.list("storageclasses.storage.k8s.io") if _is_default_class(each)
        ]
        if classes:
            newest = max(classes, key=_by_age)
            spec["storageClassName"] = newest["metadata"]["name"]


def _is_default_class(storage_class: Object) -> bool:
    annotations = _annotations(storage_class)
    return "true" in (annotations.get(STORAGE_DEFAULT), annotations.get(STORAGE_DEFAULT_BETA))


def _by_age(obj: Object) -> tuple[str, list[int]]:
    """Newest last; of two of the same second the first by name counts as newer."""
    metadata = obj["metadata"]
    return metadata.get("creationTimestamp") or "", [-ord(char) for char in metadata["name"]]


class DefaultIngressClass(Plugin):
    """An ingress that names no class gets the default one."""

    name = "DefaultIngressClass"

    def handles(self, attributes: Attributes) -> bool:
        ingresses = attributes.resource.plural == "ingresses"
        return ingresses and attributes.operation == CREATE and not attributes.subresource

    def admit(self, attributes: Attributes) -> None:
        ingress = attributes.obj
        assert ingress is not None
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or "kubernetes.io/ingress.class" in _annotations(ingress):
            return
        known = attributes.world.list("ingressclasses.networking.k8s.io")
        classes = [each for each in known if _annotations(each).get(INGRESS_DEFAULT) == "true"]
        if classes:
            spec["ingressClassName"] = max(classes, key=_by_age)["metadata"]["name"]


class StorageObjectInUseProtection(Plugin):
    """Volumes and claims get a finalizer that a controller takes away once nobody uses them."""

    name = "StorageObjectInUseProtection"

    def handles(self, attributes: Attributes) -> bool:
        known = attributes.resource.plural in _FINALIZERS and not attributes.resource.group
        return known and attributes.operation == CREATE and not attributes.subresource

    def admit(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        finalizers = attributes.obj["metadata"].setdefault("finalizers", [])
        finalizer = _FINALIZERS[attributes.resource.plural]
        if finalizer not in finalizers:
            finalizers.append(finalizer)


class PersistentVolumeClaimResize(Plugin):
    """Claims grow only when they are bound and their class allows it."""

    name = "PersistentVolumeClaimResize"

    def handles(self, attributes: Attributes) -> bool:
        claims = attributes.resource.plural == "persistentvolumeclaims"
        return claims and attributes.operation == UPDATE and not attributes.subresource

    def validate(self, attributes: Attributes) -> None:
        new, old = attributes.obj, attributes.old
        if new is None or old is None or _size(new) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refused(attributes, "Only bound persistent volume claims can be expanded")
        name = old["spec"].get("storageClassName") or ""
        storage_class = attributes.world.get("storageclasses.storage.k8s.io", "", name) if name else None
        if storage_class is None or not storage_class.get("allowVolumeExpansion"):
            problem = (
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize"
            )
            raise refused(attributes, problem)


def _size(claim: Object) -> Fraction:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity(requests.get("storage", 0))
