"""Types as operators define them behave as on a real server: completed, judged, scaled, applied, shown."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from container_kit.cluster.api.messages import Request, User, WatchBody
from tests.cluster.api.custom.conftest import APPLY, CRDS, MERGE, Asked
from tests.cluster.api.custom.real_types import certificates, monitors
from tests.cluster.api.webhook import serving_webhook

_GROUP = "real.example.com"
_CERTIFICATES = f"/apis/{_GROUP}/v1/namespaces/default/certificates"
_MONITORS = f"/apis/{_GROUP}/v1/namespaces/default/monitors"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _certificate(name: str = "web", **spec: Any) -> dict[str, Any]:
    wanted = {"secretName": f"{name}-tls", "issuerRef": {"name": "ca"}, "dnsNames": ["a.example.com"], **spec}
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "Certificate",
        "metadata": {"name": name},
        "spec": {key: value for key, value in wanted.items() if value is not None},
    }


def _monitor(name: str = "m", version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{_GROUP}/{version}",
        "kind": "Monitor",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def certs(asked: Asked) -> Asked:
    asked.do("POST", CRDS, certificates(_GROUP))
    return asked


@pytest.fixture
def mons(asked: Asked) -> Asked:
    asked.do("POST", CRDS, monitors(_GROUP))
    return asked


def test_defaults_go_deep(certs: Asked) -> None:
    """A default object is completed by the defaults in it; what an object says itself stays."""
    spec = certs.do("POST", _CERTIFICATES, _certificate(privateKey={"size": 4096}))["spec"]
    assert spec["privateKey"] == {"algorithm": "RSA", "size": 4096}
    assert (spec["duration"], spec["issuerRef"]) == ("2160h", {"name": "ca", "kind": "Issuer"})
    assert certs.do("POST", _CERTIFICATES, _certificate("other"))["spec"]["privateKey"]["size"] == 2048


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"dnsNames": None}, "spec", "no name at all"),
        ({"secretName": None}, "spec.secretName", "Required value"),
        ({"dnsNames": ["a", "b", "a"]}, "spec.dnsNames[2]", 'Duplicate value: "a"'),
        ({"usages": ["cooking"]}, "spec.usages[0]", "Unsupported value"),
        ({"privateKey": {"size": 17}}, "spec.privateKey.size", "RSA keys cannot have 17 bits"),
        ({"renewBefore": "2161h"}, "spec", "failed rule: !has(self.renewBefore)"),
        ({"ipAddresses": ["10.0.0.1", "300.1.1.1"]}, "spec", "isIP(a)"),
        ({"uris": ["https://example.com"]}, "spec", "getScheme"),
        ({"duration": "soon"}, "spec.duration", "must be of type duration"),
    ],
)
def test_what_a_certificate_cannot_be(certs: Asked, spec: Any, field: str, message: str) -> None:
    """Schema and rules, each with its field and its message."""
    causes = certs.causes("POST", _CERTIFICATES, _certificate(**spec))
    assert any(where == field and message in text for where, text in causes), causes


def test_what_may_not_change(certs: Asked) -> None:
    """A rule about the change of a part that its own defaults brought."""
    certs.do("POST", _CERTIFICATES, _certificate())
    change = {"spec": {"privateKey": {"algorithm": "ECDSA", "size": 256}}}
    causes = certs.causes("PATCH", f"{_CERTIFICATES}/web", change, content_type=MERGE)
    assert causes == [("spec.privateKey", "Forbidden: the algorithm stays")]


def test_conditions_have_owners(certs: Asked) -> None:
    """Keyed lists are merged by keys, sets by values, atomic maps are whole; conflicts name the field."""
    path = f"{_CERTIFICATES}/web"
    ready = {"type": "Ready", "status": "True"}
    issuing = {"type": "Issuing", "status": "False"}
    certs.do("PATCH", f"{path}?fieldManager=user", _certificate(), content_type=APPLY)
    for manager, condition in (("one", ready), ("two", issuing)):
        body = {**_certificate(), "status": {"conditions": [condition]}}
        del body["spec"]
        certs.do("PATCH", f"{path}/status?fieldManager={manager}", body, content_type=APPLY)
    shown = certs.do("GET", path)
    assert [each["type"] for each in shown["status"]["conditions"]] == ["Ready", "Issuing"]

    more = {**_certificate(), "spec": {"dnsNames": ["b.example.com"]}}
    made = certs.do("PATCH", f"{path}?fieldManager=other", more, content_type=APPLY)
    assert made["spec"]["dnsNames"] == ["a.example.com", "b.example.com"]
    issuer = {**_certificate(), "spec": {"issuerRef": {"name": "elsewhere"}}}
    status, refused = certs.ask("PATCH", f"{path}?fieldManager=other", issuer, content_type=APPLY)
    assert (status, refused["details"]["causes"][0]["field"]) == (409, ".spec.issuerRef")

    body = {**_certificate(), "status": {"conditions": []}}
    certs.do("PATCH", f"{path}/status?fieldManager=one", body, content_type=APPLY)
    assert [each["type"] for each in certs.do("GET", path)["status"]["conditions"]] == ["Issuing"]


def test_how_it_is_listed(certs: Asked) -> None:
    """Columns by JSONPath with filters, hidden ones by priority; names, categories and selectable fields."""
    certs.do("POST", _CERTIFICATES, _certificate())
    certs.do("POST", _CERTIFICATES, _certificate("db"))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    certs.do("PATCH", f"{_CERTIFICATES}/web/status", ready, content_type=MERGE)

    table = certs.do("GET", _CERTIFICATES, accept=_TABLE)
    assert [(one["name"], one["priority"]) for one in table["columnDefinitions"]] == [
        ("Name", 0),
        ("Ready", 0),
        ("Secret", 0),
        ("Issuer", 1),
        ("Age", 0),
    ]
    assert [row["cells"][:4] for row in table["rows"]] == [
        ["db", None, "db-tls", "ca"],
        ["web", "True", "web-tls", "ca"],
    ]
    found = certs.do("GET", f"{_CERTIFICATES}?fieldSelector=spec.secretName=web-tls")
    assert [one["metadata"]["name"] for one in found["items"]] == ["web"]
    listed = certs.do("GET", f"/apis/{_GROUP}/v1")["resources"][0]
    assert (listed["shortNames"], listed["categories"]) == (["certi"], ["all", "security"])


def test_whole_pods_are_inside(mons: Asked) -> None:
    """Deep in a type of thousands of fields: defaults, ports by number or name, amounts, what is free."""
    port = {"containerPort": 80}
    probe = {"httpGet": {"port": "web"}}
    container = {"name": "c", "ports": [port], "readinessProbe": probe, "resources": {"limits": {"cpu": 1}}}
    free = {"any": [1, {"x": None}], "deep": {"a": {"b": 1}}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "odd": 1},
        "free": 1,
    }
    sent = _monitor(
        sidecar0={"sidecar1": {"containers": [{**container, "unknown": 1}]}},
        extra=free,
        storage={"size": "1Gi", "template": claim},
        note=None,
    )
    made = mons.do("POST", _MONITORS, sent)["spec"]
    inner = made["sidecar0"]["sidecar1"]["containers"][0]
    assert inner == {**container, "ports": [{**port, "protocol": "TCP"}]}
    assert (made["extra"], made["note"], made["replicas"]) == (free, None, 1)
    assert made["storage"]["template"] == {**claim, "metadata": {"name": "c"}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"retention": "long"}, "should match"),
        ({"replicas": 101}, "less than or equal to 100"),
        ({"storage": {"size": "1.2.3"}}, "should match"),
        ({"storage": {"size": "1k"}}, "isGreaterThan"),
        ({"storage": {"template": {"metadata": {}}}}, "Required value"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "two rules have the same name"),
        (
            {"containers": [{"name": "c"}, {"name": "c"}]},
            'Duplicate value: map[string]interface {}{"name":"c"}',
        ),
        ({"containers": [{"image": "x"}]}, "Required value"),
    ],
)
def test_what_a_monitor_cannot_be(mons: Asked, spec: Any, message: str) -> None:
    """Each in the words of the original."""
    causes = mons.causes("POST", _MONITORS, _monitor(**spec))
    assert any(message in text for _, text in causes), causes


def test_it_is_scaled_with_care(mons: Asked) -> None:
    """Scaling goes through the rules of the type; selectors and counts come from its status."""
    mons.do("POST", _MONITORS, _monitor(replicas=2))
    status = {"status": {"replicas": 2, "selector": "app=m"}}
    mons.do("PATCH", f"{_MONITORS}/m/status", status, content_type=MERGE)

    scale = mons.do("GET", f"{_MONITORS}/m/scale")
    assert (scale["apiVersion"], scale["status"]) == ("autoscaling/v1", {"replicas": 2, "selector": "app=m"})
    mons.do("PUT", f"{_MONITORS}/m/scale", {**scale, "spec": {"replicas": 7}})
    assert mons.do("GET", f"{_MONITORS}/m")["spec"]["replicas"] == 7
    causes = mons.causes("PATCH", f"{_MONITORS}/m/scale", {"spec": {"replicas": 50}}, content_type=MERGE)
    assert causes == [("spec", 'Invalid value: "object": from 7 to 50 is too much')]


def test_a_stored_version_can_be_left(mons: Asked) -> None:
    """Objects are migrated by writing them again; then the old version may go."""
    mons.do("POST", _MONITORS, _monitor(replicas=2))
    name = f"{CRDS}/monitors.{_GROUP}"
    crd = mons.do("GET", name)
    crd["spec"]["versions"][0]["storage"], crd["spec"]["versions"][1]["storage"] = False, True
    crd = mons.do("PUT", name, crd)
    assert crd["status"]["storedVersions"] == ["v1", "v1beta1"]

    dropped = {**crd, "spec": {**crd["spec"], "versions": crd["spec"]["versions"][1:]}}
    causes = mons.causes("PUT", name, dropped)
    assert causes[0][0] == "status.storedVersions[0]"
    mons.do("PATCH", f"{_MONITORS}/m", {"metadata": {"labels": {"migrated": "yes"}}}, content_type=MERGE)
    mons.do("PATCH", f"{name}/status", {"status": {"storedVersions": ["v1beta1"]}}, content_type=MERGE)
    crd = mons.do("GET", name)
    mons.do("PUT", name, {**crd, "spec": {**crd["spec"], "versions": crd["spec"]["versions"][1:]}})
    assert mons.ask("GET", f"{_MONITORS}/m")[0] == 404
    assert mons.do("GET", f"{_MONITORS}/m".replace("/v1/", "/v1beta1/"))["spec"]["replicas"] == 2


def test_a_webhook_converts_what_is_applied(asked: Asked) -> None:
    """Owners of fields are kept for each version; all objects of a list are converted at once."""
    calls: list[int] = []

    def convert(review: Any) -> Any:
        request = review["request"]
        calls.append(len(request["objects"]))
        made = [{**one, "apiVersion": request["desiredAPIVersion"]} for one in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made}
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}

    with serving_webhook(convert) as config:
        webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
        asked.do("POST", CRDS, monitors(_GROUP, conversion={"strategy": "Webhook", "webhook": webhook}))
        older = _MONITORS.replace("/v1/", "/v1beta1/")
        body = _monitor(version="v1beta1", replicas=3)
        asked.do("PATCH", f"{older}/m?fieldManager=old", body, content_type=APPLY)
        body = _monitor(replicas=3, retention="5d")
        made = asked.do("PATCH", f"{_MONITORS}/m?fieldManager=new", body, content_type=APPLY)
        versions = {each["manager"]: each["apiVersion"] for each in made["metadata"]["managedFields"]}
        assert versions == {"old": f"{_GROUP}/v1beta1", "new": f"{_GROUP}/v1"}

        for number in range(20):
            asked.do("POST", _MONITORS, _monitor(f"m{number}"))
        calls.clear()
        listed = asked.do("GET", older)["items"]
        assert {one["apiVersion"] for one in listed} == {f"{_GROUP}/v1beta1"}
        assert calls == [21]


def test_a_watch_in_another_version_keeps_nobody_waiting(asked: Asked) -> None:
    """Its objects are converted apart: a webhook that does not answer stops this watch and no write."""
    may_answer, arrived = threading.Event(), SimpleQueue[Any]()

    def convert(review: Any) -> Any:
        assert may_answer.wait(60)
        request = review["request"]
        made = [{**one, "apiVersion": request["desiredAPIVersion"]} for one in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made}
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}

    with serving_webhook(convert) as config:
        webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
        asked.do("POST", CRDS, monitors(_GROUP, conversion={"strategy": "Webhook", "webhook": webhook}))
        older = _MONITORS.replace("/v1/", "/v1beta1/")
        query = {"watch": ["true"], "allowWatchBookmarks": ["true"]}
        answer = asked.api.handle(Request("GET", older, query, user=User("admin", ("system:masters",))))
        assert isinstance(answer.body, WatchBody)
        end = answer.body.open(arrived.put)
        for name in ("one", "two"):
            asked.do("POST", _MONITORS, _monitor(name))
        assert answer.body.bookmark() is None, "it would tell of what was not sent"
        may_answer.set()
        seen = [arrived.get(timeout=60).object for _ in range(2)]
        end()
    assert [(one["apiVersion"], one["metadata"]["name"]) for one in seen] == [
        (f"{_GROUP}/v1beta1", "one"),
        (f"{_GROUP}/v1beta1", "two"),
    ]
