"""Definitions come and go, and so do the resources that they define."""

import json
import threading
from typing import Any

import pytest

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.store import Event, MemoryStore
from tests.cluster.api.webhook import serving_webhook
from tests.cluster.schema.recorded import read_recorded

_ADMIN = User("admin", ("system:masters",))
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WIDGETS = "/apis/x.example.com/v1/namespaces/default/widgets"


class _Server:
    """An API server, asked in words."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.api = Api(self.store)

    def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        parameters = {
            key: [value] for key, _, value in (part.partition("=") for part in query.split("&") if part)
        }
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.api.handle(Request(method, path, parameters, named, body, user=_ADMIN))
        data = answer.body if isinstance(answer.body, bytes) else b""
        text = data.decode()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def define(self, **version: Any) -> dict[str, Any]:
        """A definition of widgets, of one version that is like *version*."""
        status, made = self.ask(
            "POST", _CRDS, _definition([{"name": "v1", "served": True, "storage": True, **version}])
        )
        assert status == 201, made
        return dict(made)

    def create(self, name: str, spec: Any, **query: str) -> tuple[int, Any]:
        words = "&".join(f"{key}={value}" for key, value in query.items())
        return self.ask("POST", f"{_WIDGETS}?{words}", _widget(name, spec))


def _definition(versions: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    for version in versions:
        version.setdefault("schema", {"openAPIV3Schema": _schema({})})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.example.com"},
        "spec": {
            "group": "x.example.com",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "scope": "Namespaced",
            "versions": versions,
            **spec,
        },
    }


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def _widget(name: str, spec: Any, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"x.example.com/{version}",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    }


def _of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"openAPIV3Schema": _schema(properties)}}


@pytest.fixture
def server() -> _Server:
    return _Server()


def test_a_definition_is_served_with_the_next_request(server: _Server) -> None:
    """Its conditions are set, discovery and OpenAPI show it, and objects can be made."""
    server.define(**_of({"size": {"type": "integer", "default": 3}}))

    _, crd = server.ask("GET", f"{_CRDS}/widgets.x.example.com")
    assert [(each["type"], each["status"]) for each in crd["status"]["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    _, listed = server.ask("GET", "/apis/x.example.com/v1")
    assert [each["name"] for each in listed["resources"]] == ["widgets"]
    _, document = server.ask("GET", "/openapi/v3/apis/x.example.com/v1")
    assert "com.example.x.v1.Widget" in document["components"]["schemas"]
    status, made = server.create("w", {})
    assert (status, made["spec"]) == (201, {"size": 3})


def test_what_is_told_of_a_definition_is_so_already(server: _Server) -> None:
    """Whoever sees that it is established finds its resources; whoever sees it gone finds them gone."""
    seen = []

    def note(event: Event) -> None:
        conditions = event.record.object.get("status", {}).get("conditions") or ()
        is_told = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
        is_there = event.type != "DELETED" and is_told
        is_served = any(resource.plural == "widgets" for resource in server.api.registry)
        seen.append((event.type, is_told, is_there == is_served))

    crds = "customresourcedefinitions.apiextensions.k8s.io"
    handle = server.store.watch(crds, server.store.revision, note)
    server.define()
    server.ask("DELETE", f"{_CRDS}/widgets.x.example.com")
    handle.close()

    assert ("MODIFIED", True, True) in seen and seen[-1] == ("DELETED", True, True)


def test_a_stored_definition_is_served_after_a_restart(server: _Server) -> None:
    """Another server over the same store knows it."""
    server.define()
    server.create("w", {})

    again = Api(server.store)
    answer = again.handle(Request("GET", f"{_WIDGETS}/w", user=_ADMIN))
    assert answer.status == 200


def test_unknown_fields_are_dropped_and_told(server: _Server) -> None:
    """Kept where the schema says so; refused when that is asked for."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    server.define(**_of({"a": {"type": "string"}, "free": free}))

    status, made = server.create("w", {"a": "1", "b": 2, "free": {"x": {"y": 1}}})
    assert (status, made["spec"]) == (201, {"a": "1", "free": {"x": {"y": 1}}})
    status, refused = server.create("v", {"b": 2}, fieldValidation="Strict")
    assert status == 400 and 'unknown field "spec.b"' in refused["message"]


@pytest.mark.parametrize(
    ("schema", "value", "reason", "message"),
    [
        ({"type": "integer", "minimum": 1}, 0, "FieldValueInvalid", "should be greater than or equal to 1"),
        ({"type": "integer"}, "x", "FieldValueTypeInvalid", 'must be of type integer: "string"'),
        ({"type": "string", "enum": ["a", "b"]}, "c", "FieldValueNotSupported", 'supported values: "a", "b"'),
        ({"type": "string", "maxLength": 2}, "abc", "FieldValueTooLong", "may not be more than 2 bytes"),
        ({"type": "string", "pattern": "^a"}, "b", "FieldValueInvalid", "should match '^a'"),
        ({"type": "string", "format": "ipv4"}, "b", "FieldValueTypeInvalid", 'must be of type ipv4: "b"'),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            ["a", "a"],
            "FieldValueDuplicate",
            'Duplicate value: "a"',
        ),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            ["a", "b"],
            "FieldValueTooMany",
            "at most 1",
        ),
        ({"type": "number", "multipleOf": 0.5}, 0.7, "FieldValueInvalid", "should be a multiple of 0.5"),
        (
            {"type": "object", "minProperties": 1},
            {},
            "FieldValueInvalid",
            "should have at least 1 properties",
        ),
        (
            {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 2}]},
            3,
            "FieldValueInvalid",
            "must validate at least one schema (anyOf)",
        ),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            "FieldValueTypeInvalid",
            "must be of type integer,string",
        ),
        (
            {"type": "integer", "x-kubernetes-validations": [{"rule": "self % 2 == 0", "message": "odd"}]},
            3,
            "FieldValueInvalid",
            'Invalid value: "integer": odd',
        ),
    ],
)
def test_schemas_judge(server: _Server, schema: Any, value: Any, reason: str, message: str) -> None:
    """In the words of the original, with the field's path."""
    server.define(**_of({"f": schema}))

    status, refused = server.create("w", {"f": value})
    cause = refused["details"]["causes"][0]
    assert (status, cause["reason"]) == (422, reason)
    assert message in cause["message"]


def test_patterns_take_no_time(server: _Server) -> None:
    """An expression that would try every way to split a text is decided by one look at it."""
    evil = {
        "type": "string",
        "pattern": "^(a+)+$",
        "x-kubernetes-validations": [{"rule": "!self.matches('(b+)+$')"}],
    }
    server.define(**_of({"f": evil}))

    assert server.create("w", {"f": "a" * 10_000})[0] == 201
    status, refused = server.create("v", {"f": "a" * 10_000 + "!"})
    assert status == 422 and "should match" in refused["message"]


def test_rules_about_changes_see_both(server: _Server) -> None:
    """A rule with oldSelf is silent when the field is new, and when it goes."""
    rule = {"rule": "self == oldSelf", "messageExpression": "'was ' + oldSelf"}
    server.define(**_of({"f": {"type": "string", "x-kubernetes-validations": [rule]}}))
    server.create("w", {"f": "a"})

    merge = "application/merge-patch+json"
    status, refused = server.ask("PATCH", f"{_WIDGETS}/w", b'{"spec":{"f":"b"}}', content_type=merge)
    assert status == 422 and refused["details"]["causes"][0]["message"].endswith("was a")
    assert server.ask("PATCH", f"{_WIDGETS}/w", b'{"spec":{"f":null}}', content_type=merge)[0] == 200


def test_a_rule_may_see_that_there_was_nothing_before(server: _Server) -> None:
    """With optionalOldSelf a rule about changes is asked for new objects, too."""
    rule = {
        "rule": "oldSelf.hasValue() || self == 'first'",
        "optionalOldSelf": True,
        "message": "begin with first",
        "reason": "FieldValueForbidden",
    }
    server.define(**_of({"f": {"type": "string", "x-kubernetes-validations": [rule]}}))

    status, refused = server.create("w", {"f": "second"})
    assert (status, refused["details"]["causes"]) == (
        422,
        [{"reason": "FieldValueForbidden", "message": "Forbidden: begin with first", "field": "spec.f"}],
    )
    assert server.create("w", {"f": "first"})[0] == 201
    merge = "application/merge-patch+json"
    assert server.ask("PATCH", f"{_WIDGETS}/w", b'{"spec":{"f":"second"}}', content_type=merge)[0] == 200


def test_what_was_wrong_before_may_stay_so(server: _Server) -> None:
    """A stricter schema refuses new values, and not every change of an object that it would refuse."""
    server.define(**_of({"a": {"type": "string"}, "b": {"type": "string"}}))
    server.create("w", {"a": "long", "b": "x"})
    _, crd = server.ask("GET", f"{_CRDS}/widgets.x.example.com")
    rule = {"rule": "self.startsWith('y')"}
    strict = {"type": "string", "maxLength": 1, "x-kubernetes-validations": [rule]}
    crd["spec"]["versions"][0].update(_of({"a": strict, "b": {"type": "string"}}))
    assert server.ask("PUT", f"{_CRDS}/widgets.x.example.com", crd)[0] == 200

    merge = "application/merge-patch+json"
    assert server.ask("PATCH", f"{_WIDGETS}/w", b'{"spec":{"b":"z"}}', content_type=merge)[0] == 200
    assert server.ask("PATCH", f"{_WIDGETS}/w", b'{"spec":{"a":"other"}}', content_type=merge)[0] == 422
    assert server.create("v", {"a": "x"})[0] == 422


def test_who_waits_for_a_name_gets_it_when_it_is_free(server: _Server) -> None:
    """A definition whose names another one has is not served, until that one goes."""
    server.define()
    second = _definition([{"name": "v1", "served": True, "storage": True}])
    second["metadata"]["name"] = "gadgets.x.example.com"
    second["spec"]["names"] = {"plural": "gadgets", "kind": "Widget"}
    server.ask("POST", _CRDS, second)

    def accepted() -> tuple[str, str]:
        _, crd = server.ask("GET", f"{_CRDS}/gadgets.x.example.com")
        condition = next(one for one in crd["status"]["conditions"] if one["type"] == "NamesAccepted")
        return condition["status"], condition["reason"]

    assert accepted() == ("False", "KindConflict")
    assert server.ask("GET", _WIDGETS.replace("widgets", "gadgets"))[0] == 404
    server.ask("DELETE", f"{_CRDS}/widgets.x.example.com")
    assert accepted() == ("True", "NoConflicts")
    assert server.ask("GET", _WIDGETS.replace("widgets", "gadgets"))[0] == 200


def test_hostile_rules_cannot_hold_up_the_server(server: _Server) -> None:
    """All rules on all items of an object share what they may cost."""
    numbers = {"type": "array", "items": {"type": "integer"}}
    loops = {"rule": "self.all(a, self.all(b, a + b >= 0))"}
    lists = {"type": "array", "items": {**numbers, "x-kubernetes-validations": [loops] * 5}}
    server.define(**_of({"f": lists}))

    status, refused = server.create("w", {"f": [list(range(300))] * 300})
    assert status == 422 and "costs too much" in refused["message"]
    assert server.create("v", {"f": [[1, 2], [3]]})[0] == 201


def test_versions_know_their_own_fields(server: _Server) -> None:
    """Without conversion only the name of the version changes, and what that does not know is not shown."""
    versions = [
        {"name": "v1", "served": True, "storage": True, **_of({"a": {"type": "string"}})},
        {
            "name": "v2",
            "served": True,
            "storage": False,
            "deprecated": True,
            **_of({"b": {"type": "string"}}),
        },
    ]
    assert server.ask("POST", _CRDS, _definition(versions))[0] == 201
    server.create("w", {"a": "1"})

    _, shown = server.ask("GET", _WIDGETS.replace("/v1/", "/v2/") + "/w")
    assert (shown["apiVersion"], shown["spec"]) == ("x.example.com/v2", {})
    assert server.ask("GET", f"{_WIDGETS}/w")[1]["spec"] == {"a": "1"}


def test_status_and_scale_are_parts(server: _Server) -> None:
    """The status is written by itself, and scaling goes to the fields that the definition names."""
    paths = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    open_ = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    server.define(schema=open_, subresources={"status": {}, "scale": paths})
    server.create("w", {"n": 2})

    merge = "application/merge-patch+json"
    body = b'{"spec":{"n":9},"status":{"n":1}}'
    _, made = server.ask("PATCH", f"{_WIDGETS}/w/status", body, content_type=merge)
    assert (made["spec"], made["status"], made["metadata"]["generation"]) == ({"n": 2}, {"n": 1}, 1)
    _, scale = server.ask("PATCH", f"{_WIDGETS}/w/scale", b'{"spec":{"replicas":5}}', content_type=merge)
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (5, 1)
    _, made = server.ask("GET", f"{_WIDGETS}/w")
    assert (made["spec"], made["metadata"]["generation"]) == ({"n": 5}, 2)


def test_columns_and_selectable_fields(server: _Server) -> None:
    """A table has the columns that were asked for, each of its type."""
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "First", "type": "string", "jsonPath": '.spec.list[?(@.k=="a")].v'},
        {"name": "None", "type": "string", "jsonPath": ".spec.none"},
    ]
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec["properties"] = {"mode": {"type": "string"}}
    free = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    server.define(
        schema=free, additionalPrinterColumns=columns, selectableFields=[{"jsonPath": ".spec.mode"}]
    )
    server.create("w", {"size": 3, "mode": "x", "list": [{"k": "b", "v": "1"}, {"k": "a", "v": "2"}]})
    server.create("v", {"mode": "y"})

    _, table = server.ask("GET", f"{_WIDGETS}/w", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["rows"][0]["cells"] == ["w", 3, "2", None]
    _, found = server.ask("GET", f"{_WIDGETS}?fieldSelector=spec.mode=y")
    assert [each["metadata"]["name"] for each in found["items"]] == ["v"]
    assert server.ask("GET", f"{_WIDGETS}?fieldSelector=spec.size=3")[0] == 400


def test_a_definition_goes_when_its_objects_are_gone(server: _Server) -> None:
    """Objects with finalizers hold it; until then nothing new is made."""
    server.define()
    held = _widget("held", {})
    held["metadata"]["finalizers"] = ["example.com/h"]
    server.ask("POST", _WIDGETS, held)
    server.create("free", {})

    status, going = server.ask("DELETE", f"{_CRDS}/widgets.x.example.com")
    assert status == 200 and going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    _, left = server.ask("GET", _WIDGETS)
    assert [each["metadata"]["name"] for each in left["items"]] == ["held"]
    assert server.create("late", {})[0] == 405

    merge = "application/merge-patch+json"
    server.ask("PATCH", f"{_WIDGETS}/held", b'{"metadata":{"finalizers":null}}', content_type=merge)
    assert server.ask("GET", f"{_CRDS}/widgets.x.example.com")[0] == 404
    assert server.ask("GET", _WIDGETS) == (404, "404 page not found\n")


def test_a_changed_definition_is_in_force_at_once(server: _Server) -> None:
    """A new default is set on the next object; what identifies the resource cannot change."""
    server.define()
    _, crd = server.ask("GET", f"{_CRDS}/widgets.x.example.com")
    crd["spec"]["versions"][0].update(_of({"f": {"type": "string", "default": "d"}}))
    assert server.ask("PUT", f"{_CRDS}/widgets.x.example.com", crd)[0] == 200
    assert server.create("w", {})[1]["spec"] == {"f": "d"}

    _, crd = server.ask("GET", f"{_CRDS}/widgets.x.example.com")
    crd["spec"]["scope"] = "Cluster"
    status, refused = server.ask("PUT", f"{_CRDS}/widgets.x.example.com", crd)
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "spec.scope")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "wrong"}}, "metadata.name"),
        ({"spec": {"scope": "X"}}, "spec.scope"),
        ({"spec": {"versions": [{"name": "v1", "served": True, "storage": False}]}}, "spec.versions"),
        ({"spec": {"conversion": {"strategy": "Webhook"}}}, "spec.conversion.webhook.clientConfig"),
    ],
)
def test_definitions_that_make_no_sense_are_refused(server: _Server, change: Any, field: str) -> None:
    """Each with the field that is wrong."""
    wanted = _definition([{"name": "v1", "served": True, "storage": True}])
    for part, values in change.items():
        wanted[part].update(values)

    status, refused = server.ask("POST", _CRDS, wanted)
    assert status == 422
    assert field in [cause["field"] for cause in refused["details"]["causes"]]


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"$ref": "#/a"}, "properties[spec].properties[f].$ref"),
        ({}, "properties[spec].properties[f].type"),
        ({"type": "array"}, "properties[spec].properties[f].items"),
        ({"type": "string", "pattern": "("}, "properties[spec].properties[f].pattern"),
        *(
            (
                {"type": "integer", "x-kubernetes-validations": [{"rule": rule}]},
                "properties[spec].properties[f].x-kubernetes-validations[0].rule",
            )
            for rule in (
                "1 +",
                "self",
                "self == 'a'",
                "self.x == 1",
                "other == 1",
                "f(self)",
                "self + 'a' == 'b'",
            )
        ),
        (
            {"type": "object", "additionalProperties": False},
            "properties[spec].properties[f].additionalProperties",
        ),
        (
            {"type": "object", "additionalProperties": True, "properties": {"a": {"type": "string"}}},
            "properties[spec].properties[f].additionalProperties",
        ),
        (
            {"type": "string", "x-kubernetes-preserve-unknown-fields": False},
            "properties[spec].properties[f].x-kubernetes-preserve-unknown-fields",
        ),
        ({"type": "array", "items": {}}, "properties[spec].properties[f].items.type"),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            "properties[spec].properties[f].properties",
        ),
        (
            {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
            "properties[spec].properties[f].x-kubernetes-preserve-unknown-fields",
        ),
        (
            {"type": "integer", "anyOf": [{"type": "integer"}]},
            "properties[spec].properties[f].anyOf[0].type",
        ),
        (
            {"type": "object", "oneOf": [{"properties": {"a": {"minimum": 1}}}]},
            "properties[spec].properties[f].properties[a]",
        ),
        ({"type": "string", "not": {"default": "x"}}, "properties[spec].properties[f].not.default"),
        ({"type": "integer", "default": "one"}, "properties[spec].properties[f].default"),
        ({"type": "object", "default": {"a": 1}}, "properties[spec].properties[f].default"),
        (
            {"type": "string", "x-kubernetes-list-type": "set"},
            "properties[spec].properties[f].type",
        ),
        (
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
            "properties[spec].properties[f].items.x-kubernetes-map-type",
        ),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
            },
            "properties[spec].properties[f].items.properties[k].default",
        ),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"n": {"type": "integer"}}},
                "x-kubernetes-validations": [{"rule": "self.all(x, x.none > 1)"}],
            },
            "properties[spec].properties[f].x-kubernetes-validations[0].rule",
        ),
        (
            {
                "type": "string",
                "x-kubernetes-validations": [{"rule": "self == 'a'", "messageExpression": "1"}],
            },
            "properties[spec].properties[f].x-kubernetes-validations[0].messageExpression",
        ),
    ],
)
def test_schemas_must_be_structural(server: _Server, schema: Any, field: str) -> None:
    """What could not be judged later is refused now."""
    version = {"name": "v1", "served": True, "storage": True, **_of({"f": schema})}

    status, refused = server.ask("POST", _CRDS, _definition([version]))
    assert status == 422
    assert refused["details"]["causes"][0]["field"] == f"spec.validation.openAPIV3Schema.{field}"


@pytest.mark.parametrize(
    ("version", "field"),
    [
        (
            {"subresources": {"scale": {"specReplicasPath": ".n", "statusReplicasPath": ".status.n"}}},
            "spec.versions[0].subresources.scale.specReplicasPath",
        ),
        ({"selectableFields": [{"jsonPath": ".spec.none"}]}, "spec.versions[0].selectableFields[0].jsonPath"),
        (
            {"additionalPrinterColumns": [{"name": "N", "type": "text", "jsonPath": ".a"}]},
            "spec.versions[0].additionalPrinterColumns[0].type",
        ),
        ({"schema": {"openAPIV3Schema": {"type": "array"}}}, "spec.validation.openAPIV3Schema.type"),
    ],
    ids=["scale", "selectable field", "column", "root"],
)
def test_what_a_version_says_must_fit_its_schema(server: _Server, version: Any, field: str) -> None:
    """Paths lead to fields that there are, where such fields belong."""
    whole = {"name": "v1", "served": True, "storage": True, **version}
    status, refused = server.ask("POST", _CRDS, _definition([whole]))
    assert status == 422
    assert field in [cause["field"] for cause in refused["details"]["causes"]]


def _converting(review: Any) -> Any:
    """A webhook that moves ``spec.a`` of v1 to ``spec.b`` of v2, and back."""
    request = review["request"]
    made = []
    for obj in request["objects"]:
        spec = obj.get("spec") or {}
        pairs = {"a": "b", "b": "a"}
        moved = {pairs[key]: value for key, value in spec.items()}
        made.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": moved})
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


def _two_versions() -> list[dict[str, Any]]:
    return [
        {"name": "v1", "served": True, "storage": True, **_of({"a": {"type": "string"}})},
        {"name": "v2", "served": True, "storage": False, **_of({"b": {"type": "string"}})},
    ]


def _by_webhook(config: Any) -> dict[str, Any]:
    return {"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]}}


def test_a_webhook_converts(server: _Server) -> None:
    """Both ways, in reads, writes and lists; objects are stored in one version."""
    v2 = _WIDGETS.replace("/v1/", "/v2/")
    with serving_webhook(_converting) as config:
        wanted = _definition(_two_versions(), conversion=_by_webhook(config))
        assert server.ask("POST", _CRDS, wanted)[0] == 201
        assert server.create("w", {"a": "1"})[0] == 201
        assert server.ask("POST", v2, _widget("v", {"b": "2"}, "v2"))[1]["spec"] == {"b": "2"}

        assert server.ask("GET", f"{v2}/w")[1]["spec"] == {"b": "1"}
        assert server.ask("GET", f"{_WIDGETS}/v")[1]["spec"] == {"a": "2"}
        assert [each["spec"] for each in server.ask("GET", v2)[1]["items"]] == [{"b": "2"}, {"b": "1"}]
        merge = "application/merge-patch+json"
        server.ask("PATCH", f"{v2}/w", b'{"spec":{"b":"3"}}', content_type=merge)
        assert server.ask("GET", f"{_WIDGETS}/w")[1]["spec"] == {"a": "3"}


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "another"},
        {"result": {"status": "Failed", "message": "cannot"}},
        {"convertedObjects": []},
        {"convertedObjects": [{"apiVersion": "x.example.com/v2", "metadata": {"name": "other"}}]},
    ],
    ids=["other request", "failed", "nothing", "other object"],
)
def test_a_webhook_that_misbehaves_is_an_error(server: _Server, change: Any) -> None:
    """And the object stays readable in the version in which it is stored."""

    def answer(review: Any) -> Any:
        made = _converting(review)
        made["response"].update(change)
        return made

    with serving_webhook(answer) as config:
        server.ask("POST", _CRDS, _definition(_two_versions(), conversion=_by_webhook(config)))
        assert server.create("w", {"a": "1"})[0] == 201
        status, refused = server.ask("GET", _WIDGETS.replace("/v1/", "/v2/") + "/w")
        assert (
            status == 500 and "conversion webhook for x.example.com, Kind=Widget failed" in refused["message"]
        )
        assert server.ask("GET", f"{_WIDGETS}/w")[0] == 200


def test_the_openapi_document_of_a_definition() -> None:
    """It is the recorded one, word for word."""
    steps = next(c for c in read_recorded("exchanges/crd.json.gz")["cases"] if c["id"] == "subresources")[
        "steps"
    ]
    server = _Server()
    server.ask("POST", _CRDS, steps[0]["request"]["body"])
    step = next(step for step in steps if step["request"]["path"].startswith("/openapi/"))

    assert server.ask("GET", step["request"]["path"])[1] == step["response"]["body"]


def test_what_was_not_finished_before_a_restart_is_finished_after_it(server: _Server) -> None:
    """A definition that was written by nobody's request is accepted and served by the next server."""
    wanted = _definition([{"name": "v1", "served": True, "storage": True}])
    wanted["metadata"] |= {"uid": "u", "generation": 1}
    wanted["spec"]["names"] |= {"singular": "widget", "listKind": "WidgetList"}
    store = MemoryStore()
    store.create("customresourcedefinitions.apiextensions.k8s.io", "", "widgets.x.example.com", wanted)

    api = Api(store)
    assert api.handle(Request("GET", _WIDGETS, user=_ADMIN)).status == 200
    record = store.get("customresourcedefinitions.apiextensions.k8s.io", "", "widgets.x.example.com")
    assert record is not None and record.object["status"]["acceptedNames"]["kind"] == "Widget"


def test_many_definitions_at_once(server: _Server) -> None:
    """Whoever creates one finds it served with the next request, however many do so at the same time."""
    seen: list[int] = []

    def define(number: int) -> None:
        wanted = _definition(
            [{"name": "v1", "served": True, "storage": True}], group=f"g{number}.example.com"
        )
        wanted["metadata"]["name"] = f"widgets.g{number}.example.com"
        server.ask("POST", _CRDS, wanted)
        seen.append(server.ask("GET", f"/apis/g{number}.example.com/v1/namespaces/default/widgets")[0])

    threads = [threading.Thread(target=define, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 16
