"""Where a registry is: origins (scheme, host, port), and how URLs that registries send are read."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urljoin, urlsplit

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci.reference import DEFAULT_DOMAIN

__all__ = ["Origin", "Url", "is_loopback_name"]

_PORTS: Final = {"https": 443, "http": 80}
_HUB: Final = "registry-1.docker.io"
_MAX_URL: Final = 16 * 1024
_is_host: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?|[0-9a-f:.]{2,45}", re.ASCII).fullmatch


@attrs.frozen
class Origin:
    """What a credential is bound to, together with a repository: scheme, host and port.

    Args:
        host: Lower case; an IPv6 address without brackets.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of_domain(cls, domain: str, scheme: str = "https") -> Origin:
        """The registry behind the *domain* of a reference: ``docker.io`` is served by another host."""
        if domain == DEFAULT_DOMAIN:
            domain = _HUB
        return Url.parse(f"{scheme}://{domain}/").origin

    @property
    def authority(self) -> str:
        """``host[:port]``, as in a URL: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    def with_scheme(self, scheme: str) -> Origin:
        """The same host with another scheme; a port that was the scheme's own changes with it."""
        port = _PORTS[scheme] if self.port == _PORTS[self.scheme] else self.port
        return Origin(scheme, self.host, port)

    def url(self, target: str) -> Url:
        """The URL of *target* (path and query) here."""
        return Url(self, target)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@attrs.frozen
class Url:
    """An absolute http(s) URL without user and fragment; *target* is its path and query."""

    origin: Origin
    target: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """The URL written as *text*.

        Raises:
            InvalidInput: It is no http(s) URL, has a user or password, or characters that no URL has.
        """
        shown = text[:100]
        if len(text) > _MAX_URL or any(not 0x21 <= ord(letter) <= 0x7E for letter in text) or "\\" in text:
            raise InvalidInput(f"{shown!r} is no URL: it is too long or has characters that no URL has")
        try:
            parts = urlsplit(text)
            port, host = parts.port, (parts.hostname or "").lower()
        except ValueError as error:
            raise InvalidInput(f"{shown!r} is no URL: {error}") from None
        if parts.scheme not in _PORTS or not _is_host(host):
            raise InvalidInput(f"{shown!r} is no http or https URL")
        if "@" in parts.netloc:
            raise InvalidInput("a URL with a user name or password in it is not followed")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)

    def join(self, location: str) -> Url:
        """What *location*, relative or absolute, means when it was sent from here; errors as in `parse`."""
        if len(location) > _MAX_URL:
            raise InvalidInput(f"the URL {location[:100]!r}... is too long")
        try:
            joined = urljoin(str(self), location)
        except ValueError as error:
            raise InvalidInput(f"{location[:100]!r} is no URL: {error}") from None
        return Url.parse(joined)

    def with_query(self, query: str) -> Url:
        """With *query* added to what is there."""
        return Url(self.origin, f"{self.target}{'&' if '?' in self.target else '?'}{query}")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def without_query(self) -> str:
        """For people and logs: a query may hold a signature that opens what it points at."""
        return f"{self.origin}{self.path}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def is_loopback_name(host: str) -> bool:
    """Whether *host* is this machine by its name alone: ``localhost``, ``127.0.0.0/8`` or ``::1``."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
