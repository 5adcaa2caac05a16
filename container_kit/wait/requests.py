"""Waiting for a right answer over HTTP.

A request is made as soon as somebody listens, to the address on which they do, by a socket of the container's
own network namespace: so it needs neither a published port nor a network, and meets no firewall.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.strategy import Interest, Pace, Probe, Strategy
from container_kit.errors import InvalidInput
from container_kit.native.sockets import socket_in
from container_kit.wait.exchange import Answer, Exchange
from container_kit.wait.lines import as_pattern
from container_kit.wait.listeners import Listener, is_own_network
from container_kit.wait.ports import FIRST_S, LONGEST_S, Door, Listening

if TYPE_CHECKING:
    import ssl

    from container_kit.containers.subject import Subject

__all__ = ["Answers"]

_FIRST_AGAIN_S, _LONGEST_AGAIN_S = 0.01, 0.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
Body = re.Pattern[str] | Callable[[bytes], bool] | None


def _body(value: str | Body) -> Body:
    return as_pattern(value) if isinstance(value, str) else value


def _headers(value: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((value or {}).items())


def _no_line_breaks(_: object, attribute: attrs.Attribute[Any], value: tuple[tuple[str, str], ...]) -> None:
    for name, text in value:
        if not _TOKEN.match(name) or any(letter in text for letter in "\r\n\0"):
            raise InvalidInput(f"header {name!r}: {text!r} cannot be sent: a name, and one line of text")


def _is_path(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value.startswith("/") or any(letter <= " " for letter in value) or not value.isascii():
        raise InvalidInput(
            f"path {value!r} cannot be asked for: it begins with '/', and is quoted as in a URL"
        )


def _is_method(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _TOKEN.match(value):
        raise InvalidInput(f"method {value!r} is none of HTTP's: use such as GET or HEAD")


@attrs.frozen
class Answers(Strategy):
    """An answer with a right status and body; see :func:`container_kit.wait.http`."""

    path: str = attrs.field(default="/", validator=_is_path)
    port: int = attrs.field(kw_only=True)
    status: int | Collection[int] | Callable[[int], bool] | None = attrs.field(default=None, kw_only=True)
    body: Body = attrs.field(default=None, converter=_body, kw_only=True)
    tls: bool | str | ssl.SSLContext = attrs.field(default=False, kw_only=True)
    method: str = attrs.field(default="GET", validator=_is_method, kw_only=True)
    headers: tuple[tuple[str, str], ...] = attrs.field(
        default=(), converter=_headers, validator=_no_line_breaks, kw_only=True
    )
    request_timeout_s: float = attrs.field(default=5.0, kw_only=True)
    _listening: Listening = attrs.field(init=False)

    @_listening.default
    def _port_to_listen_on(self) -> Listening:
        return Listening(self.port)

    def begin(self, subject: Subject) -> Probe:
        return _Asking(self, subject)

    def door(self, subject: Subject) -> Door:
        """The port that is asked at."""
        return Door(self._listening, subject)

    def request(self) -> bytes:
        """What is sent."""
        names = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [] if "host" in names else ["Host: localhost"]
        lines += [] if "user-agent" in names else ["User-Agent: container-kit"]
        lines += [f"{name}: {text}" for name, text in self.headers]
        return "\r\n".join((*lines, "Accept: */*", "Connection: close", "", "")).encode("latin-1", "replace")

    def context(self) -> ssl.SSLContext | None:
        """What to speak TLS by."""
        if self.tls is False:
            return None
        import ssl

        if isinstance(self.tls, ssl.SSLContext):
            return self.tls
        if isinstance(self.tls, str):
            return ssl.create_default_context(cafile=self.tls)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def wrong(self, answer: Answer) -> str:
        """What is wrong with an answer; empty when it is right."""
        if not self._is_right_status(answer.status):
            return f"answered {answer.status}"
        if isinstance(self.body, re.Pattern):
            if self.body.search(answer.body.decode("utf-8", "replace")):
                return ""
            return f"answered {answer.status} with nothing that matches {self.body.pattern!r}"
        if self.body is not None and not self.body(answer.body):
            return f"answered {answer.status} with another body"
        return ""

    def _is_right_status(self, status: int) -> bool:
        if self.status is None:
            return 200 <= status < 400
        if isinstance(self.status, int):
            return status == self.status
        return self.status(status) if callable(self.status) else status in self.status


class _Asking(Probe):
    def __init__(self, wish: Answers, subject: Subject) -> None:
        self._wish, self._subject = wish, subject
        self._door, self._tls = wish.door(subject), wish.context()
        self._looks = Pace(FIRST_S, LONGEST_S)
        self._tries = Pace(_FIRST_AGAIN_S, _LONGEST_AGAIN_S)
        self._exchange: Exchange | None = None
        self._next_at = 0.0  # when the next request may be made, or the one on its way is given up; 0 for now
        self._seen = ""

    def look(self) -> bool:
        if self._exchange is None:
            if time.monotonic() < self._next_at:
                return False
            self._next_at = 0.0
            listener = self._door.find()
            if listener is None:
                self._seen = ""
                return False
            if not self._begin(listener):
                return False
        assert self._exchange is not None
        return self._is_answered(self._exchange)

    def _begin(self, listener: Listener) -> bool:
        family = socket.AF_INET6 if ":" in listener.target[0] else socket.AF_INET
        pid = self._subject.runs_as()
        try:
            if pid and is_own_network(pid):
                connection = socket_in(pid, family, socket.SOCK_STREAM)
            else:
                connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # its process has just ended
            self._again(f"could not be reached: {error}")
            return False
        connection.setblocking(False)
        self._exchange = Exchange(connection, listener.target, self._wish.request(), self._tls)
        self._next_at = time.monotonic() + self._wish.request_timeout_s
        return True

    def _is_answered(self, exchange: Exchange) -> bool:
        try:
            answer = exchange.step()
        except (OSError, ValueError) as error:
            self._again(f"did not answer: {error}")
            return False
        if answer is None:
            if time.monotonic() >= self._next_at:
                self._again(f"did not answer within {self._wish.request_timeout_s:g} s")
            return False
        if wrong := self._wish.wrong(answer):
            self._again(wrong)
            return False
        return True

    def _again(self, seen: str) -> None:
        self._seen = seen
        self.close()
        self._next_at = time.monotonic() + self._tries.pause_s()

    def interests(self) -> Iterable[Interest]:
        return () if self._exchange is None else [self._exchange.interest()]

    def patience_s(self) -> float | None:
        if self._next_at:
            return max(0.0, self._next_at - time.monotonic())
        return self._looks.pause_s()  # nobody listens

    def missing(self) -> str:
        if not self._seen:
            return self._door.missing() if self._exchange is None else f"{self._url} has not answered yet"
        return f"{self._url} {self._seen}"

    @property
    def _url(self) -> str:
        return f"{self._wish.method} {self._wish.path} at port {self._wish.port}"

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
