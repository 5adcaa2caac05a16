"""Discovery, as a real server answers it."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.api.resources import version_rank
from container_kit.cluster.api.usage import usage_resources
from tests.cluster.api.conftest import Asking
from tests.cluster.replay.recorded import FOLDER, document

PLAIN = sorted(
    path.name.partition(".json")[0]
    for path in (FOLDER / "discovery").iterdir()
    if path.name.startswith(("apis_", "api_v1"))
)
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize("name", PLAIN)
def test_groups_and_resources_are_those_of_a_real_server(server: Asking, name: str) -> None:
    """Every group and every version has the recorded resources, in their order, with all that is told."""
    assert server.do("GET", f"/{name.replace('_', '/')}") == document(f"discovery/{name}")


def test_the_list_of_groups_is_that_of_a_real_server(server: Asking) -> None:
    """With the preferred versions, and in the order that clients rely on."""
    assert server.do("GET", "/apis") == document("discovery/apis")


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
@pytest.mark.parametrize("root", ["api", "apis"])
def test_aggregated_discovery(server: Asking, root: str, version: str) -> None:
    """One document says it all, and a client that has it is told so."""
    accept = AGGREGATED.format(version)
    answer = server.ask("GET", f"/{root}", accept=accept)
    recorded = document(f"discovery/{root}.aggregated.{version}")
    assert server.do("GET", f"/{root}", accept=accept) == recorded
    again = server.ask("GET", f"/{root}", accept=accept, if_none_match=str(answer.headers["ETag"]))
    assert again.status == 304 and again.body == b""


def test_clients_without_aggregated_discovery_get_the_plain_form(server: Asking) -> None:
    """The first form in the Accept header that is known is the one that is sent."""
    assert server.do("GET", "/api", accept="application/json")["kind"] == "APIVersions"
    later = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json"
    assert server.do("GET", "/apis", accept=later)["kind"] == "APIGroupList"


def test_the_root_tells_all_recorded_paths(server: Asking) -> None:
    """Whoever looks at / finds the paths that a real server has."""
    recorded = set(document("discovery/root")["paths"])
    assert recorded - set(server.do("GET", "/")["paths"]) == set()


def test_what_comes_later_is_discovered_and_what_goes_is_not(server: Asking) -> None:
    """Resources that are added appear at once, last in the list; removed ones are not found any more."""
    server.api.registry.add(usage_resources())
    groups = [group["name"] for group in server.do("GET", "/apis")["groups"]]
    assert groups[-1] == "metrics.k8s.io"
    names = [each["name"] for each in server.do("GET", "/apis/metrics.k8s.io/v1beta1")["resources"]]
    assert names == ["nodes", "pods"]
    assert server.do("GET", "/apis/metrics.k8s.io/v1beta1/pods")["items"] == []
    for plural in names:
        server.api.registry.remove("metrics.k8s.io", plural)
    assert server.ask("GET", "/apis/metrics.k8s.io/v1beta1").status == 404


def test_versions_are_ordered_as_kubernetes_does() -> None:
    """Stable before beta before alpha, newer before older, words last."""
    ordered = [
        "v10",
        "v2",
        "v1",
        "v11beta2",
        "v10beta3",
        "v3beta1",
        "v12alpha1",
        "v11alpha2",
        "foo1",
        "foo10",
    ]
    assert sorted(set(ordered), key=version_rank) == ordered


@pytest.mark.parametrize("kind", ["healthz", "livez", "readyz"])
def test_health(server: Asking, kind: str) -> None:
    """Well in one word, or check by check; not ready while the cluster is not."""
    assert server.ask("GET", f"/{kind}").body == b"ok"
    verbose: Any = server.ask("GET", f"/{kind}?verbose=1").body
    assert b"[+]ping ok" in verbose and verbose.endswith(f"{kind} check passed\n".encode())
    assert server.ask("GET", f"/{kind}/nope").status == 404
    server.api.is_ready = lambda: False
    assert server.ask("GET", f"/{kind}").status == (500 if kind == "readyz" else 200)


def test_metrics_count_what_there_is_only(server: Asking) -> None:
    """Requests are counted by their resource, and names that a client makes up are not remembered."""
    server.config_map("a")
    server.ask("GET", "/apis/made.up/v1/names")
    page: Any = server.ask("GET", "/metrics").body
    assert b'apiserver_request_total{code="201",group="",resource="configmaps"' in page
    assert b'apiserver_storage_objects{resource="configmaps"} 1' in page and b"made.up" not in page
