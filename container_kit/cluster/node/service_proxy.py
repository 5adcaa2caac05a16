"""Services for the pods of a cluster: one thread that keeps the rules of all its nodes and answers for names.

It sleeps until a service, an endpoint or a question comes..  Rules are made when a node's network comes up,
and go with it; changes that come close together are told to the kernel together.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

from container_kit.cluster.client import Client, WatchEvent
from container_kit.cluster.node.dns_names import ClusterNames
from container_kit.cluster.node.dns_server import DnsServer, host_servers
from container_kit.cluster.node.service_rules import ServiceRules
from container_kit.cluster.node.service_table import Backend, ServiceTable, Target
from container_kit.errors import ContainerKitError, KernelError
from container_kit.native.descriptors import new_event
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.netfilter import tell
from container_kit.network.firewall_messages import questions
from container_kit.network.firewall_sockets import netfilter_socket

__all__ = ["ServiceProxy"]

Object = dict[str, Any]
_DNS_PORT = 53
_LOOPBACK = "127.0.0.1"
# For so long further changes are waited for before the kernel is told; longer where that takes long.
_GATHER_S, _SHARE = 0.005, 5
_SOURCES = {"services": "service", "endpointslices.discovery.k8s.io": "slice"}


class ServiceProxy:
    """Leads the pods of a cluster to its services.

    Args:
        host: The namespace with the nodes' bridges, whose loopback the DNS server listens on.
        dns_address: Of the cluster's DNS service; empty for none.
        others: Servers for names that are not the cluster's; None means those of this machine.
    """

    def __init__(
        self,
        client: Client,
        host: NetworkNamespace,
        *,
        dns_address: str = "",
        domain: str = "cluster.local",
        others: list[str] | None = None,
    ) -> None:
        self._client, self._host, self._dns_address = client, host, dns_address
        self._table = ServiceTable()
        self._incoming: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._bell = new_event(0)
        self._names = ClusterNames(self._table, domain)
        others = host_servers() if others is None else others
        self._dns = DnsServer(self._names, self._selector, others, host)
        self._nodes: dict[str, ServiceRules] = {}
        self._made: set[str] = set()  # by this process: those of one before lead to where it listened
        self._subscriptions: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._own: list[Target] = []
        self._closing, self._gather_s = False, _GATHER_S
        self._told_lock = threading.Lock()

    def start(self) -> None:
        """See services from now on."""
        self._selector.register(self._bell.fileno(), selectors.EVENT_READ, self._hear)
        self._thread = threading.Thread(target=self._run, name="service-proxy", daemon=True)
        self._thread.start()
        for resource, kind in _SOURCES.items():
            self._subscriptions.append(self._client.subscribe(resource, None, self._sink(kind)))

    def close(self) -> None:
        """See nothing any more, and take the rules away; may be repeated."""
        for end in self._subscriptions:
            end()
        self._subscriptions = []
        if self._thread is None:
            return
        self._closing = True
        self._ring()
        self._thread.join()
        self._thread = None
        for rules in self._nodes.values():
            self._tell(rules.remove())
        self._nodes = {}
        self._dns.close()
        self._selector.close()
        self._bell.close()

    def lead(self, target: Target) -> None:
        """Lead to something of this process, whatever the API says about that address: to the API itself."""
        with self._told_lock:
            self._own = [one for one in self._own if one.addresses != target.addresses] + [target]
        self._ring()

    def add_node(self, name: str, rules: ServiceRules) -> None:
        """A node whose rules are made as soon as its network is up."""
        self._nodes[name] = rules
        self._made.discard(name)

    def drop_node(self, name: str) -> None:
        """It is gone, and its rules have gone with its network."""
        self._nodes.pop(name, None)

    def ensure(self, name: str) -> None:
        """Make the rules of a node unless they are there: for a network that comes up."""
        if name in self._nodes and not (name in self._made and self._is_told(name)):
            self._tell_node(name)
            self._made.add(name)

    def _is_told(self, name: str) -> bool:
        table = self._nodes[name].table
        try:
            with netfilter_socket(self._host, again=True) as asked:
                tell(asked, questions([table.get()]), "")
        except KernelError:
            return False
        return True

    # Changes

    def _sink(self, kind: str) -> Callable[[WatchEvent | None], None]:
        put = self._table.put_service if kind == "service" else self._table.put_slice
        drop = self._table.drop_service if kind == "service" else self._table.drop_slice

        def take(event: WatchEvent | None) -> None:
            if event is not None and event.type in ("ADDED", "MODIFIED", "DELETED"):
                found = event.object
                self._incoming.put(lambda: (drop if event.type == "DELETED" else put)(found))
                self._ring()

        return take

    def _ring(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.eventfd_write(self._bell.fileno(), 1)

    def _hear(self) -> None:
        """Take over what has come, and tell the nodes."""
        time.sleep(self._gather_s)
        os.eventfd_read(self._bell.fileno())
        with self._told_lock:
            while True:
                try:
                    self._incoming.get_nowait()()
                except queue.Empty:
                    break
        began = time.monotonic()
        for name in list(self._nodes):
            if self._is_told(name):
                self._tell_node(name)
        self._gather_s = max(_GATHER_S, _SHARE * (time.monotonic() - began))

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(self._dns.patience_s()):
                key.data()
            self._dns.expire()

    # The kernel

    def _tell_node(self, name: str) -> None:
        with self._told_lock:
            self._tell(self._nodes[name].make(self._targets()))

    def _targets(self) -> list[Target]:
        """All services, and the DNS of the cluster, whose server is this process."""
        own = {address for one in self._own for address in one.addresses} | {self._dns_address}
        found = [one for one in self._table.targets() if own.isdisjoint(one.addresses)] + self._own
        for protocol in ("UDP", "TCP") if self._dns_address else ():
            backend = Backend(_LOOPBACK, self._dns.port)
            addresses = (self._dns_address,)
            found.append(Target(addresses=addresses, protocol=protocol, port=_DNS_PORT, backends=(backend,)))
        return found

    def _tell(self, messages: bytes) -> None:
        """A host without a packet filter has no services; its pods work otherwise."""
        with contextlib.suppress(ContainerKitError), netfilter_socket(self._host, again=True) as asked:
            tell(asked, messages, "cannot make the rules of services")
