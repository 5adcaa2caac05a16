"""The variables of containers, and what pods may know of themselves."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.node.downward import field_value, resource_value
from container_kit.cluster.node.environment import container_environment, service_variables
from container_kit.cluster.node.errors import ConfigMissing
from container_kit.pods.settings import expand

CAPACITY = {"cpu": "4", "memory": "8Gi"}


class Shelf:
    """Objects by name."""

    def __init__(
        self, config_maps: dict[str, Any] | None = None, secrets: dict[str, Any] | None = None
    ) -> None:
        self._config_maps, self._secrets = config_maps or {}, secrets or {}

    def config_map(self, namespace: str, name: str) -> Any:
        data = self._config_maps.get(name)
        return None if data is None else {"data": data}

    def secret(self, namespace: str, name: str) -> Any:
        data = self._secrets.get(name)
        return data and {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def pod(**container: Any) -> dict[str, Any]:
    """A pod with one container."""
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "u-1",
            "labels": {"b": "2", "a": 'x"y'},
            "annotations": {"note": "n"},
        },
        "spec": {
            "nodeName": "node-0",
            "serviceAccountName": "default",
            "containers": [{"name": "c", **container}],
        },
        "status": {
            "podIP": "10.1.0.2",
            "podIPs": [{"ip": "10.1.0.2"}, {"ip": "fd00::2"}],
            "hostIP": "10.1.0.1",
        },
    }


def environment(shelf: Shelf, **container: Any) -> dict[str, str]:
    """What the container of such a pod has."""
    whole = pod(**container)
    return container_environment(
        whole, whole["spec"]["containers"][0], shelf, services={"S": "1"}, capacity=CAPACITY
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A) and $(B)", "1 and $(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("100%$", "100%$"),
        ("$()", "$()"),
    ],
)
def test_references_are_replaced_unless_unknown_or_escaped(text: str, expected: str) -> None:
    """$(NAME) becomes the value, what is not known stays, and $$ is a plain $."""
    assert expand(text, {"A": "1"}) == expected


@given(st.text(alphabet="ab() "))
def test_text_without_a_dollar_is_never_changed(text: str) -> None:
    """Only a dollar begins anything."""
    assert expand(text, {"a": "x", "b": "y"}) == text


def test_later_variables_use_earlier_ones() -> None:
    """A variable sees services, envFrom and those before it in env; its own later ones stay as written."""
    shelf = Shelf({"conf": {"HOST": "db"}})
    found = environment(
        shelf,
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "conf"}}],
        env=[{"name": "URL", "value": "$(P_HOST):$(S)/$(LATER)"}, {"name": "LATER", "value": "x"}],
    )
    assert found["URL"] == "db:1/$(LATER)" and found["LATER"] == "x"


def test_own_variables_win_over_sources() -> None:
    """env wins over envFrom, and a later source over an earlier one."""
    shelf = Shelf({"one": {"A": "1", "B": "1"}, "two": {"B": "2", "C": "2"}})
    sources = [{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "two"}}]
    found = environment(shelf, envFrom=sources, env=[{"name": "C", "value": "own"}])
    assert (found["A"], found["B"], found["C"]) == ("1", "2", "own")


def test_keys_of_secrets_and_config_maps_become_values() -> None:
    """Secrets are decoded."""
    shelf = Shelf({"conf": {"k": "v"}}, {"keys": {"pw": b"hush"}})
    found = environment(
        shelf,
        env=[
            {"name": "V", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "pw"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x", "optional": True}}},
        ],
    )
    assert (found["V"], found["PW"]) == ("v", "hush") and "NONE" not in found


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, 'secret "no" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "no"}}}]},
            "couldn't find key no in ConfigMap shop/conf",
        ),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], words: str) -> None:
    """A missing object or key is an error in the kubelet's words, of the reason that the status has."""
    with pytest.raises(ConfigMissing, match=words) as caught:
        environment(Shelf({"conf": {"k": "v"}}), **container)
    assert caught.value.reason == "CreateContainerConfigError"


def test_optional_sources_may_be_missing() -> None:
    """An optional source that is not there gives nothing."""
    assert environment(Shelf(), envFrom=[{"secretRef": {"name": "no", "optional": True}}]) == {"S": "1"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'a="x\\"y"\nb="2"'),
        ("spec.nodeName", "node-0"),
        ("status.podIP", "10.1.0.2"),
        ("status.podIPs", "10.1.0.2,fd00::2"),
        ("status.hostIP", "10.1.0.1"),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    """A pod is told what its fields say."""
    assert field_value(pod(), path) == expected


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "0", "1"),
        ("limits.cpu", "1m", "250"),
        ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Gi", "8"),
        ("requests.cpu", "1m", "0"),
    ],
)
def test_resources_are_rounded_up_to_their_divisor(resource: str, divisor: str, expected: str) -> None:
    """A limit that is not set is the node's capacity, a request that is not set is nothing."""
    whole = pod(resources={"limits": {"cpu": "250m"}, "requests": {"memory": "64Mi"}})
    reference = {"containerName": "c", "resource": resource, "divisor": divisor}
    assert resource_value(whole, reference, "", CAPACITY) == expected


def service(name: str, namespace: str, address: str, *ports: dict[str, Any]) -> dict[str, Any]:
    """A Service with an address."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": list(ports)},
    }


def test_services_of_the_own_namespace_are_told_as_variables() -> None:
    """A pod learns the services of its namespace and the API server, and no headless or foreign ones."""
    services = [
        service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443}),
        service("redis-main", "shop", "10.96.0.9", {"port": 6379}),
        service("other", "elsewhere", "10.96.0.10", {"port": 1}),
        service("headless", "shop", "None", {"port": 1}),
    ]
    found = service_variables(services, "shop", enabled=True)
    assert found["REDIS_MAIN_SERVICE_HOST"] == "10.96.0.9"
    assert found["REDIS_MAIN_PORT_6379_TCP"] == "tcp://10.96.0.9:6379"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in found)
    assert set(service_variables(services, "shop", enabled=False)) == {
        name for name in found if name.startswith("KUBERNETES")
    }
