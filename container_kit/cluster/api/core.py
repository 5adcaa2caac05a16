"""What all handlers work with: the store, the clock, the registry, the plugins; and one request on its way.

Handlers are plain functions of a `Call`; they raise `StatusError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from container_kit.cluster.api.authorization.reviews import Judge
from container_kit.cluster.api.expiry import Expiry
from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.api.negotiation import Form, accepted_form
from container_kit.cluster.api.nodes import NodeLinks
from container_kit.cluster.api.plugins import Admission, Attributes
from container_kit.cluster.api.resources import Registry, Resource
from container_kit.cluster.api.routing import Route
from container_kit.cluster.kinds.strategy import Context
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError, not_found
from container_kit.cluster.meta.times import Clock
from container_kit.cluster.store import Record, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from container_kit.cluster.api.authentication.authority import Authority
    from container_kit.cluster.api.authentication.tokens import TokenIssuer

__all__ = ["FRONT_PROXY", "Call", "Core", "StoreWorld"]

FRONT_PROXY = "front-proxy-client"  # our name for aggregated API servers


class StoreWorld:
    """The stored objects, for strategies and plugins: only to be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object, or None. *resource* is ``pods`` or ``deployments.apps``."""
        record = self._store.get(resource, namespace, name)
        return record.object if record else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Object]:
        """The objects of a resource, of one namespace or of all."""
        return [record.object for record in self._store.list(resource, namespace).records]


class Core:
    """What handlers share.

    Attributes:
        admission: The plugins that every write passes.
        nodes: The ways to the nodes.
        expiry: Removes old events.
        issuer: Signs tokens of service accounts; None: nobody does.
        review_token: The status of a TokenReview for a token and the audiences that are asked for.
        front_proxy: Signs what is shown to aggregated API servers, which then believe in the users that we
            name; None: nothing is shown.
        judge: Who decides about rights, for reviews of them; None: everybody may do everything.
    """

    def __init__(self, store: Store, clock: Clock, registry: Registry) -> None:
        self.store, self.clock, self.registry = store, clock, registry
        self.admission = Admission()
        self.nodes = NodeLinks()
        self.expiry = Expiry(store, clock)
        self.issuer: TokenIssuer | None = None
        self.review_token: Callable[[str, Sequence[str]], Object] | None = None
        self.judge: Judge | None = None
        self.front_proxy: Authority | None = None
        self.world = StoreWorld(store)


class Call:
    """One request for a resource.

    Attributes:
        warnings: Told to the client in headers.
    """

    __slots__ = ("core", "request", "resource", "route", "user", "warnings")

    def __init__(self, core: Core, request: Request, route: Route, resource: Resource, user: User) -> None:
        self.core, self.request, self.route, self.resource, self.user = core, request, route, resource, user
        self.warnings: list[str] = []

    @property
    def form(self) -> Form:
        """In which form the answer is wanted."""
        return accepted_form(self.request.headers.get("accept", ""))

    def warn(self, text: str) -> None:
        """Tell the client something about what it did."""
        self.warnings.append(text)

    def record(self) -> Record:
        """The stored object that is meant.

        Raises:
            StatusError: 404.
        """
        found = self.core.store.get(self.resource.key, self.route.namespace_of_object, self.route.name)
        if found is None:
            raise self.not_found()
        return found

    def not_found(self) -> StatusError:
        """The error for an object that is not there."""
        return not_found(self.resource.plural, self.route.name, self.resource.group)

    def context(self, dry_run: bool = False) -> Context:
        """What strategies may know."""
        return Context(self.core.clock.stamp(), self.core.world, self.user.name, dry_run)

    def attributes(
        self,
        operation: str,
        obj: Object | None,
        old: Object | None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
        options: dict[str, Any] | None = None,
    ) -> Attributes:
        """What plugins may know."""
        return Attributes(
            operation=operation,
            resource=self.resource,
            subresource=self.route.subresource if subresource is None else subresource,
            namespace=self.route.namespace_of_object,
            name=self.route.name if name is None else name,
            obj=obj,
            old=old,
            user=self.user,
            dry_run=dry_run,
            world=self.core.world,
            warn=self.warn,
            options=options or {},
        )
