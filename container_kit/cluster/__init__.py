"""An embedded Kubernetes: API server, scheduler, controllers and nodes in the caller's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.cluster.client import *  # noqa: F403
    from container_kit.cluster.cluster import Cluster as Cluster

_CLIENT = """
    ApiConflict ApiError ApiExists ApiExpired ApiForbidden ApiInvalid ApiNotFound ApiTimeout
    ApiTooManyRequests ApiUnauthorized ApiUnavailable ApiUnsupported Client ObjectList Watch WatchEvent
"""
_HOME = {"Cluster": ".cluster"} | dict.fromkeys(_CLIENT.split(), ".client")
__all__ = [*_HOME]
__getattr__ = resolver(__name__, _HOME)
