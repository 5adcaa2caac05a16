"""The official Python client, `kubernetes`: objects, watches, streams, the dynamic client."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

from tests.cluster.clients.definitions import definition
from tests.cluster.manifests import deployment, pod
from tests.cluster.serving import http_pod

pytestmark = [pytest.mark.root]


@pytest.fixture
def api(kubeconfig: str) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(kubeconfig) as made:
        yield made


def test_typed_objects_are_made_read_changed_and_deleted(api: client.ApiClient, namespace: str) -> None:
    """Create, read, list by selectors, patch in three ways, replace, delete; refusals have their reason."""
    core = client.CoreV1Api(api)
    wish = client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name="settings", labels={"app": "shop"}), data={"a": "1"}
    )
    made = core.create_namespaced_config_map(namespace, wish)
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo is not None
    with pytest.raises(ApiException) as exists:
        core.create_namespaced_config_map(namespace, wish)
    assert (exists.value.status, exists.value.reason) == (409, "Conflict")

    core.patch_namespaced_config_map("settings", namespace, {"data": {"b": "2"}})
    core.patch_namespaced_config_map(
        "settings", namespace, [{"op": "replace", "path": "/data/a", "value": "3"}]
    )
    found = core.read_namespaced_config_map("settings", namespace)
    assert found.data == {"a": "3", "b": "2"}
    with pytest.raises(ApiException, match="the object has been modified"):
        core.replace_namespaced_config_map("settings", namespace, made)
    found.data = {"only": "this"}
    assert core.replace_namespaced_config_map("settings", namespace, found).data == {"only": "this"}

    chosen = core.list_namespaced_config_map(namespace, label_selector="app=shop")
    assert [one.metadata.name for one in chosen.items] == ["settings"]
    core.delete_namespaced_config_map("settings", namespace)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("settings", namespace)
    assert missing.value.status == 404


def test_long_lists_come_in_pieces(api: client.ApiClient, namespace: str) -> None:
    """limit and continue, to the end."""
    core = client.CoreV1Api(api)
    for number in range(5):
        core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{number}"}})
    names: list[str] = []
    following = None
    while following != "":
        piece = core.list_namespaced_secret(namespace, limit=2, _continue=following)
        names += [one.metadata.name for one in piece.items]
        following = piece.metadata._continue or ""
    assert names == [f"s{number}" for number in range(5)]


def test_a_watch_tells_what_happens(api: client.ApiClient, namespace: str) -> None:
    """What is there, what changes, what goes; from a list's version on, too."""
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "m"}})
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.patch_namespaced_config_map("m", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("m", namespace)
    seen = []
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watcher.stop()
    assert seen == [("MODIFIED", "m"), ("DELETED", "m")]


def test_programs_run_and_are_talked_with(api: client.ApiClient, namespace: str) -> None:
    """exec over its WebSocket: whole output, exit code, and a program that is written to."""
    core = client.CoreV1Api(api)
    _start(core, namespace, pod("box", "echo begun; sleep 1000"))
    # A client for streams is changed by them, so it is one of its own.
    call = client.CoreV1Api(client.ApiClient(api.configuration)).connect_get_namespaced_pod_exec
    said = stream(call, "box", namespace, command=["sh", "-c", "echo hello"], stdout=True, stderr=True)
    assert said == "hello\n"

    talk = stream(
        call,
        "box",
        namespace,
        command=["sh", "-c", "read word; echo got $word; echo bad >&2; exit 7"],
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    talk.write_stdin("a word\n")
    talk.run_forever(timeout=60)
    assert (talk.read_stdout(), talk.read_stderr(), talk.returncode) == ("got a word\n", "bad\n", 7)
    talk.close()
    log = core.read_namespaced_pod_log("box", namespace, follow=True, _preload_content=False)
    assert log.readline() == b"begun\n"
    log.close()


def test_a_port_of_a_pod_is_a_socket(api: client.ApiClient, namespace: str) -> None:
    """port-forward over its WebSocket: an HTTP request through it, and the error of a closed port."""
    core = client.CoreV1Api(api)
    _start(core, namespace, http_pod("web"))
    call = client.CoreV1Api(client.ApiClient(api.configuration)).connect_get_namespaced_pod_portforward
    forward = portforward(call, "web", namespace, ports="8080")
    connection = http.client.HTTPConnection("pod")
    connection.sock = forward.socket(8080)
    connection.sock.setblocking(True)
    connection.request("GET", "/", headers={"Connection": "close"})
    assert connection.getresponse().read() == b"it works\n"
    connection.close()
    assert forward.error(8080) is None


def test_logs_are_followed(api: client.ApiClient, namespace: str) -> None:
    """A watch of the log gives lines until the pod ends."""
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(namespace, pod("talks", "echo 1; sleep 0.3; echo 2", restartPolicy="Never"))
    _wait(core, namespace, "talks", lambda one: one.status.phase != "Pending")
    lines = list(watch.Watch().stream(core.read_namespaced_pod_log, "talks", namespace))
    assert lines == ["1", "2"]


def test_workloads_scale_and_answer_for_their_state(api: client.ApiClient, namespace: str) -> None:
    """A Deployment from a file gets available; its scale is a resource of its own."""
    apps = client.AppsV1Api(api)
    utils.create_from_dict(api, deployment("web"), namespace=namespace)
    watcher = watch.Watch()
    for event in watcher.stream(apps.list_namespaced_deployment, namespace, timeout_seconds=60):
        if event["object"].status.available_replicas == 2:
            watcher.stop()
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 1
    assert apps.read_namespaced_deployment("web", namespace).spec.template.spec.containers[0].image == "box:1"


def test_the_dynamic_client_finds_every_kind(api: client.ApiClient, namespace: str) -> None:
    """Discovery, server-side apply with its conflicts, custom resources as soon as they are defined."""
    anything = dynamic.DynamicClient(api)
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    wish = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": namespace},
        "data": {"a": "1"},
    }
    maps.server_side_apply(wish, field_manager="one")
    changed = {**wish, "data": {"a": "2"}}
    with pytest.raises(ApiException, match="conflict with"):
        maps.server_side_apply(changed, field_manager="other")
    assert maps.server_side_apply(changed, field_manager="other", force_conflicts=True).data.to_dict() == {
        "a": "2"
    }
    client.ApiextensionsV1Api(api).create_custom_resource_definition(definition("shops", "Shop"))
    try:
        for event in watch.Watch().stream(
            client.ApiextensionsV1Api(api).list_custom_resource_definition, timeout_seconds=60
        ):
            conditions = event["object"].status.conditions or []
            if any(one.type == "Established" and one.status == "True" for one in conditions):
                break
        shops = dynamic.DynamicClient(api).resources.get(api_version="clients.test/v1", kind="Shop")
        shops.create({**_shop("corner"), "spec": {"size": 3}}, namespace=namespace)
        with pytest.raises(ApiException, match=r"spec\.size: Invalid value"):
            shops.create({**_shop("wrong"), "spec": {"size": "big"}}, namespace=namespace)
        assert [one.spec.size for one in shops.get(namespace=namespace).items] == [3]
        of_custom = client.CustomObjectsApi(api)
        body = {"spec": {"size": 4}}
        of_custom.patch_namespaced_custom_object("clients.test", "v1", namespace, "shops", "corner", body)
        assert shops.get(name="corner", namespace=namespace).spec.size == 4
    finally:
        client.ApiextensionsV1Api(api).delete_custom_resource_definition("shops.clients.test")


def test_rights_and_versions_can_be_asked_for(api: client.ApiClient) -> None:
    """What tools ask before they begin."""
    assert client.VersionApi(api).get_code().major == "1"
    review = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}}
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed is True
    names = [one.metadata.name for one in client.CoreV1Api(api).list_node().items]
    assert len(names) == 1


def _start(core: client.CoreV1Api, namespace: str, manifest: dict[str, Any]) -> None:
    core.create_namespaced_pod(namespace, manifest)

    def is_ready(one: client.V1Pod) -> bool:
        return any(state.type == "Ready" and state.status == "True" for state in one.status.conditions or ())

    _wait(core, namespace, manifest["metadata"]["name"], is_ready)


def _wait(core: client.CoreV1Api, namespace: str, name: str, is_wanted: Any) -> None:
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_pod, namespace, field_selector=f"metadata.name={name}", timeout_seconds=60
    ):
        if is_wanted(event["object"]):
            watcher.stop()
            return
    raise AssertionError(f"{name} did not get there: {core.read_namespaced_pod(name, namespace).status}")


def _shop(name: str) -> dict[str, Any]:
    return {"apiVersion": "clients.test/v1", "kind": "Shop", "metadata": {"name": name}}
