"""The node's own object in the API: registered, kept alive by a lease, and brought up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from container_kit.cluster.client import ApiExists, ApiNotFound, Client
from container_kit.cluster.meta import Clock
from container_kit.cluster.meta.times import format_micro_time
from container_kit.cluster.node.node_object import LEASE_NAMESPACE, NodeWords, node_conditions

__all__ = ["Registration"]

_LEASES = "leases.coordination.k8s.io"
_STATUS_EVERY = 30  # heartbeats: the status itself is renewed every five minutes


class Registration:
    """What a node tells the API of itself.

    Attributes:
        uid: Of the Node object.
    """

    def __init__(self, client: Client, words: NodeWords, clock: Clock) -> None:
        self._client, self._words, self._clock = client, words, clock
        self.uid = ""
        self._beats = 0
        self._pressures: tuple[str, ...] = ()
        self._not_ready = ""

    def register(self) -> None:
        """Let the node be there and Ready; it may have been there before."""
        try:
            found = self._client.create(self._words.node(self._clock.stamp()))
        except ApiExists:
            found = self._client.get("nodes", self._words.name)
        self.uid = found["metadata"]["uid"]
        self._write_status()
        self._renew()

    def beat(self) -> None:
        """Say that the node lives."""
        self._beats += 1
        self._renew()
        if self._beats % _STATUS_EVERY == 0:
            self._write_status()

    def tell(self, *, pressures: Sequence[str] | None = None, not_ready: str | None = None) -> None:
        """Say of what there is too little, or why no more pods are taken; None leaves it as it is."""
        before = self._pressures, self._not_ready
        self._pressures = before[0] if pressures is None else tuple(pressures)
        self._not_ready = before[1] if not_ready is None else not_ready
        if before != (self._pressures, self._not_ready):
            self._write_status()

    def _write_status(self) -> None:
        with contextlib.suppress(ApiNotFound):  # somebody has deleted the node
            node, now = self._client.get("nodes", self._words.name), self._clock.stamp()
            old = (node.get("status") or {}).get("conditions") or ()
            conditions = node_conditions(now, self._pressures, not_ready=self._not_ready, old=old)
            status = self._words.status(now, conditions)
            self._client.patch("nodes", self._words.name, {"status": status}, subresource="status")

    def _renew(self) -> None:
        now = format_micro_time(self._clock.now())
        patch = {"spec": {"renewTime": now}}
        try:
            self._client.patch(_LEASES, self._words.name, patch, LEASE_NAMESPACE, kind="merge")
        except ApiNotFound:
            with contextlib.suppress(ApiExists, ApiNotFound):
                self._client.create(self._words.lease(self.uid, now))
