"""Manifests: reading, pushing, removing, and who refers to them.

Source: OCI distribution-spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting Manifests", "Listing
Referrers".
"""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from container_kit.errors import ContainerKitError, LimitExceeded
from container_kit.oci import Digest
from container_kit.oci.media_types import OCI_INDEX
from container_kit.registry.server.documents import Document, read_document
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.exchange import Exchange, answer, in_thread
from container_kit.registry.server.handle_blobs import is_unchanged

__all__ = ["accepts", "delete_manifest", "get_manifest", "list_referrers", "put_manifest"]


def accepts(headers: list[str], media_type: str) -> bool:
    """Whether a client with these ``Accept`` headers takes *media_type*; one without takes anything."""
    ranges = [one.partition(";") for line in headers for one in line.split(",") if one.strip()]
    wanted = {name.strip().lower() for name, _, parameters in ranges if parameters.strip() != "q=0"}
    return not ranges or bool(wanted & {media_type, "*/*", "application/*"})


async def get_manifest(exchange: Exchange) -> web.StreamResponse:
    """GET and HEAD."""
    document, warning = await _find(exchange)
    headers = {
        **warning,
        "Docker-Content-Digest": str(document.digest),
        "ETag": f'"{document.digest}"',
        "Vary": "Accept",
        "Content-Type": document.media_type,
        "Cache-Control": "private, max-age=31536000, immutable" if exchange.route.digest else "no-cache",
    }
    if not accepts(exchange.request.headers.getall("Accept", []), document.media_type):
        raise Refusal(
            "MANIFEST_UNKNOWN", f"the manifest is of type {document.media_type}, which Accept leaves out"
        )
    if is_unchanged(exchange, document.digest):
        return answer(304, headers=headers)
    if exchange.request.method == "HEAD":
        return answer(200, headers={**headers, "Content-Length": str(len(document.raw))})
    return answer(200, document.raw, headers)


async def put_manifest(exchange: Exchange) -> web.StreamResponse:
    raw = await exchange.body(exchange.options.limits.manifest_bytes)
    route = exchange.route
    if route.digest is not None and not route.digest.matches(raw):
        found = Digest.of(raw, route.digest.algorithm)
        raise Refusal("DIGEST_INVALID", f"the manifest has the digest {found}, not {route.digest}")
    document = await in_thread(_checked, raw, exchange.request.headers.get("Content-Type"), route.digest)
    await in_thread(exchange.repositories.push_manifest, route.repository, document, route.tag)
    headers = {
        "Location": f"/v2/{route.repository}/manifests/{document.digest}",
        "Docker-Content-Digest": str(document.digest),
    }
    if document.subject is not None:
        headers["OCI-Subject"] = str(document.subject)
    return answer(201, headers=headers)


async def delete_manifest(exchange: Exchange) -> web.StreamResponse:
    """DELETE of a tag forgets the tag; of a digest, the manifest and its tags."""
    route = exchange.route
    if route.tag is not None:
        await in_thread(exchange.repositories.delete_tag, route.repository, route.tag)
    else:
        await in_thread(exchange.repositories.delete_manifest, route.repository, route.digest)
    return answer(202)


async def list_referrers(exchange: Exchange) -> web.StreamResponse:
    subject = exchange.route.digest
    assert subject is not None
    repository = exchange.route.repository
    artifact_type, last = exchange.parameter("artifactType") or "", exchange.parameter("last") or ""
    index, end = await in_thread(exchange.repositories.referrers, repository, subject, artifact_type, last)
    headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
    if end:
        query = urlencode({"last": end} | ({"artifactType": artifact_type} if artifact_type else {}))
        headers["Link"] = f'</v2/{repository}/referrers/{subject}?{query}>; rel="next"'
    return answer(200, index, headers, OCI_INDEX)


async def _find(exchange: Exchange) -> tuple[Document, dict[str, str]]:
    """The manifest asked for, and a warning if it may be out of date."""
    route, repositories = exchange.route, exchange.repositories
    reference = route.digest or route.tag
    assert reference is not None
    warning = {}
    if exchange.mirror is not None and await exchange.mirror.have_manifest(route.repository, reference):
        warning["Warning"] = '299 - "the registry behind this one did not answer: this may be out of date"'
    digest = repositories.resolve(route.repository, reference)
    if repositories.remembers(digest):
        return repositories.document(digest), warning
    return await in_thread(repositories.document, digest), warning


def _checked(raw: bytes, content_type: str | None, digest: Digest | None) -> Document:
    try:
        return read_document(raw, content_type, digest)
    except LimitExceeded as error:
        raise Refusal("MANIFEST_INVALID", str(error), status=413) from None
    except ContainerKitError as error:
        raise Refusal("MANIFEST_INVALID", str(error)) from None
