"""A server that is reached over HTTP: any Kubernetes, or a cluster in another process."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from urllib.parse import urlencode

import msgspec
import urllib3

from container_kit.cluster.client.credentials import Credentials, Proof
from container_kit.cluster.client.errors import ApiError, api_error
from container_kit.cluster.client.kubeconfig import Access
from container_kit.cluster.client.transport import Body, Query, Reply, Stream
from container_kit.cluster.client.watch import Lines, WatchEvent
from container_kit.errors import Unreachable, Untrusted

__all__ = ["Http"]

_CONNECTIONS = 16
_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_LARGEST_REFUSAL = 1 << 20


class Http:
    """A pool of connections to one server."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._credentials = Credentials(access)

    def call(
        self,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> Reply:
        answer = self._send(method, path, query, body, headers, timeout_s or _TIMEOUT_S, preload=True)
        return Reply(
            answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.data
        )

    def lines(self, path: str, query: Query, headers: Mapping[str, str]) -> Lines:
        answer = self._send("GET", path, query, None, headers, None, preload=False)
        if answer.status >= 400:
            raise self._refusal(answer)
        return _HttpLines(answer)

    def subscribe(
        self, path: str, query: Query, sink: Callable[[WatchEvent | None], None]
    ) -> Callable[[], None]:
        lines = self.lines(path, query, {})

        def read() -> None:
            with contextlib.suppress(ApiError, Unreachable):
                for line in lines:
                    sink(WatchEvent.parse(line))
            sink(None)

        thread = threading.Thread(target=read, name=f"watch {path}", daemon=True)
        thread.start()

        def end() -> None:
            lines.close()
            if thread is not threading.current_thread():
                thread.join()

        return end

    def stream(self, path: str, query: Query, protocols: tuple[str, ...]) -> Stream:
        from container_kit.cluster.client.websocket import connect

        proof = self._credentials.proof()
        target = f"{self.access.server}{path}?{urlencode(query, doseq=True)}"
        context = self._context(proof) if target.startswith("https:") else None
        return connect(target, context, self.access.server_name, proof.headers, protocols)

    def close(self) -> None:
        if "_pool" in self.__dict__:
            self._pool.clear()

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            maxsize=_CONNECTIONS,
            block=False,
            retries=False,
            ssl_context=self._context(self._credentials.proof()),
            assert_hostname=None if self.access.is_verified else False,
            server_hostname=self.access.server_name or None,
        )

    def _context(self, proof: Proof) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.access.ca.decode() or None)
        if not self.access.is_verified:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if proof.certificate:
            with _memory_file(proof.certificate + b"\n" + proof.key) as path:
                context.load_cert_chain(path)
        return context

    def _send(
        self,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: Mapping[str, str],
        timeout_s: float | None,
        *,
        preload: bool,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.access.server}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        every = {"user-agent": "container-kit", "accept": "application/json", **headers}
        try:
            return self._pool.request(
                method,
                url,
                body=data,
                headers={**every, **self._credentials.proof().headers},
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=timeout_s),
                preload_content=preload,
                redirect=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise Untrusted(f"{self.access.server} is not trusted: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"{self.access.server} did not answer: {error}; is the cluster running?",
                self.access.server,
                1,
            ) from error

    def _refusal(self, answer: urllib3.BaseHTTPResponse) -> ApiError:
        data = answer.read(_LARGEST_REFUSAL)
        answer.release_conn()
        try:
            return api_error(msgspec.json.decode(data, type=dict), answer.status)
        except msgspec.DecodeError:
            return api_error({"message": data[:300].decode(errors="replace")}, answer.status)


class _HttpLines:
    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            for piece in self._answer.stream(1 << 16):
                *whole, rest = (rest + piece).split(b"\n")
                yield from filter(None, whole)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            if not self._is_closed:  # otherwise it is what `close` makes of a read that waits
                raise Unreachable(f"the connection broke while it was read: {error}") from error
        if rest:
            yield rest

    def close(self) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._answer.shutdown()
        self._answer.close()


@contextlib.contextmanager
def _memory_file(data: bytes) -> Iterator[str]:
    """A path for functions that read a secret from files only: it never touches a disk."""
    with open(os.memfd_create("container-kit", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(data)
        yield f"/proc/self/fd/{file.fileno()}"
