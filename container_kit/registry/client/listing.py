"""Lists that a registry gives in pages: tags, repositories, referrers.

Source: OCI distribution-spec 1.1, "Content Discovery"; distribution, "Catalog".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from container_kit.errors import InvalidInput, NotFound, Untrusted
from container_kit.oci import Descriptor, Digest, Index
from container_kit.oci.json_document import Fields, load_object
from container_kit.oci.media_types import OCI_INDEX
from container_kit.registry.client.endpoint import Origin, Url
from container_kit.registry.client.location import Location, Scope
from container_kit.registry.client.messages import Answer, Request
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.session import Session, refuse

__all__ = ["add_referrer", "catalogue", "fallback_tag", "referrers", "tags"]

_PAGE: Final = 1000
_MOST_PAGES: Final = 1000
_MAX_PAGE: Final = 4 << 20
_link: Final = re.compile(r'\s*<([^>]*)>\s*;[^,]*\brel="?next"?').match


def tags(repository: Repository) -> Iterator[str]:
    """All tags of a repository, in the registry's order.

    Raises:
        NotFound: There is no such repository.
    """
    url = repository.url(f"tags/list?n={_PAGE}")
    for answer in _pages(repository.session, repository.location, repository.scope, url):
        if answer.status != 200:
            refuse(answer, repository.location, repository.scope, "repository")
        yield from _names(answer, "tags")


def catalogue(session: Session, origin: Origin, domain: str) -> Iterator[str]:
    """The names of all repositories of a registry that gives a list of them.

    Raises:
        NotFound, UnsupportedFeature: It gives none.
    """
    location, scope = Location(origin, domain), Scope.of("", "*")
    for answer in _pages(session, location, scope, origin.url(f"/v2/_catalog?n={_PAGE}")):
        if answer.status != 200:
            refuse(answer, location, scope, "catalogue")
        yield from _names(answer, "repositories")


def referrers(repository: Repository, subject: Digest, artifact_type: str = "") -> list[Descriptor]:
    """Manifests that refer to *subject*: signatures, for one.  None is no error.

    A registry without the referrers API is asked for the tag that clients maintain instead.
    """
    query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
    url = repository.url(f"referrers/{subject}{query}")
    found: list[Descriptor] = []
    for answer in _pages(repository.session, repository.location, repository.scope, url):
        if answer.status == 404 or "json" not in answer.headers.get("content-type", ""):
            found = list(_fallback(repository, subject).manifests)
            break
        if answer.status != 200:
            refuse(answer, repository.location, repository.scope, "referrers", str(subject))
        found += Index.parse(answer.body, OCI_INDEX).manifests
    return [one for one in found if not artifact_type or one.artifact_type == artifact_type]


def fallback_tag(subject: Digest) -> str:
    """The tag under which clients list referrers where the registry does not."""
    return f"{subject.algorithm}-{subject.hex[:64]}"


def add_referrer(repository: Repository, subject: Digest, referrer: Descriptor) -> None:
    """List *referrer* under the fallback tag; it has been pushed to a registry without the referrers API.

    There is no way to do this in one step: of two clients that do it at once, one may be lost.
    """
    index = _fallback(repository, subject)
    if any(one.digest == referrer.digest for one in index.manifests):
        return
    longer = Index.build([*index.manifests, referrer], index.annotations)
    repository.put_manifest(fallback_tag(subject), longer.raw, longer.media_type)


def _fallback(repository: Repository, subject: Digest) -> Index:
    try:
        received = repository.manifest(fallback_tag(subject))
    except NotFound:
        return Index.build([])
    return Index.parse(received.raw, received.media_type)


def _pages(session: Session, location: Location, scope: Scope, url: Url) -> Iterator[Answer]:
    seen: set[str] = set()
    while str(url) not in seen and len(seen) < _MOST_PAGES:
        seen.add(str(url))
        answer = session.fetch(location, scope, Request(method="GET", url=url), _MAX_PAGE)
        yield answer
        match = _link(answer.headers.get("link", ""))
        if match is None:
            return
        url = _next(url, match.group(1))
    raise Untrusted(f"{location.domain} gives a list without end")


def _next(url: Url, link: str) -> Url:
    """The next page: of the same list at the same origin, whatever host the link names."""
    try:
        target = url.join(link)
    except InvalidInput as error:
        raise Untrusted(f"{url.origin} continues a list at what is no address: {error}") from None
    if target.origin.host != url.origin.host or target.path != url.path:
        raise Untrusted(f"{url.origin} continues a list elsewhere, at {target.without_query}: refused")
    return url.origin.url(target.target)


def _names(answer: Answer, member: str) -> tuple[str, ...]:
    fields = Fields(load_object(answer.body, "the list", _MAX_PAGE), "list", (member, "name"))
    return fields.items(member, _text, 1_000_000)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidInput(f"{where} is not a name")
    return value
