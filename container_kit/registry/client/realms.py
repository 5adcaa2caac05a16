"""Which server may be asked for a token, and whether our credentials may go there.

The registry itself names the server (the *realm*).  Rule: a password goes to the registry's own origin, to
a relative of it over TLS, or to a host that the caller trusts; to no other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from container_kit.errors import AccessDenied, InvalidInput
from container_kit.registry.client.addresses import Reach, may_send, reach_of
from container_kit.registry.client.endpoint import Origin, Url, is_loopback_name

__all__ = ["check_realm", "may_have_credentials"]

_SHORTEST_PARENT = 2  # labels of a name that two relatives share


def check_realm(registry: Origin, realm: str, trusted: Collection[str], has_credentials: bool) -> Url:
    """The URL to ask for a token.

    Raises:
        AccessDenied: It may not be asked; says why, and what to do.
    """
    try:
        url = Url.parse(realm)
    except InvalidInput as error:
        raise AccessDenied(f"{registry} asks to authenticate at an address that is none: {error}") from None
    if url.origin == registry:
        return url
    if registry.scheme == "https" and url.origin.scheme != "https":
        raise AccessDenied(f"{registry} asks to authenticate at {url.origin}, which is not protected by TLS")
    if not _may_name(registry, url.origin):
        raise AccessDenied(f"{registry} asks to authenticate at {url.origin}, an address of this host's own")
    if has_credentials and not may_have_credentials(registry, url.origin, trusted):
        raise AccessDenied(
            f"{registry} asks to send its credentials to {url.origin.authority}, which is another party: "
            f"if that is right, give trusted_realms={url.origin.authority!r}"
        )
    return url


def may_have_credentials(registry: Origin, realm: Origin, trusted: Collection[str]) -> bool:
    """Whether credentials of *registry* may be sent to *realm*."""
    if realm == registry or realm.authority in trusted:
        return True
    if realm.scheme != "https" or registry.scheme != "https":
        return False
    return realm.host in trusted or realm.host == registry.host or _are_relatives(registry.host, realm.host)


def _may_name(registry: Origin, realm: Origin) -> bool:
    """By their names alone; the addresses behind names are looked at when they are dialled."""
    target = _reach_of_name(realm.host)
    return target is None or may_send(_reach_of_name(registry.host) or Reach.PUBLIC, target)


def _reach_of_name(host: str) -> Reach | None:
    if is_loopback_name(host):
        return Reach.LOOPBACK
    try:
        return reach_of(host)
    except ValueError:
        return None


def _are_relatives(one: str, other: str) -> bool:
    """Whether both names end in the same domain, such as ``docker.io``: not only in ``co.uk``."""
    if _is_address(one) or _is_address(other):
        return False
    shared = 0
    for left, right in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if left != right:
            break
        shared += 1
    ending = one.split(".")[-2:]
    # Under a country's domain, short second labels are mostly registries of names (co.uk, com.au).
    public = len(ending) == 2 and len(ending[1]) == 2 and len(ending[0]) <= 3
    return shared >= _SHORTEST_PARENT + int(public)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
