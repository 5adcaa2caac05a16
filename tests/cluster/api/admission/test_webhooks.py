"""Webhooks are asked over HTTPS, and what they say counts."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from container_kit.cluster.api import Request
from container_kit.cluster.identity import Identity
from container_kit.cluster.server.tls import server_context
from tests.cluster.api.admission.conftest import Admitting
from tests.cluster.api.conftest import MAPS

Answer = Callable[[dict[str, Any]], dict[str, Any]]
BODY = {"metadata": {"name": "m"}, "data": {"a": "1"}}


class Hook:
    """A webhook on this machine.

    Attributes:
        answer: Makes the response to a request.
        asked: The requests that came.
        bundle: The certificate that its callers must trust, as configurations have it.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda request: {"allowed": True}
        self.asked: list[dict[str, Any]] = []
        authority = Identity.of("").authority
        self.bundle = base64.b64encode(authority.certificate).decode()
        context = server_context(authority, authority.issue("hook", names=("127.0.0.1", "hook.default.svc")))
        context.verify_mode = ssl.CERT_NONE
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def configure(self, admitting: Admitting, kind: str = "Validating", **more: Any) -> None:
        """Have it asked about ConfigMaps that are made."""
        rule = {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["configmaps"],
        }
        hook = {
            "name": "hook.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}/x", "caBundle": self.bundle},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "rules": [rule],
            **more,
        }
        path = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations"
        admitting.do("POST", path, {"metadata": {"name": "h"}, "webhooks": [hook]})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked.append(review["request"])
                response = {"uid": review["request"]["uid"], **hook.answer(review["request"])}
                data = json.dumps({**review, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.close()


def test_only_writes_that_are_asked_about_keep_a_server_waiting(admitting: Admitting, hook: Hook) -> None:
    """While a webhook stands in the cluster, writes are made in threads of their own; reads never are."""
    write, read = (Request(method, MAPS, {}, {}, b"", None) for method in ("POST", "GET"))
    assert not admitting.api.is_slow(write)

    hook.configure(admitting)
    assert (admitting.api.is_slow(write), admitting.api.is_slow(read)) == (True, False)


def test_a_webhook_may_refuse(admitting: Admitting, hook: Hook) -> None:
    """Its words and its code reach the client."""
    hook.answer = lambda request: {
        "allowed": False,
        "status": {"message": "not today", "code": 403, "reason": "Forbidden"},
    }
    hook.configure(admitting)

    message = 'admission webhook "hook.example.com" denied the request: not today'
    assert admitting.fail("POST", MAPS, BODY) == (403, "Forbidden", message)
    asked = hook.asked[0]
    assert (asked["operation"], asked["name"], asked["object"]["data"]) == ("CREATE", "m", {"a": "1"})
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}


def test_a_webhook_may_change_and_warn(admitting: Admitting, hook: Hook) -> None:
    """A JSON patch changes the object before it is stored; warnings reach the client."""
    patch = base64.b64encode(json.dumps([{"op": "add", "path": "/data/b", "value": "2"}]).encode()).decode()
    hook.answer = lambda request: {
        "allowed": True,
        "patch": patch,
        "patchType": "JSONPatch",
        "warnings": ["changed"],
    }
    hook.configure(admitting, "Mutating")

    answer = admitting.ask("POST", MAPS, BODY)
    assert answer.status == 201 and "changed" in str(answer.headers)
    assert admitting.do("GET", f"{MAPS}/m")["data"] == {"a": "1", "b": "2"}


def test_a_webhook_behind_a_service(admitting: Admitting, hook: Hook) -> None:
    """A service is reached at one of its ready endpoints, under its own name."""
    ports = [{"port": 443, "targetPort": hook.port}]
    admitting.do(
        "POST",
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "hook"}, "spec": {"ports": ports}},
    )
    body = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}],
        "ports": [{"port": hook.port}],
    }
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    config = {"service": {"name": "hook", "namespace": "default"}, "caBundle": hook.bundle}
    hook.configure(admitting, clientConfig=config, timeoutSeconds=1)

    assert "no endpoints available" in admitting.fail("POST", MAPS, BODY)[2]
    # Loopback is no address that an endpoint may have, so this one goes past the API.
    made = admitting.do("POST", slices, body)
    made["endpoints"] = [{"addresses": ["127.0.0.1"]}]
    record = admitting.store.get("endpointslices.discovery.k8s.io", "default", "hook-1")
    assert record is not None
    admitting.store.replace(record, made)
    admitting.do("POST", MAPS, BODY)
    assert len(hook.asked) == 1


@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)])
def test_a_silent_webhook_counts_by_its_failure_policy(
    admitting: Admitting, policy: str, status: int
) -> None:
    """Where nobody listens, the failure policy decides."""
    silent = Hook()
    silent.close()
    silent.configure(admitting, failurePolicy=policy)
    assert admitting.ask("POST", MAPS, BODY).status == status


def test_a_stranger_is_not_believed(admitting: Admitting, hook: Hook) -> None:
    """Whoever cannot show the right certificate is not asked."""
    other = base64.b64encode(Identity.of("").authority.certificate).decode()
    config = {"url": f"https://127.0.0.1:{hook.port}/x", "caBundle": other}
    hook.configure(admitting, clientConfig=config)

    code, _, message = admitting.fail("POST", MAPS, BODY)
    assert code == 500 and "failed to verify certificate" in message
    assert hook.asked == []
