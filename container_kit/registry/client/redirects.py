"""Where an answer may send a request.  Decisions only.

A credential never follows a redirect to another origin; TLS is never given up; uploads stay with the
registry that they began at.
"""

from __future__ import annotations

from typing import Final

from container_kit.errors import InvalidInput, Untrusted
from container_kit.registry.client.endpoint import Url
from container_kit.registry.client.location import Location

__all__ = ["MOST_REDIRECTS", "is_redirect", "keeps_credential", "redirected", "upload_location"]

MOST_REDIRECTS: Final = 5


def is_redirect(status: int) -> bool:
    return status in (301, 302, 303, 307, 308)


def redirected(url: Url, location: str | None, count: int) -> Url:
    """Where the answer to *url* sends us, after *count* redirects before it.

    Raises:
        Untrusted: It may not send us there, or it does so without end.
    """
    if count >= MOST_REDIRECTS:
        raise Untrusted(f"{url.origin} redirects more than {MOST_REDIRECTS} times: given up")
    if not location:
        raise Untrusted(f"{url.origin} redirects without saying where to")
    try:
        target = url.join(location)
    except InvalidInput as error:
        raise Untrusted(f"{url.origin} redirects to what is no address: {error}") from None
    if url.origin.scheme == "https" and target.origin.scheme != "https":
        raise Untrusted(f"{url.origin} redirects to {target.origin}, which is not protected by TLS")
    return target


def keeps_credential(location: Location, target: Url) -> bool:
    """Whether a redirect stays within the repository that the credential is bound to."""
    return target.origin == location.origin and target.path.startswith(f"/v2/{location.path}/")


def upload_location(sent_from: Url, location: str | None) -> Url:
    """Where an upload goes on: always at the origin where it began.

    A registry behind a proxy may not know its own scheme and port, so only the host has to agree.

    Raises:
        Untrusted: It names another host, or nothing at all.
    """
    if not location:
        raise Untrusted(f"{sent_from.origin} accepted an upload without saying where it goes on")
    try:
        target = sent_from.join(location)
    except InvalidInput as error:
        raise Untrusted(f"{sent_from.origin} wants the upload at what is no address: {error}") from None
    if target.origin.host != sent_from.origin.host:
        raise Untrusted(
            f"{sent_from.origin} wants the upload sent to another host, {target.origin.authority}: refused"
        )
    return sent_from.origin.url(target.target)
