"""A cluster in this process: its parts, put together in their order and taken apart in the other.

Nothing is decided here. Each part reaches the others by the API only, as a user of its own; who replaces one
(a scheduler of their own, say) leaves ours out and connects another.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.cluster.api.admission import default_plugins
from container_kit.cluster.api.api import Api
from container_kit.cluster.api.authentication.authenticator import Authenticator
from container_kit.cluster.api.authorization import RbacAuthorizer
from container_kit.cluster.api.authorization.escalation import NoEscalation
from container_kit.cluster.api.messages import User
from container_kit.cluster.bootstrap import API_ADDRESS, DNS_ADDRESS, bootstrap, publish_trust
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.in_process import InProcess
from container_kit.cluster.identity import Identity
from container_kit.cluster.store import MemoryStore, Store
from container_kit.cluster.workplace import workplace
from container_kit.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from container_kit.cluster.node.service_proxy import ServiceProxy
    from container_kit.containers.engine import Engine
    from container_kit.images import Image
    from container_kit.native.namespaces import NetworkNamespace

__all__ = ["ClusterOptions", "Embedded"]

_ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))
_SERVER_NAMES = (
    "127.0.0.1", "::1", "localhost", API_ADDRESS, "kubernetes", "kubernetes.default",
    "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
)  # fmt: skip


@frozen
class ClusterOptions:
    """See `Cluster`."""

    nodes: int
    simulated_nodes: int
    path: str
    snapshot: str
    listen: str
    name: str
    anonymous: bool = True


class Embedded:
    """A control plane and its nodes; `stop` ends all of it.

    Attributes:
        api: The API server, which is used without a network from here.
        client: As an administrator.
    """

    def __init__(self, options: ClusterOptions, engine: Engine | None) -> None:
        if options.nodes < 0 or options.simulated_nodes < 0:
            raise InvalidInput("a cluster has 0 or more nodes")
        self.options = options
        self._engine = engine
        self._ends = contextlib.ExitStack()
        self._lock = threading.Lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """``https://host:port`` of the API server."""
        return self._server.url

    def client_of(self, name: str, *groups: str) -> Client:
        """A client for a part of the cluster, as the user that it is."""
        user = User(name, (*groups, "system:authenticated"))
        return Client(InProcess(self.api, user, agent=_program_of(name)))

    def kubeconfig(self, path: str | None) -> str:
        """The text, also written to *path*."""
        from container_kit.cluster.server.kubeconfig import kubeconfig_text, write_kubeconfig

        admin = self._identity.authority.issue(_ADMIN.name, organizations=("system:masters",))
        text = kubeconfig_text(self.options.name, self.address, self._identity.authority.certificate, admin)
        if path is not None:
            write_kubeconfig(path, text)
        return text

    def load(self, image: Image | str) -> None:
        """Nodes of this process see every image of the engine: all there is to do is to look for this one."""
        from container_kit.images import Image

        Image.get(image if isinstance(image, str) else str(image.id), engine=self._engine)

    def snapshot(self, path: str) -> None:
        """All objects, in a new file."""
        self.store.snapshot(path)

    def stop(self) -> None:
        """Take everything apart; may be called again."""
        with self._lock:
            self._ends.close()

    def _start(self) -> None:
        root = None if self._engine is None else self._engine.root
        self._folder = self._ends.enter_context(workplace(self.options.path, root))
        self.store = self._opened_store()
        self.api = Api(self.store)
        self._guard()
        self.client = Client(InProcess(self.api, _ADMIN))
        self._identity = Identity.of(self._folder if self.options.path else "")
        authenticator = Authenticator(
            self._identity.issuer, self._uid_of, is_anonymous_allowed=self.options.anonymous
        )
        self.api.authenticators.append(authenticator)
        self.api.use_tokens(self._identity.issuer, authenticator.review)
        self.api.core.front_proxy = self._identity.front_proxy
        bootstrap(self.client)
        publish_trust(self.client, self._identity.authority, self._identity.front_proxy)
        self._serve()
        self._control()
        self._schedule()
        self._run_nodes()

    def _guard(self) -> None:
        """Writes are judged by plugins, and everybody needs rights; our own parts are masters."""
        rights = RbacAuthorizer(self.store)
        self._ends.callback(rights.close)
        self.api.authorizer = self.api.core.judge = rights
        plugins = default_plugins(self.api.core, rights.may_sign)
        self.api.admission.use([*plugins, NoEscalation(rights)])

    def _opened_store(self) -> Store:
        snapshot = self.options.snapshot
        store: Store
        if self.options.path:
            from container_kit.cluster.store import SqliteStore

            path = f"{self._folder}/objects.db"
            if snapshot and os.path.exists(path):
                raise Conflict(f"{self.options.path} has a cluster already: restore into another folder")
            if snapshot:
                MemoryStore.from_snapshot(snapshot).snapshot(path)  # which looks whether it is one
            store = SqliteStore(path)
        else:
            store = MemoryStore.from_snapshot(snapshot) if snapshot else MemoryStore()
        self._ends.callback(store.close)
        return store

    def _uid_of(self, resource: str, namespace: str, name: str) -> str | None:
        record = self.store.get(resource, namespace, name)
        return None if record is None else record.object["metadata"]["uid"]

    def _serve(self) -> None:
        from container_kit.cluster.server.listening import HttpServer
        from container_kit.cluster.server.tls import server_context

        issued = self._identity.authority.issue("kube-apiserver", names=_SERVER_NAMES)
        context = server_context(self._identity.authority, issued)
        self._server = HttpServer(self.api, _address(self.options.listen), tls=context)
        self._server.start()
        self.api.discovery.address = self.address.rpartition("/")[2]
        self._ends.callback(self._server.close)

    def _control(self) -> None:
        from container_kit.cluster.controllers.framework import Manager
        from container_kit.cluster.controllers.infrastructure import add_infrastructure_controllers
        from container_kit.cluster.controllers.workloads import add_workload_controllers

        manager = Manager(self.client, client_of=self._controller)
        add_workload_controllers(manager, self._identity.authority.certificate.decode(), self._identity.sign)
        add_infrastructure_controllers(
            manager, self._identity.authority.sign_request, f"{self._folder}/volumes"
        )
        manager.start()
        self._ends.callback(manager.stop)

    def _controller(self, name: str) -> Client:
        return self.client_of(f"system:serviceaccount:kube-system:{name}", "system:masters")

    def _schedule(self) -> None:
        from container_kit.cluster.scheduler.scheduler import Scheduler

        scheduler = Scheduler(self.client_of("system:kube-scheduler", "system:masters"))
        scheduler.start()
        self._ends.callback(scheduler.stop)

    def _run_nodes(self) -> None:
        from container_kit.cluster.api.usage import usage_resources

        if self.options.nodes or self.options.simulated_nodes:
            self.api.registry.add(usage_resources())
        if self.options.simulated_nodes:
            from container_kit.cluster.node.simulated import SimulatedNodes

            client = self.client_of("kubelet", "system:masters")
            simulated = SimulatedNodes(client, self.options.simulated_nodes, links=self.api.nodes)
            self._ends.callback(simulated.close)
        if self.options.nodes:
            self._run_real_nodes()

    def _run_real_nodes(self) -> None:
        from container_kit.cluster.node.service_proxy import ServiceProxy
        from container_kit.containers.engine import Engine

        engine = self._engine or self._ends.enter_context(Engine())
        host = self._host_of(engine)
        user = self.client_of("system:kube-proxy", "system:masters")
        proxy = ServiceProxy(user, host, dns_address=DNS_ADDRESS)
        proxy.start()
        self._ends.callback(proxy.close)
        self._lead_to_api(proxy, host)
        for number in range(1, self.options.nodes + 1):
            self._run_node(f"{self.options.name}-{number}", engine, proxy)

    def _host_of(self, engine: Engine) -> NetworkNamespace:
        """The namespace with the nodes' bridges; of an ordinary user it stays with the cluster."""
        line = engine.networks.lifeline()
        if line is not None:
            self._ends.callback(line.connection.close)
        return engine.networks.site.host

    def _lead_to_api(self, proxy: ServiceProxy, place: NetworkNamespace) -> None:
        """Let pods reach the API server by its service, though it listens on this machine alone."""
        from container_kit.cluster.node.service_table import Backend, Target

        host, port = self._server.address
        if not place.is_own:
            listener = place.open_socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            self._server.listen_too(listener)
            host, port = listener.getsockname()
        if port:
            backends = (Backend("127.0.0.1" if host in ("0.0.0.0", "::") else host, port),)  # noqa: S104
            proxy.lead(Target(addresses=(API_ADDRESS,), protocol="TCP", port=443, backends=backends))

    def _run_node(self, name: str, engine: Engine, proxy: ServiceProxy) -> None:
        from container_kit.cluster.node.agent import NodeAgent
        from container_kit.cluster.node.link import AgentLink

        agent = NodeAgent(
            self.client_of(f"system:node:{name}", "system:masters"),
            name,
            engine,
            directory=f"{self._folder}/nodes/{name}",
            owned=not self.options.path,
            services=proxy,
            cluster_dns=DNS_ADDRESS,
        )
        agent.start()
        self._ends.callback(agent.close, end_pods=True)
        self.api.nodes.set(name, AgentLink(agent))


def _address(listen: str) -> tuple[str, int] | str:
    """``host:port``, or a path.

    Raises:
        InvalidInput: It is neither, or an address at which others could come in.
    """
    if "/" in listen:
        return listen
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        words = "give host:port, such as 127.0.0.1:6443, or a path"
        raise InvalidInput(f"{listen!r} cannot be listened on: {words}")
    host = host.strip("[]")
    if not _is_here(host):
        words = "the API server is for this machine alone: give a host such as 127.0.0.1, or a path"
        raise InvalidInput(f"{listen!r} is not listened on: {words}")
    return host, int(port)


def _is_here(host: str) -> bool:
    """Whether an address leads to this machine from nowhere else."""
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _program_of(user: str) -> str:
    """The program that acts as *user* in other clusters; it is who manages the fields that are written."""
    if user.startswith("system:serviceaccount:kube-system:"):
        return "kube-controller-manager"
    return "kubelet" if user.startswith("system:node:") else user.removeprefix("system:")
