"""Pod Security Standards: three levels of what pods may ask for, chosen by labels of their namespace."""

from container_kit.cluster.api.admission.pod_security.plugin import PodSecurity

__all__ = ["PodSecurity"]
