"""S17: requests that are odd, endless or nested are refused in the 400s, and leave nothing behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from container_kit.cluster.api import Request
from container_kit.cluster.api.authorization import RbacAuthorizer
from container_kit.cluster.api.routing import _place, route_of
from container_kit.cluster.meta import StatusError
from tests.cluster.api.conftest import ADMIN, Asking

MAPS = "/api/v1/namespaces/default/configmaps"
JSON_PATCH = "application/json-patch+json"
_MEBIBYTE = 1 << 20


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.do("POST", MAPS, {"metadata": {"name": "a"}, "data": {}})
    return asking


def _moves(depth: int) -> list[dict[str, Any]]:
    """Puts an object into another, again and again, without writing a long path."""
    steps: list[dict[str, Any]] = []
    for _ in range(depth):
        steps += [
            {"op": "move", "from": "/data", "path": "/tmp"},
            {"op": "add", "path": "/data", "value": {}},
        ]
        steps.append({"op": "move", "from": "/tmp", "path": "/data/x"})
    return steps


@pytest.mark.parametrize(
    "patch",
    [
        _moves(3200),
        [{"op": "replace", "path": "", "value": None}],
        [
            {"op": "add", "path": "/metadata/finalizers", "value": []},
            {"op": "add", "path": f"/metadata/finalizers/{'9' * 5000}", "value": "x"},
        ],
    ],
    ids=["nests", "takes everything", "a place of 5000 digits"],
)
def test_a_patch_that_makes_nonsense_is_refused(asking: Asking, patch: Any) -> None:
    """Not a failure of the server, and the object is as it was."""
    before = asking.do("GET", f"{MAPS}/a")
    code, _, _ = asking.fail("PATCH", f"{MAPS}/a", json.dumps(patch).encode(), content_type=JSON_PATCH)
    assert 400 <= code < 500
    assert asking.do("GET", f"{MAPS}/a") == before


def test_raw_fields_are_not_endlessly_deep(asking: Asking) -> None:
    """Also what is not looked at is kept only as deep as it can be written again."""
    managed = b'{"manager":"m","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":'
    nested = b'{"f:x":' * 900 + b"{}" + b"}" * 900
    body = b'{"metadata":{"name":"deep","managedFields":[' + managed + nested + b"}]}}"
    assert asking.ask("POST", MAPS, body).status in (201, 400)


def test_an_object_may_not_be_larger_than_a_real_store_takes(asking: Asking) -> None:
    """An object grows up to 1.5 MiB, in one piece or by and by, and is then refused; what was there stays."""
    large = {"metadata": {"name": "b", "finalizers": [f"a.b/{'x' * 50}{n}" for n in range(30_000)]}}
    code, reason, message = asking.fail("POST", MAPS, large)
    assert (code, reason) == (413, "RequestEntityTooLarge")
    assert "etcdserver: request is too large" in message
    half = {f"k{n}": "x" * 1000 for n in range(900)}
    asking.do("PATCH", f"{MAPS}/a", {"data": half}, content_type="application/merge-patch+json")
    more = {"metadata": {"finalizers": [f"a.b/{'x' * 50}{n}" for n in range(15_000)]}}
    refused = asking.fail("PATCH", f"{MAPS}/a", more, content_type="application/merge-patch+json")
    assert refused[0] == 413
    assert "finalizers" not in asking.do("GET", f"{MAPS}/a")["metadata"]


@pytest.mark.parametrize("amount", ["1" + "0" * 5000, "0." + "0" * 5000 + "1", "1e" + "9" * 5000])
def test_a_quantity_has_an_end(asking: Asking, amount: str) -> None:
    """An amount of thousands of digits is refused, by its type or by its value."""
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": amount}}}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    code, _, _ = asking.fail("POST", "/api/v1/namespaces/default/pods", pod)
    assert code in (400, 422)


def test_warnings_fit_into_a_head(asking: Asking) -> None:
    """Thousands of unknown fields are some warnings, not a head that no client reads."""
    body = json.dumps({"metadata": {"name": "w"}, **{f"x{n}{'y' * 300}": 1 for n in range(5000)}}).encode()
    answer = asking.ask("POST", f"{MAPS}?fieldValidation=Warn", body)
    assert answer.status == 201
    warnings = answer.headers["Warning"]
    assert 1 < len(warnings) <= 100 and sum(map(len, warnings)) < 5000


@pytest.mark.parametrize("path", ["*", "host:80", "http://localhost/api/v1"])
def test_what_is_no_path_is_not_found(asking: Asking, path: str) -> None:
    """The star of OPTIONS and whole addresses lead nowhere."""
    for method in ("GET", "OPTIONS", "POST"):
        assert asking.api.handle(Request(method, path, user=ADMIN)).status == 404


def test_long_paths_are_not_remembered() -> None:
    """What strangers ask for costs memory only as long as it is answered."""
    _place.cache_clear()
    for number in range(100):
        route_of(Request("GET", f"/api/v1/namespaces/default/configmaps/{'x' * 10_000}{number}"))
    assert _place.cache_info().currsize == 0


def test_strangers_do_not_upload(asking: Asking) -> None:
    """S18: a long body of somebody without a credential is refused by its head; a short one by its answer."""
    rbac = asking.api.authorizer = RbacAuthorizer(asking.store)
    for headers in ({"content-length": "3000000"}, {"transfer-encoding": "chunked"}):
        with pytest.raises(StatusError) as refused:
            asking.api.admit(Request("POST", MAPS, headers=headers))
        assert refused.value.code == 403
    asking.api.admit(Request("POST", MAPS, headers={"content-length": "300"}))
    rbac.close()


def test_what_takes_long_has_a_thread_of_its_own(asking: Asking) -> None:
    """Bodies that are long to read, and answers that are long to write, hold up no other client."""
    is_slow = asking.api.is_slow
    assert is_slow(Request("POST", MAPS, body=b" " * _MEBIBYTE))
    assert is_slow(Request("POST", MAPS, headers={"content-type": "application/yaml"}, body=b" " * 50_000))
    assert is_slow(Request("GET", MAPS, headers={"accept": "application/yaml"}))
    assert not is_slow(Request("POST", MAPS, body=b" " * 10_000))
