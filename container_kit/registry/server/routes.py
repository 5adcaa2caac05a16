"""Which endpoint of the distribution API a path means; every name in it is checked here, once.

Pure.  A path is decoded once and matched as a whole: whatever is not exactly a name, a tag or a digest
(``..``, empty parts, encoded slashes, capitals, control characters) goes no further.

Source: OCI distribution-spec 1.1, "Endpoints", "Pulling manifests".
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import unquote

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci import Digest, Reference
from container_kit.registry.server.errors import Refusal

__all__ = ["Endpoint", "Route", "parse_digest", "parse_repository", "parse_route"]

Endpoint = Literal["base", "catalog", "tags", "manifest", "blob", "uploads", "upload", "referrers"]

_MAX_PATH: Final = 1024
_PATTERNS: Final[tuple[tuple[Endpoint, re.Pattern[str]], ...]] = (
    ("base", re.compile(r"/v2/?")),
    ("catalog", re.compile(r"/v2/_catalog")),
    ("uploads", re.compile(r"/v2/(.+)/blobs/uploads/?")),
    ("upload", re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-f]{32})")),
    ("tags", re.compile(r"/v2/(.+)/tags/list")),
    ("manifest", re.compile(r"/v2/(.+)/manifests/([^/]+)")),
    ("blob", re.compile(r"/v2/(.+)/blobs/([^/]+)")),
    ("referrers", re.compile(r"/v2/(.+)/referrers/([^/]+)")),
)


@attrs.frozen
class Route:
    """One endpoint, with the names that stand in its path.

    Args:
        repository: Empty where the endpoint has none.
        tag, digest: What a manifest, blob or referrers endpoint names.
        upload_id: Of an upload.
    """

    endpoint: Endpoint
    repository: str = ""
    tag: str | None = None
    digest: Digest | None = None
    upload_id: str = ""


def parse_route(raw_path: str) -> Route:
    """The route of a path as it stands in the request line, without the query.

    Raises:
        Refusal: 404 for a path that is no endpoint, 400 for a name that cannot be one.
    """
    if len(raw_path) > _MAX_PATH:
        raise Refusal("NAME_INVALID", "the path is longer than any name can make it", status=414)
    path = unquote(raw_path, errors="strict") if "%" in raw_path and _is_utf8(raw_path) else raw_path
    for endpoint, pattern in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None:
            return _route(endpoint, *match.groups())
    raise Refusal("UNSUPPORTED", "there is no such endpoint in the distribution API", status=404)


def parse_repository(text: str) -> str:
    """*text*, if it can be the name of a repository."""
    try:
        return Reference("localhost", text).path
    except InvalidInput as error:
        raise Refusal("NAME_INVALID", str(error)) from None


def parse_digest(text: str) -> Digest:
    """The digest written as *text*."""
    try:
        return Digest.parse(text)
    except InvalidInput as error:
        raise Refusal("DIGEST_INVALID", str(error)) from None


def _is_utf8(raw_path: str) -> bool:
    try:
        unquote(raw_path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _route(endpoint: Endpoint, repository: str = "", reference: str = "") -> Route:
    if endpoint in ("base", "catalog"):
        return Route(endpoint)
    repository = parse_repository(repository)
    if endpoint == "upload":
        return Route(endpoint, repository, upload_id=reference)
    if endpoint in ("uploads", "tags"):
        return Route(endpoint, repository)
    if endpoint == "manifest" and ":" not in reference:
        return Route(endpoint, repository, tag=_tag(reference))
    return Route(endpoint, repository, digest=parse_digest(reference))


def _tag(text: str) -> str:
    try:
        Reference("localhost", "any", text)
    except InvalidInput as error:
        raise Refusal("MANIFEST_INVALID", str(error)) from None
    return text
