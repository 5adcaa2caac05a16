"""Blobs: downloads, whole or in part, and removal.

Source: OCI distribution-spec 1.1, "Pulling blobs", "Deleting Blobs".
"""

from __future__ import annotations

from aiohttp import web

from container_kit.oci import Digest
from container_kit.registry.server.exchange import Exchange, answer, in_thread
from container_kit.registry.server.ranges import ByteRange, parse_range
from container_kit.registry.server.sending import send_file

__all__ = ["delete_blob", "get_blob", "head_blob", "is_unchanged"]


def _headers(digest: Digest) -> dict[str, str]:
    return {
        "Docker-Content-Digest": str(digest),
        "Content-Type": "application/octet-stream",
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        # What a digest names never changes; who may see it does.
        "Cache-Control": "private, max-age=31536000, immutable",
    }


def is_unchanged(exchange: Exchange, digest: Digest) -> bool:
    """Whether the client says that it has this content already."""
    tags = exchange.request.headers.getall("If-None-Match", [])
    known = {tag.strip().removeprefix("W/") for line in tags for tag in line.split(",")}
    return f'"{digest}"' in known or "*" in known


async def get_blob(exchange: Exchange) -> web.StreamResponse:
    digest = _digest(exchange)
    size = await exchange.blob_size(digest)
    if is_unchanged(exchange, digest):
        return answer(304, headers=_headers(digest))
    part = None
    if exchange.request.headers.get("If-Range", f'"{digest}"') == f'"{digest}"':
        part = parse_range(exchange.request.headers.get("Range"), size)
    storage = exchange.repositories.storage
    fd = storage.open(digest) if storage.opens_at_once(digest) else await in_thread(storage.open, digest)
    headers = _headers(digest)
    if part is not None:
        headers["Content-Range"] = part.content_range(size)
    return await send_file(exchange, fd, part or ByteRange(0, size), 206 if part else 200, headers)


async def head_blob(exchange: Exchange) -> web.StreamResponse:
    """Who looks is often about to push a manifest that names the blob: it is in flight from now on."""
    digest = _digest(exchange)
    size = await exchange.blob_size(digest)  # before it is kept, or anyone could fill the list of what is
    if not exchange.options.read_only:
        await in_thread(exchange.repositories.storage.keep, digest)
        size = await exchange.blob_size(digest)  # again: it may have been collected until then
    if is_unchanged(exchange, digest):
        return answer(304, headers=_headers(digest))
    return answer(200, headers={**_headers(digest), "Content-Length": str(size)})


async def delete_blob(exchange: Exchange) -> web.StreamResponse:
    await in_thread(exchange.repositories.delete_blob, exchange.route.repository, _digest(exchange))
    return answer(202)


def _digest(exchange: Exchange) -> Digest:
    digest = exchange.route.digest
    assert digest is not None
    return digest
