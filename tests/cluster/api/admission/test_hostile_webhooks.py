"""Webhooks that are slow, talk nonsense or want to break things harm nobody but those who wait for them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from container_kit.cluster.identity import Identity
from container_kit.cluster.server.tls import server_context
from tests.cluster.api.admission.conftest import Admitting
from tests.cluster.api.conftest import MAPS

BODY = {"metadata": {"name": "m"}, "data": {"a": "1"}}
Reply = Callable[[BaseHTTPRequestHandler, str], None]


class Stranger:
    """A webhook whose every answer is made by *reply*, from the connection and the uid it was asked with."""

    def __init__(self) -> None:
        self.reply: Reply = lambda handler, uid: None
        self.gone = threading.Event()  # nobody waits for slow answers any more
        authority = Identity.of("").authority
        self.bundle = base64.b64encode(authority.certificate).decode()
        context = server_context(authority, authority.issue("hook", names=("127.0.0.1",)))
        context.verify_mode = ssl.CERT_NONE
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()  # waits for the answers under way
        self._thread.join()

    def stand_in(self, admitting: Admitting, kind: str = "validating", **more: Any) -> None:
        """Have it asked about ConfigMaps that are made."""
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        hook = {
            "name": "hook.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self._server.server_port}", "caBundle": self.bundle},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "rules": [rule],
            **more,
        }
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
        admitting.do("POST", path, {"metadata": {"name": "h"}, "webhooks": [hook]})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    stranger.reply(self, review["request"]["uid"])
                except OSError:
                    self.close_connection = True  # the caller has gone

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    found = Stranger()
    yield found
    found.close()


def saying(data: bytes, length: int | None = None) -> Reply:
    """A reply of these bytes, which says that it is *length* long."""

    def reply(handler: BaseHTTPRequestHandler, uid: str) -> None:
        filled = data.replace(b"UID", uid.encode())
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(filled) if length is None else length))
        handler.end_headers()
        handler.wfile.write(filled)

    return reply


def answering(**response: Any) -> Reply:
    """A review with this response."""
    return saying(json.dumps({"response": {"uid": "UID", **response}}).encode())


def patching(*operations: Any) -> Reply:
    """A review that allows, with a patch."""
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return answering(allowed=True, patchType="JSONPatch", patch=patch)


def test_who_sends_a_byte_now_and_then_has_no_more_time_than_others(
    admitting: Admitting, stranger: Stranger
) -> None:
    """The timeout is for the whole answer, however busy the connection is."""

    def dribble(handler: BaseHTTPRequestHandler, uid: str) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not stranger.gone.wait(0.05):
            handler.wfile.write(b" ")

    stranger.reply = dribble
    stranger.stand_in(admitting, timeoutSeconds=1)
    begun = time.monotonic()
    code, reason, message = admitting.fail("POST", MAPS, BODY)

    assert (code, reason) == (500, "InternalError") and "context deadline exceeded" in message
    assert time.monotonic() - begun < 60, "it was given up, sometime"


NESTED = b'{"response": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
GARBAGE: dict[str, tuple[Reply, str]] = {
    "no JSON": (saying(b"<html>"), "malformed"),
    "no object": (saying(b"[]"), "received invalid webhook response"),
    "nothing": (saying(b"{}"), "webhook response was absent"),
    "another question": (saying(b'{"response": {"uid": "x", "allowed": true}}'), "expected response.uid"),
    "a word for a truth": (answering(allowed="yes"), "received invalid webhook response"),
    "a number for warnings": (answering(allowed=True, warnings=5), "received invalid webhook response"),
    "a list for a status": (answering(allowed=False, status=[]), "received invalid webhook response"),
    "another patch": (answering(allowed=True, patch="e30=", patchType="X"), "invalid response.patchType"),
    "too deep": (saying(NESTED), "hook.example.com"),
    "too long": (saying(b" " * (8 * 1024 * 1024 + 2)), "longer than"),
    "cut off": (saying(b'{"resp', 100), "hook.example.com"),
    "a redirect": (lambda handler, uid: handler.send_error(302), "302"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_nonsense_counts_as_no_answer(admitting: Admitting, stranger: Stranger, what: str) -> None:
    """With the policy Fail the error says what came, with Ignore the write happens."""
    stranger.reply, words = GARBAGE[what]
    stranger.stand_in(admitting)
    code, reason, message = admitting.fail("POST", MAPS, BODY)
    assert (code, reason) == (500, "InternalError")
    assert 'failed calling webhook "hook.example.com"' in message and words in message

    admitting.do("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/h")
    stranger.stand_in(admitting, failurePolicy="Ignore")
    assert admitting.ask("POST", MAPS, BODY).status == 201


PATCHES: dict[str, Any] = {
    "a number for the data": {"op": "replace", "path": "/data", "value": 5},
    "a list for the metadata": {"op": "replace", "path": "/metadata", "value": []},
    "no metadata": {"op": "remove", "path": "/metadata"},
    "another kind": {"op": "replace", "path": "/kind", "value": "Secret"},
    "another version": {"op": "replace", "path": "/apiVersion", "value": "v2"},
    "another namespace": {"op": "replace", "path": "/metadata/namespace", "value": "kube-system"},
    "a list for all": {"op": "replace", "path": "", "value": []},
    "an unknown operation": {"op": "explode", "path": "/data"},
    "no such place": {"op": "remove", "path": "/nothing/there"},
    "no operation": 7,
}


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
@pytest.mark.parametrize("what", PATCHES)
def test_a_patch_that_breaks_the_object_is_refused(
    admitting: Admitting, stranger: Stranger, what: str, policy: str
) -> None:
    """Who answered meant it: such a write fails whatever the policy says, and nothing is kept."""
    stranger.reply = patching(PATCHES[what])
    stranger.stand_in(admitting, "mutating", failurePolicy=policy)

    code, reason, message = admitting.fail("POST", MAPS, BODY)
    assert (code, reason) == (500, "InternalError") and "its patch cannot be applied" in message
    assert admitting.ask("GET", f"{MAPS}/m").status == 404


def test_copies_of_copies_do_not_fill_the_memory(admitting: Admitting, stranger: Stranger) -> None:
    """A patch that doubles the object again and again is stopped."""
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/x{index}"} for index in range(40)]
    stranger.reply = patching(*doubling)
    stranger.stand_in(admitting, "mutating")
    assert admitting.fail("POST", MAPS, BODY)[0] == 500


def test_fields_that_there_are_not_are_dropped(admitting: Admitting, stranger: Stranger) -> None:
    """What a kind does not know is not stored, whoever wrote it."""
    stranger.reply = patching({"op": "add", "path": "/nonsense", "value": {"a": 1}})
    stranger.stand_in(admitting, "mutating")
    assert "nonsense" not in admitting.do("POST", MAPS, BODY)


def test_warnings_stay_in_their_header(admitting: Admitting, stranger: Stranger) -> None:
    """A line's end in a warning begins no header of its own."""
    stranger.reply = answering(allowed=True, warnings=["a\r\nX-Evil: 1\x00"])
    stranger.stand_in(admitting)
    warnings = admitting.ask("POST", MAPS, BODY).headers["Warning"]
    assert list(warnings) == ['299 - "a? X-Evil: 1?"']


@pytest.mark.parametrize(("code", "told"), [(403, 403), (200, 400), (99999, 400), (-1, 400), (None, 400)])
def test_a_refusal_has_a_code_of_errors(
    admitting: Admitting, stranger: Stranger, code: int | None, told: int
) -> None:
    """Whatever a webhook says, its no is no success and no line that HTTP does not have."""
    stranger.reply = answering(allowed=False, status={"code": code, "message": "no"})
    stranger.stand_in(admitting)
    assert admitting.fail("POST", MAPS, BODY)[0] == told
