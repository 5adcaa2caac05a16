"""Groups that somebody else serves: asked as the user, without the user's credentials."""

import base64
import contextlib
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.api.messages import LineBody, Request, User
from container_kit.cluster.server.tls import server_context
from container_kit.cluster.store import MemoryStore

_ADMIN = User("admin", ("system:masters", "dev"))
_LISTED = {
    "kind": "APIResourceList",
    "resources": [
        {
            "name": "flunders",
            "singularName": "flunder",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["get", "list"],
        }
    ],
}
_PLACE = "apis/w.example.com/v1"
_DOCUMENTS = {
    f"/{_PLACE}": _LISTED,
    "/openapi/v3": {"paths": {_PLACE: {"serverRelativeURL": f"/openapi/v3/{_PLACE}?hash=ABC"}}},
}


class _Link:
    """A node whose pods all listen at one place of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    def port_forward(self, pod: Any, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port))


@contextlib.contextmanager
def _backend(seen: list[Any], clients: Authority | None = None) -> Iterator[tuple[int, str]]:
    """An API server of somebody else: its port, and the bundle that vouches for it.

    With *clients* it only lets in whose certificate that has signed, and notes the names in these.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            shown = self.connection.getpeercert() if clients else None  # type: ignore[attr-defined]
            if shown:
                self.headers["Shown"] = shown["subject"][0][0][1]
            seen.append((self.command, self.path, self.headers, body))
            if "watch=true" in self.path:
                self._stream()
                return
            data = json.dumps(_DOCUMENTS.get(self.path, {"path": self.path})).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json;stream=watch")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in (b'{"n":1}\n', b'{"n":2}\n'):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

    authority = Authority.create("aggregated")
    context = server_context(authority, authority.issue("api", names=("api.default.svc",)))
    context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
    if clients:
        context.load_verify_locations(cadata=clients.certificate.decode())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, base64.b64encode(authority.certificate).decode()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _ask(api: Api, method: str, path: str, body: Any = b"", **headers: str) -> Any:
    path, _, query = path.partition("?")
    parameters = {
        key: [value] for key, _, value in (part.partition("=") for part in query.split("&") if part)
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.handle(Request(method, path, parameters, named, body, user=_ADMIN))


def _cluster(port: int) -> Api:
    """A server with a service ``api``, whose one pod is reached at *port*."""
    api = Api(MemoryStore())
    api.nodes.set("node-1", _Link(port))  # type: ignore[arg-type]
    meta = {"name": "api", "namespace": "default"}
    api.store.create("services", "default", "api", {"metadata": meta, "spec": {"ports": [{"port": 443}]}})
    api.store.create("pods", "default", "p", {"metadata": {"name": "p"}, "spec": {"nodeName": "node-1"}})
    subsets = [{"addresses": [{"ip": "10.0.0.1", "targetRef": {"name": "p"}}], "ports": [{"port": 8443}]}]
    api.store.create("endpoints", "default", "api", {"metadata": meta, "subsets": subsets})
    return api


def _api_service(bundle: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.w.example.com"},
        "spec": {
            "group": "w.example.com",
            "version": "v1",
            "service": {"namespace": "default", "name": "api"},
            "caBundle": bundle,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
        },
    }


_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_FLUNDERS = "/apis/w.example.com/v1/namespaces/default/flunders"


def _available(api: Api) -> str:
    found = json.loads(_ask(api, "GET", f"{_SERVICES}/v1.w.example.com").body)
    return str(found["status"]["conditions"][0]["status"])


def test_what_is_below_its_version_goes_to_the_service() -> None:
    """With the user's name and groups; credentials, and names that the client claims, stay here."""
    seen: list[Any] = []
    with _backend(seen) as (port, bundle):
        api = _cluster(port)
        assert _ask(api, "POST", _SERVICES, _api_service(bundle)).status == 201
        answer = _ask(api, "POST", f"{_FLUNDERS}?a=b", b"{}", authorization="Bearer t", x_remote_user="root")

        assert json.loads(answer.body) == {"path": f"{_FLUNDERS}?a=b"}
        method, _, headers, body = seen[-1]
        assert (method, body) == ("POST", b"{}")
        assert headers.get_all("X-Remote-User") == ["admin"]
        assert headers.get_all("X-Remote-Group") == ["system:masters", "dev"]
        assert "Authorization" not in headers
        assert api.is_slow(Request("GET", _FLUNDERS))


def test_its_resources_are_discovered_here() -> None:
    """They are listed with ours while the APIService is there, and gone with it."""
    with _backend([]) as (port, bundle):
        api = _cluster(port)
        _ask(api, "POST", _SERVICES, _api_service(bundle))
        assert _available(api) == "True"
        groups = json.loads(_ask(api, "GET", "/apis").body)["groups"]
        assert "w.example.com" in [group["name"] for group in groups]

        _ask(api, "DELETE", f"{_SERVICES}/v1.w.example.com")
        groups = json.loads(_ask(api, "GET", "/apis").body)["groups"]
        assert "w.example.com" not in [group["name"] for group in groups]
        assert _ask(api, "GET", _FLUNDERS).status == 404


def test_it_may_want_to_know_that_it_is_us() -> None:
    """A certificate that the front proxy's authority has signed, as the ConfigMap for such servers says."""
    seen: list[Any] = []
    front_proxy = Authority.create("front-proxy-ca")
    with _backend(seen, front_proxy) as (port, bundle):
        api = _cluster(port)
        _ask(api, "POST", _SERVICES, _api_service(bundle))
        assert _available(api) == "False"
        api.core.front_proxy = front_proxy
        _ask(api, "DELETE", f"{_SERVICES}/v1.w.example.com")
        _ask(api, "POST", _SERVICES, _api_service(bundle))

        assert _available(api) == "True"
        assert _ask(api, "GET", _FLUNDERS).status == 200
        assert seen[-1][2]["Shown"] == "front-proxy-client"


def test_its_openapi_document_is_in_our_index() -> None:
    """And asked for here, it comes from there."""
    with _backend([]) as (port, bundle):
        api = _cluster(port)
        _ask(api, "POST", _SERVICES, _api_service(bundle))

        index = json.loads(_ask(api, "GET", "/openapi/v3").body)["paths"]
        assert index[_PLACE] == {"serverRelativeURL": f"/openapi/v3/{_PLACE}?hash=ABC"}
        answer = _ask(api, "GET", f"/openapi/v3/{_PLACE}?hash=ABC")
        assert json.loads(answer.body) == {"path": f"/openapi/v3/{_PLACE}?hash=ABC"}


def test_a_service_may_lead_out_of_the_cluster() -> None:
    """Endpoints without a pod, and names of elsewhere, are connected to from here."""
    with _backend([]) as (port, bundle):
        api = _cluster(0)
        outside = {"type": "ExternalName", "externalName": "localhost"}
        record = api.store.get("services", "default", "api")
        assert record is not None
        api.store.replace(record, {**record.object, "spec": {**outside, "ports": [{"port": port}]}})
        service = _api_service(bundle)
        service["spec"]["service"]["port"] = port
        _ask(api, "POST", _SERVICES, service)
        assert _available(api) == "True"


def test_a_watch_goes_on_until_it_ends() -> None:
    """Its lines come as they are."""
    with _backend([]) as (port, bundle):
        api = _cluster(port)
        _ask(api, "POST", _SERVICES, _api_service(bundle))
        answer = _ask(api, "GET", f"{_FLUNDERS}?watch=true")

        assert isinstance(answer.body, LineBody)
        assert b"".join(answer.body) == b'{"n":1}\n{"n":2}\n'


@pytest.mark.parametrize("problem", ["another authority", "no pods"])
def test_who_cannot_be_reached_or_trusted_is_unavailable(problem: str) -> None:
    """503, and the condition says so."""
    seen: list[Any] = []
    with _backend(seen) as (port, bundle):
        api = _cluster(port)
        if problem == "no pods":
            record = api.store.get("endpoints", "default", "api")
            assert record is not None
            api.store.delete(record)
        else:
            bundle = base64.b64encode(Authority.create("other").certificate).decode()
        _ask(api, "POST", _SERVICES, _api_service(bundle))

        assert _available(api) == "False"
        assert _ask(api, "GET", _FLUNDERS).status == 503
        assert seen == []
