"""One client for every API server: the embedded one, and any other Kubernetes."""

from __future__ import annotations

from container_kit._lazy import resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from container_kit.cluster.client.client import Client as Client
    from container_kit.cluster.client.client import ObjectList as ObjectList
    from container_kit.cluster.client.errors import *  # noqa: F403
    from container_kit.cluster.client.http import Http as Http
    from container_kit.cluster.client.kubeconfig import Access as Access
    from container_kit.cluster.client.kubeconfig import read_access as read_access
    from container_kit.cluster.client.watch import Watch as Watch
    from container_kit.cluster.client.watch import WatchEvent as WatchEvent

_HOMES = {
    ".client": "Client ObjectList",
    ".errors": """
        ApiConflict ApiError ApiExists ApiExpired ApiForbidden ApiInvalid ApiNotFound ApiTimeout
        ApiTooManyRequests ApiUnauthorized ApiUnavailable ApiUnsupported
    """,
    ".http": "Http",
    ".kubeconfig": "Access read_access",
    ".watch": "Watch WatchEvent",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME]
__getattr__ = resolver(__name__, _HOME)
