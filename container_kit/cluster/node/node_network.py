"""A node's network: a bridge with the addresses of its pods, and what leads them to services.

The pods of other nodes are reached by their own addresses, without translation.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from container_kit.cluster.node.service_rules import ServiceRules
from container_kit.containers.ownership import dead_owners
from container_kit.errors import Conflict, NameInUse, NotFound
from container_kit.native.digests import Hasher
from container_kit.network import Network
from container_kit.network.firewall_bridge import BridgeFilter

if TYPE_CHECKING:
    from container_kit.cluster.node.service_proxy import ServiceProxy
    from container_kit.containers import Engine

__all__ = ["NodeNetwork", "network_name"]

_OPTIONS = {"services": "true"}
_OWNER = "node-owner"


def network_name(seed: str, node: str) -> str:
    """What the network of a node is called, where *seed* tells clusters apart."""
    return f"node-{Hasher(f'{seed} {node}'.encode()).hexdigest()[:12]}"


class NodeNetwork:
    """The network of one node.

    Args:
        services: What leads to services; None for a node without.
        owned: Whether it goes with this process.
        seed: Tells this cluster's networks from those of others in the same root.

    Attributes:
        name: Of the engine's network.
        subnet: Where the pods' addresses are, such as ``10.89.3.0/24``.
        address: The node's own: the first of them.
    """

    def __init__(
        self,
        engine: Engine,
        node: str,
        services: ServiceProxy | None,
        service_range: str,
        *,
        seed: str,
        owned: bool,
    ) -> None:
        self._engine, self._node, self._services = engine, node, services
        self.name = network_name(seed, node)
        self._labels = {_OWNER: engine.owner_token.token} if owned else {}
        self._network = self._found()
        self._service_range = service_range
        self.subnet, self.address = self._network.subnets[0], self._network.gateways[0]

    def _found(self) -> Network:
        """The network, with addresses that stay: found free, and then asked for."""
        try:
            return Network.get(self.name, engine=self._engine)
        except NotFound:
            pass
        self._sweep()
        free = Network.create(self.name, isolate=False, engine=self._engine)
        subnets = free.subnets
        free.remove()
        try:
            return Network.create(
                self.name,
                subnets=subnets,
                isolate=False,
                options=_OPTIONS,
                labels=self._labels,
                engine=self._engine,
            )
        except NameInUse:
            return Network.get(self.name, engine=self._engine)

    def _sweep(self) -> None:
        """Remove the networks of nodes whose process was killed."""
        owners = self._engine.catalogue.owners
        living = set(os.listdir(owners)) - set(dead_owners(owners))
        for one in Network.list(engine=self._engine):
            owner = one.record.options.labels.get(_OWNER)
            if owner is not None and owner not in living:
                with contextlib.suppress(NotFound, Conflict):
                    one.remove()

    def open(self) -> None:
        """Have services led to on it."""
        if self._services is None:
            return
        record = self._network.record
        rules = ServiceRules(
            table=BridgeFilter(record).services,
            link=record.link,
            service_range=self._service_range,
            node_addresses=(self.address,),
        )
        self._services.add_node(self._node, rules)

    def ensure(self) -> None:
        """Have the rules in place: a pod is coming, or has come."""
        if self._services is not None:
            self._services.ensure(self._node)

    def close(self, *, remove: bool) -> None:
        """Let go of it; with *remove* nothing of it stays."""
        if self._services is not None:
            self._services.drop_node(self._node)
        if remove:
            with contextlib.suppress(NotFound, Conflict):  # somebody else may have put a container on it
                self._network.remove()
