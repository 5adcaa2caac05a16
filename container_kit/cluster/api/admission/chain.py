"""Which plugins there are, and in which order they are asked."""

from container_kit.cluster.api.admission.certificates import (
    CertificateRights,
    CertificateSubjectRestriction,
    MaySign,
)
from container_kit.cluster.api.admission.limits import LimitRanger
from container_kit.cluster.api.admission.namespaces import NamespaceLifecycle
from container_kit.cluster.api.admission.node_restriction import NodeRestriction
from container_kit.cluster.api.admission.pod_security import PodSecurity
from container_kit.cluster.api.admission.pods import (
    DefaultTolerationSeconds,
    Priority,
    RuntimeClass,
    TaintNodesByCondition,
)
from container_kit.cluster.api.admission.policies import ValidatingAdmissionPolicy
from container_kit.cluster.api.admission.quota import ResourceQuota
from container_kit.cluster.api.admission.service_accounts import ServiceAccount
from container_kit.cluster.api.admission.storage import (
    DefaultIngressClass,
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from container_kit.cluster.api.admission.webhooks import MutatingWebhook, ValidatingWebhook
from container_kit.cluster.api.core import Core
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.plugins import Plugin

__all__ = ["default_plugins"]


def _everybody(user: User, verb: str, signer: str) -> bool:
    return True


def default_plugins(core: Core, may_sign: MaySign = _everybody) -> list[Plugin]:
    """The plugins of a cluster, to be given to ``core.admission.use``.

    Args:
        core: The API whose writes they judge.
        may_sign: Whether a user may approve or sign certificates; everybody, where nobody is asked for
            rights.
    """
    return [
        NamespaceLifecycle(),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        TaintNodesByCondition(),
        PodSecurity(),
        Priority(),
        DefaultTolerationSeconds(),
        DefaultStorageClass(),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(),
        RuntimeClass(),
        CertificateRights(may_sign),
        CertificateSubjectRestriction(),
        DefaultIngressClass(),
        MutatingWebhook(core.world),
        ValidatingAdmissionPolicy(core.registry),
        ValidatingWebhook(core.world),
        ResourceQuota(core.store, core.clock),
    ]
