"""Parts of objects with verbs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api import Duplex, LineBody, LogOptions, StreamOptions, Upgrade
from container_kit.cluster.api.authentication.authenticator import Authenticator
from container_kit.cluster.api.authentication.tokens import TokenIssuer
from tests.cluster.api.conftest import Asking

NAMESPACE = "/api/v1/namespaces/default"
PODS = f"{NAMESPACE}/pods"
MERGE = "application/merge-patch+json"


def pod(server: Asking, name: str, *containers: str, **spec: Any) -> Any:
    """A new pod; its containers are called as given."""
    listed = [{"name": container, "image": "x"} for container in containers or ("c",)]
    metadata = {"name": name, "labels": {"app": "web"}}
    return server.do("POST", PODS, {"metadata": metadata, "spec": {"containers": listed, **spec}})


def running(server: Asking, name: str) -> None:
    """Say that the pod runs and is ready."""
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    server.do("PATCH", f"{PODS}/{name}/status", {"status": status}, content_type=MERGE)


class Deployments:
    path = "/apis/apps/v1/namespaces/default/deployments"
    body: Any = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]},
            },
        },
    }


def test_the_scale_of_a_deployment(server: Asking) -> None:
    """It tells replicas and selector, changes the former, and counts as a new generation."""
    server.do("POST", Deployments.path, Deployments.body)
    scale = server.do("GET", f"{Deployments.path}/web/scale")
    assert scale["spec"] == {"replicas": 2} and scale["status"] == {"replicas": 0, "selector": "app=web"}
    server.do("PUT", f"{Deployments.path}/web/scale", {**scale, "spec": {"replicas": 5}})
    deployment = server.do("GET", f"{Deployments.path}/web")
    assert deployment["spec"]["replicas"] == 5 and deployment["metadata"]["generation"] == 2
    assert server.fail("PUT", f"{Deployments.path}/web/scale", scale)[:2] == (409, "Conflict")
    patch = {"spec": {"replicas": -1}}
    answer = server.fail("PATCH", f"{Deployments.path}/web/scale", patch, content_type=MERGE)
    assert answer[0] == 422 and "must be greater than or equal to 0" in answer[2]


def test_a_pod_is_bound_once(server: Asking) -> None:
    """The first binding gives the node and the condition, the second is a conflict that names it."""
    pod(server, "a")
    server.do(
        "POST", f"{PODS}/a/binding", {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
    )
    bound = server.do("GET", f"{PODS}/a")
    assert bound["spec"]["nodeName"] == "n1"
    assert [(c["type"], c["status"]) for c in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    again = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n2"}}
    code, reason, message = server.fail("POST", f"{NAMESPACE}/bindings", again)
    assert (code, reason) == (409, "Conflict") and 'already assigned to node "n1"' in message


def budget(server: Asking, allowed: int) -> str:
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    server.do("POST", path, {"metadata": {"name": "b"}, "spec": spec})
    status = {
        "observedGeneration": 1,
        "disruptionsAllowed": allowed,
        "currentHealthy": 2,
        "desiredHealthy": 1,
    }
    server.do("PATCH", f"{path}/b/status", {"status": status}, content_type=MERGE)
    return f"{path}/b"


def test_evictions_spend_the_budget(server: Asking) -> None:
    """One disruption is allowed: one pod goes (and says why), the other stays, with 429."""
    for name in ("a", "b"):
        pod(server, name, nodeName="n1")
        running(server, name)
    path = budget(server, 1)
    server.do("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
    gone = server.do("GET", f"{PODS}/a")
    assert gone["metadata"]["deletionTimestamp"]
    assert "DisruptionTarget" in [condition["type"] for condition in gone["status"]["conditions"]]
    status = server.do("GET", path)["status"]
    assert status["disruptionsAllowed"] == 0 and list(status["disruptedPods"]) == ["a"]
    assert server.fail("POST", f"{PODS}/b/eviction", {"metadata": {"name": "b"}})[:2] == (
        429,
        "TooManyRequests",
    )
    assert "deletionTimestamp" not in server.do("GET", f"{PODS}/b")["metadata"]


def test_a_dry_eviction_costs_nothing(server: Asking) -> None:
    """With dryRun nobody goes and no budget is spent."""
    pod(server, "a", nodeName="n1")
    running(server, "a")
    path = budget(server, 1)
    server.do("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}, "deleteOptions": {"dryRun": ["All"]}})
    assert server.do("GET", path)["status"]["disruptionsAllowed"] == 1
    assert "deletionTimestamp" not in server.do("GET", f"{PODS}/a")["metadata"]


def test_a_status_write_changes_only_the_status(server: Asking) -> None:
    """Neither does a status change through the object, nor a spec through the status."""
    server.do("POST", Deployments.path, Deployments.body)
    patch = {"spec": {"replicas": 9}, "status": {"replicas": 3}}
    through = server.do("PATCH", f"{Deployments.path}/web/status", patch, content_type=MERGE)
    assert (through["spec"]["replicas"], through["status"]["replicas"]) == (2, 3)
    direct = server.do(
        "PATCH", f"{Deployments.path}/web", patch | {"status": {"replicas": 7}}, content_type=MERGE
    )
    assert (direct["spec"]["replicas"], direct["status"]["replicas"]) == (9, 3)


def test_tokens_end_with_what_they_are_bound_to(server: Asking) -> None:
    """A token of an account is recognised, names its pod, and is worth nothing when the pod is gone."""
    from cryptography.hazmat.primitives.asymmetric import ec

    def uid_of(resource: str, namespace: str, name: str) -> str | None:
        found = server.api.core.world.get(resource, namespace, name)
        return found["metadata"]["uid"] if found else None

    issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()))
    server.api.core.issuer = issuer
    server.api.core.review_token = Authenticator(issuer, uid_of).review
    server.do("POST", f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "robot"}})
    pod(server, "a", serviceAccountName="robot")
    bound = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "a"}}}
    token = server.do("POST", f"{NAMESPACE}/serviceaccounts/robot/token", bound)["status"]["token"]
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = server.do("POST", reviews, {"spec": {"token": token}})["status"]
    assert status["authenticated"] and status["user"]["username"] == "system:serviceaccount:default:robot"
    server.do("DELETE", f"{PODS}/a")
    assert "authenticated" not in server.do("POST", reviews, {"spec": {"token": token}})["status"]


class Link:
    """A node that echoes."""

    def logs(self, pod: Any, container: str, options: LogOptions) -> Iterator[bytes]:
        yield f"{container} {options.tail_lines}\n".encode()

    def exec(
        self, pod: Any, container: str, command: list[str], options: StreamOptions, streams: Duplex
    ) -> int:
        streams.send(1, " ".join(command).encode())
        return 3

    def attach(self, pod: Any, container: str, options: StreamOptions, streams: Duplex) -> int:
        return 0

    def port_forward(self, pod: Any, port: int) -> Any:
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        return {"node": {}, "pods": []}


class Recording:
    """The client's end of a stream."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    def receive(self) -> tuple[int, bytes] | None:
        return None

    def send(self, channel: int, data: bytes) -> None:
        self.sent.append((channel, data))

    def close(self) -> None:
        self.sent.append((-1, b""))


def test_logs_come_from_the_node(server: Asking) -> None:
    """With the options that were given; a pod without node has an empty log."""
    server.api.nodes.set("n1", Link())
    pod(server, "a", nodeName="n1")
    pod(server, "b")
    answer = server.ask("GET", f"{PODS}/a/log?tailLines=5")
    assert isinstance(answer.body, LineBody) and b"".join(answer.body) == b"c 5\n"
    assert server.ask("GET", f"{PODS}/b/log").status == 204


def test_exec_ends_with_the_exit_code(server: Asking) -> None:
    """The last message, on the error channel, says how the program ended."""
    server.api.nodes.set("n1", Link())
    pod(server, "a", nodeName="n1")
    answer = server.ask("GET", f"{PODS}/a/exec?command=ls&command=-l&stdout=1")
    assert isinstance(answer.body, Upgrade) and answer.body.run and answer.body.streams == {"stdout"}
    streams = Recording()
    answer.body.run(streams)
    (_, output), (channel, status), _ = streams.sent
    assert output == b"ls -l" and channel == 3 and b'"reason":"ExitCode","message":"3"' in status


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("two/log", "a container name must be specified for pod two, choose one of: [a b]"),
        ("two/log?container=z", "container z is not valid for pod two"),
        ("two/exec?container=a&command=ls&stdout=1", "pod two does not have a host assigned"),
        ("two/portforward", "pod two does not have a host assigned"),
    ],
)
def test_streams_that_cannot_be(server: Asking, path: str, message: str) -> None:
    """What is missing is said before any stream begins."""
    pod(server, "two", "a", "b")
    assert server.fail("GET", f"{PODS}/{path}") == (400, "BadRequest", message)
