"""`lightkube`: typed models, both of its faces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from lightkube import ALL_NS, ApiError, AsyncClient, Client, KubeConfig, codecs
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Service
from lightkube.types import PatchType

from tests.cluster.clients.definitions import definition
from tests.cluster.manifests import deployment, pod

pytestmark = [pytest.mark.root]


@pytest.fixture
def client(kubeconfig: str, namespace: str) -> Iterator[Client]:
    config = KubeConfig.from_file(kubeconfig)
    with Client(config=config, namespace=namespace, field_manager="lightkube", trust_env=False) as made:
        yield made


def test_typed_models(client: Client, namespace: str) -> None:
    """Create, get, patch in each way, replace with its conflict, list by labels, delete."""
    made = client.create(ConfigMap(metadata=ObjectMeta(name="m", labels={"app": "shop"}), data={"a": "1"}))
    assert made.metadata is not None and made.metadata.creationTimestamp is not None
    client.patch(ConfigMap, "m", {"data": {"b": "2"}})
    client.patch(ConfigMap, "m", {"data": {"c": "3"}}, patch_type=PatchType.MERGE)
    client.patch(ConfigMap, "m", [{"op": "remove", "path": "/data/a"}], patch_type=PatchType.JSON)
    found = client.get(ConfigMap, "m")
    assert found.data == {"b": "2", "c": "3"}
    with pytest.raises(ApiError) as conflict:
        client.replace(made)
    assert conflict.value.status.reason == "Conflict"
    found.data = {"only": "this"}
    client.replace(found)
    assert [one.data for one in client.list(ConfigMap, labels={"app": "shop"})] == [{"only": "this"}]
    assert [one.metadata.name for one in client.list(Namespace, fields={"metadata.name": namespace})] == [
        namespace
    ]
    assert len(list(client.list(Node))) == 1 and len(list(client.list(ConfigMap, namespace=ALL_NS))) > 1
    client.delete(ConfigMap, "m")
    with pytest.raises(ApiError) as missing:
        client.get(ConfigMap, "m")
    assert missing.value.status.code == 404


def test_apply_and_its_owners(client: Client) -> None:
    """Server-side apply of typed objects; another owner is told of the conflict."""
    port = ServicePort(port=80, targetPort=8080)
    service = Service(
        metadata=ObjectMeta(name="web"), spec=ServiceSpec(ports=[port], selector={"app": "web"})
    )
    made = client.apply(service)
    assert made.spec is not None and made.spec.clusterIP
    assert service.spec is not None
    service.spec.selector = {"app": "other"}
    with pytest.raises(ApiError, match="conflict"):
        client.apply(service, field_manager="somebody")
    changed = client.apply(service, field_manager="somebody", force=True)
    assert changed.spec is not None and changed.spec.selector == {"app": "other"}


def test_pods_run_and_are_looked_into(client: Client) -> None:
    """Waiting, exec with its exit code, logs, and the watch that tells of their end."""
    made = client.create(codecs.from_dict(pod("box", "echo begun; sleep 1000")))
    assert isinstance(made, Pod)
    client.wait(Pod, "box", for_conditions=["Ready"])
    done = client.exec("box", command=["sh", "-c", "cat; exit 3"], stdin="word", stdout=True, stderr=True)
    assert (done.stdout, done.exit_code) == ("word", 3)
    assert next(iter(client.log("box", follow=True))) == "begun\n"
    version = client.get(Pod, "box").metadata.resourceVersion
    client.delete(Pod, "box")
    for event, seen in client.watch(Pod, resource_version=version):
        assert seen.metadata.name == "box"
        if event == "DELETED":
            break


def test_deployments_and_their_scale(client: Client) -> None:
    """A workload gets available; its scale is patched as a resource of its own."""
    client.create(codecs.from_dict(deployment("web")))
    client.wait(Deployment, "web", for_conditions=["Available"])
    client.patch(Deployment.Scale, "web", {"spec": {"replicas": 1}})
    spec = client.get(Deployment, "web").spec
    assert isinstance(spec, DeploymentSpec) and spec.replicas == 1
    assert spec.selector == LabelSelector(matchLabels={"app": "web"})


def test_custom_resources(client: Client) -> None:
    """A definition, and objects of its kind, without models of them."""
    client.create(codecs.from_dict(definition("lanterns", "Lantern")))
    try:
        client.wait(CustomResourceDefinition, "lanterns.clients.test", for_conditions=["Established"])
        lantern = create_namespaced_resource("clients.test", "v1", "Lantern", "lanterns")
        client.create(lantern(metadata=ObjectMeta(name="red"), spec={"size": 2}))
        client.apply(
            lantern(
                apiVersion="clients.test/v1",
                kind="Lantern",
                metadata=ObjectMeta(name="red"),
                spec={"size": 3},
            ),
            force=True,
        )
        assert [one["spec"] for one in client.list(lantern)] == [{"size": 3}]
    finally:
        client.delete(CustomResourceDefinition, "lanterns.clients.test")


def test_in_an_event_loop(kubeconfig: str, namespace: str) -> None:
    """Pods made side by side, waited for, logged and watched to their end."""

    async def run() -> list[str]:
        config = KubeConfig.from_file(kubeconfig)
        async with AsyncClient(config=config, namespace=namespace, trust_env=False) as client:
            names = ["a", "b", "c"]
            await asyncio.gather(
                *(client.create(codecs.from_dict(pod(name, f"echo {name}; sleep 1000"))) for name in names)
            )
            await asyncio.gather(*(client.wait(Pod, name, for_conditions=["Ready"]) for name in names))
            logs = [await anext(aiter(client.log(name, follow=True))) for name in names]
            version = (await client.get(Pod, "a")).metadata.resourceVersion
            await asyncio.gather(*(client.delete(Pod, name) for name in names))
            left = set(names)
            async for event, seen in client.watch(Pod, resource_version=version):
                if event == "DELETED":
                    left.discard(seen.metadata.name)
                if not left:
                    break
            return logs

    assert asyncio.run(run()) == ["a\n", "b\n", "c\n"]
