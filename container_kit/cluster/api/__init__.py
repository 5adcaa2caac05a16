"""The API server, without a network: requests in, responses out, over a store."""

from __future__ import annotations

from container_kit._lazy import resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from container_kit.cluster.api.api import ANONYMOUS as ANONYMOUS
    from container_kit.cluster.api.api import Api as Api
    from container_kit.cluster.api.api import Authenticator as Authenticator
    from container_kit.cluster.api.api import Authorizer as Authorizer
    from container_kit.cluster.api.messages import Duplex as Duplex
    from container_kit.cluster.api.messages import LineBody as LineBody
    from container_kit.cluster.api.messages import Request as Request
    from container_kit.cluster.api.messages import Response as Response
    from container_kit.cluster.api.messages import Upgrade as Upgrade
    from container_kit.cluster.api.messages import User as User
    from container_kit.cluster.api.messages import WatchBody as WatchBody
    from container_kit.cluster.api.messages import WatchItem as WatchItem
    from container_kit.cluster.api.nodes import LogOptions as LogOptions
    from container_kit.cluster.api.nodes import NodeLink as NodeLink
    from container_kit.cluster.api.nodes import NodeLinks as NodeLinks
    from container_kit.cluster.api.nodes import StreamOptions as StreamOptions
    from container_kit.cluster.api.plugins import Attributes as Attributes
    from container_kit.cluster.api.plugins import Plugin as Plugin
    from container_kit.cluster.api.resources import Registry as Registry
    from container_kit.cluster.api.resources import Resource as Resource
    from container_kit.cluster.api.routing import Route as Route

_HOMES = {
    ".api": "ANONYMOUS Api Authenticator Authorizer",
    ".messages": "Duplex LineBody Request Response Upgrade User WatchBody WatchItem",
    ".nodes": "LogOptions NodeLink NodeLinks StreamOptions",
    ".plugins": "Attributes Plugin",
    ".resources": "Registry Resource",
    ".routing": "Route",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME]
__getattr__ = resolver(__name__, _HOME)
