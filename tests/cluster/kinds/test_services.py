"""Services get addresses and ports that nobody else has, and keep them."""

import threading
from typing import Any

import pytest

from tests.cluster.api.conftest import Asking

SERVICES = "/api/v1/namespaces/default/services"
MERGE = {"content_type": "application/merge-patch+json"}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


@pytest.fixture
def server() -> Asking:
    return Asking()


def patch(server: Asking, name: str, **spec: Any) -> Any:
    """The spec after a change."""
    return server.do("PATCH", f"{SERVICES}/{name}", {"spec": spec}, **MERGE)["spec"]


def test_services_made_at_once_share_nothing(server: Asking) -> None:
    """However many are made at the same time, each has an address and a port of its own."""
    made: list[Any] = []

    def make(number: int) -> None:
        made.append(server.do("POST", SERVICES, service(f"s{number}", type="NodePort"))["spec"])

    threads = [threading.Thread(target=make, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        len({spec["clusterIP"] for spec in made})
        == len({spec["ports"][0]["nodePort"] for spec in made})
        == 12
    )


def test_what_a_failed_or_deleted_service_had_is_free(server: Asking) -> None:
    """An address is taken only while a service has it."""
    wanted = {"clusterIP": "10.96.7.7"}
    assert server.fail("POST", SERVICES, service("Bad_Name", **wanted))[0] == 422
    server.do("POST", f"{SERVICES}?dryRun=All", service("tried", **wanted))
    server.do("POST", SERVICES, service("a", **wanted))

    assert "already allocated" in server.fail("POST", SERVICES, service("b", **wanted))[2]
    server.do("DELETE", f"{SERVICES}/a")
    server.do("POST", SERVICES, service("b", **wanted))


def test_what_was_allocated_stays_with_a_change(server: Asking) -> None:
    """A replacement that names no address or port keeps those it has; they may not be changed."""
    made = server.do("POST", SERVICES, service("s", type="NodePort"))["spec"]
    again = server.do("PUT", f"{SERVICES}/s", service("s", type="NodePort", selector={"a": "b"}))["spec"]

    assert (again["clusterIP"], again["ports"]) == (made["clusterIP"], made["ports"])
    other = {"spec": {"clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"]}}
    assert "may not change once set" in server.fail("PATCH", f"{SERVICES}/s", other, **MERGE)[2]


def test_a_type_takes_along_what_only_it_had(server: Asking) -> None:
    """From outside to inside to elsewhere: ports of nodes go first, then the address."""
    server.do("POST", SERVICES, service("s", type="LoadBalancer", externalTrafficPolicy="Local"))

    inside = patch(server, "s", type="ClusterIP")
    gone = {"healthCheckNodePort", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"}
    assert not gone & set(inside) and "nodePort" not in inside["ports"][0]
    elsewhere = patch(server, "s", type="ExternalName", externalName="example.com")
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "internalTrafficPolicy"} & set(elsewhere)
    assert patch(server, "s", type="ClusterIP", externalName=None)["clusterIP"]


def test_a_headless_service_has_no_address(server: Asking) -> None:
    """One without selector may have both families of addresses behind it."""
    chosen = server.do("POST", SERVICES, service("a", clusterIP="None", selector={"a": "b"}))["spec"]
    free = server.do("POST", SERVICES, service("b", clusterIP="None"))["spec"]

    assert (chosen["clusterIPs"], chosen["ipFamilies"]) == (["None"], ["IPv4"])
    assert (free["ipFamilyPolicy"], free["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])
