"""A node of an API server in this process, with real pods of a busybox image."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.nodes import StreamOptions
from container_kit.cluster.client import Client
from container_kit.cluster.client.in_process import InProcess
from container_kit.cluster.node.agent import NodeAgent
from container_kit.cluster.node.link import AgentLink
from container_kit.cluster.node.service_proxy import ServiceProxy
from container_kit.cluster.store import MemoryStore
from container_kit.containers import Engine
from container_kit.native.namespaces import NetworkNamespace
from tests.pods.conftest import engine as engine
from tests.pods.conftest import stocked_root as stocked_root

PATIENCE_S = 60.0
DNS = "10.96.0.10"
Object = dict[str, Any]


class Site:
    """An API server without controllers, and nodes.

    Attributes:
        client: Of an administrator.
        agents: By the name of their node.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self._folder = engine, folder
        self.api = Api(MemoryStore())
        self.client = Client(InProcess(self.api, User("admin", ("system:masters",))))
        for name in ("default", "kube-system", "kube-node-lease"):
            self.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.proxy = self._new_proxy()
        self.agents: dict[str, NodeAgent] = {}
        self._seen: dict[str, Object | None] = {}
        self._news = threading.Condition()
        self._end = self.client.subscribe("pods", None, self._take)

    def _new_proxy(self) -> ServiceProxy:
        made = ServiceProxy(self.client, NetworkNamespace.here(), dns_address=DNS, others=[])
        made.start()
        return made

    def renew_proxy(self) -> None:
        """As if it were in another process: what the one before has told the kernel stays."""
        old, self.proxy = self.proxy, self._new_proxy()
        old.drop_node("node-0")
        old.close()

    def start_node(self, name: str = "node-0", **options: Any) -> NodeAgent:
        """A node that is Ready."""
        agent = self.agents[name] = NodeAgent(
            self.client,
            name,
            self.engine,
            directory=str(self._folder / name),
            services=self.proxy,
            cluster_dns=DNS,
            **options,
        )
        agent.start()
        self.api.nodes.set(name, AgentLink(agent))
        return agent

    def stop_node(self, name: str) -> None:
        """Its agent ends."""
        self.api.nodes.set(name, None)
        self.agents.pop(name).close()

    def close(self) -> None:
        for name in list(self.agents):
            self.stop_node(name)
        self.proxy.close()
        self._end()

    def _take(self, event: Any) -> None:
        if event is not None:
            with self._news:
                gone = event.type == "DELETED"
                self._seen[event.object["metadata"]["name"]] = None if gone else event.object
                self._news.notify_all()

    def wait(self, name: str, condition: Callable[[Object], object]) -> Object:
        """The pod of this name, once *condition* holds of it."""
        with self._news:
            met = self._news.wait_for(lambda: (pod := self._seen.get(name)) and condition(pod), PATIENCE_S)
            found = self._seen.get(name)
        assert met, f"pod {name} never came to be so: {found and found.get('status')}"
        assert found is not None
        return found

    def wait_ready(self, name: str) -> Object:
        """The pod, once it is Ready."""
        return self.wait(name, lambda pod: condition_of(pod, "Ready")["status"] == "True")

    def wait_gone(self, name: str) -> None:
        """Return when the API has forgotten the pod."""
        with self._news:
            assert self._news.wait_for(lambda: name in self._seen and self._seen[name] is None, PATIENCE_S)

    def listed(self) -> set[tuple[str, str]]:
        """What there is of all that tests make, by resource and name."""
        kinds = ("pods", "services", "endpointslices.discovery.k8s.io", "configmaps", "secrets")
        return {(kind, one["metadata"]["name"]) for kind in kinds for one in self.client.list(kind).items}

    def clear(self, kept: set[tuple[str, str]]) -> None:
        """Delete all else, and wait until the pods among it are gone."""
        made = self.listed() - kept
        for kind, name in made:
            self.client.delete(kind, name, grace_s=0)
        for kind, name in made:
            if kind == "pods":
                self.wait_gone(name)
        end = time.monotonic() + PATIENCE_S
        known = {name for kind, name in kept if kind == "pods"}
        while any(
            {one.last["metadata"]["name"] for one in agent.pods()} - known for agent in self.agents.values()
        ):
            assert time.monotonic() < end
            time.sleep(0.01)

    def run(self, name: str, command: str, container: str = "c") -> tuple[int, str]:
        """The exit code of a line of shell in a container, and what it printed."""
        pod, client = self.client.get("pods", name), OutputOnly()
        agent, options = self.agents[pod["spec"]["nodeName"]], StreamOptions(stdout=True, stderr=True)
        code = AgentLink(agent).exec(pod, container, ["sh", "-c", command], options, client)
        client.close()
        return code, client.text

    def printed(self, name: str, command: str) -> str:
        """What a line of shell prints in a container; it is tried again until it succeeds."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.run(name, command))[0] != 0:
            assert time.monotonic() < end, f"{command!r} still fails: {found[1]}"
            time.sleep(0.05)
        return found[1]


class OutputOnly:
    """A client's end of a stream that sends nothing."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._closed = threading.Event()

    def receive(self) -> tuple[int, bytes] | None:
        self._closed.wait()
        return None

    def send(self, channel: int, data: bytes) -> None:
        self._pieces.append(data)

    def close(self) -> None:
        self._closed.set()

    @property
    def text(self) -> str:
        return b"".join(self._pieces).decode()


def condition_of(pod: Object, kind: str) -> Object:
    """One condition of a pod; one that is Unknown before it has any."""
    found = pod.get("status", {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {"status": "Unknown"})


def pod_on(node: str, name: str, *command: str, **more: Any) -> Object:
    """A pod that is bound to a node; *more* goes to its container, but for ``spec`` and ``labels``."""
    spec, labels = more.pop("spec", {}), more.pop("labels", {})
    container = {"name": "c", "image": "box", "imagePullPolicy": "Never", **more}
    if command:
        container["command"] = list(command)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            **spec,
        },
    }


SLEEP = ("sleep", "1000")


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Iterator[Site]:
    """A site without nodes; nothing of it is left afterwards."""
    made = Site(engine, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting_site(stocked_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a node for all tests of a module."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(["cp", "-a", str(stocked_root), str(folder / "root")], check=True)
    with Engine(folder / "root") as engine:
        made = Site(engine, folder)
        made.start_node()
        # What is made once a process, or once a node: no leak of the first test that needs it.
        made.client.create(pod_on("node-0", "first", *SLEEP))
        made.wait_ready("first")
        yield made
        made.close()
    shutil.rmtree(folder)


@pytest.fixture
def shared(lasting_site: Site) -> Iterator[Site]:
    """The site of the module; what a test has made there goes after it."""
    before = lasting_site.listed()
    yield lasting_site
    lasting_site.clear(before)
