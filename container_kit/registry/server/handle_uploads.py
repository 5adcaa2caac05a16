"""Pushing blobs: in one request, in two, in chunks, or not at all because another repository has them.

Source: OCI distribution-spec 1.1, "Pushing blobs", "Mounting a blob from another repository".
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from container_kit.errors import ContainerKitError, StoreFull
from container_kit.registry.server.errors import Refusal, refusal_of
from container_kit.registry.server.exchange import Exchange, answer, in_thread
from container_kit.registry.server.ranges import parse_chunk, received
from container_kit.registry.server.routes import parse_digest, parse_repository
from container_kit.registry.server.uploads import Upload
from container_kit.store import files

__all__ = ["append_chunk", "cancel_upload", "finish_upload", "start_upload", "upload_status"]


async def start_upload(exchange: Exchange) -> web.StreamResponse:
    """POST: start an upload, or take the whole blob, or mount it."""
    mount, digest = exchange.parameter("mount"), exchange.parameter("digest")
    if mount is not None:
        mounted = await _mount(exchange, mount)
        if mounted is not None:
            return mounted
    _refuse_too_much(exchange, 0)
    with await in_thread(exchange.repositories.uploads.start, exchange.route.repository) as upload:
        if digest is None or mount is not None:
            return answer(202, headers=_progress(exchange, upload))
        try:
            return await _finish(exchange, upload, digest)
        except BaseException:
            upload.remove()  # nobody was told its name
            raise


async def append_chunk(exchange: Exchange) -> web.StreamResponse:
    """PATCH: append a chunk, or the whole body of a stream."""
    with await in_thread(
        exchange.repositories.uploads.resume, exchange.route.repository, exchange.route.upload_id
    ) as upload:
        await _receive(exchange, upload)
        return answer(202, headers=_progress(exchange, upload))


async def finish_upload(exchange: Exchange) -> web.StreamResponse:
    """PUT: append what is left, then make the upload a blob."""
    digest = exchange.parameter("digest")
    if digest is None:
        raise Refusal("DIGEST_INVALID", "the parameter 'digest' is missing: an upload ends with it")
    with await in_thread(
        exchange.repositories.uploads.resume, exchange.route.repository, exchange.route.upload_id
    ) as upload:
        return await _finish(exchange, upload, digest)


async def upload_status(exchange: Exchange) -> web.StreamResponse:
    """GET: how much has come."""
    with await in_thread(
        exchange.repositories.uploads.resume, exchange.route.repository, exchange.route.upload_id
    ) as upload:
        return answer(204, headers=_progress(exchange, upload))


async def cancel_upload(exchange: Exchange) -> web.StreamResponse:
    """DELETE: give an upload up."""
    with await in_thread(
        exchange.repositories.uploads.resume, exchange.route.repository, exchange.route.upload_id
    ) as upload:
        upload.remove()
        return answer(204)


async def _mount(exchange: Exchange, mount: str) -> web.StreamResponse | None:
    """Make a blob of another repository one of this, if the caller may read it there."""
    source = exchange.parameter("from")
    digest = parse_digest(mount)
    if source is None or not exchange.caller.may("pull", parse_repository(source)):
        return None  # as if it were not there: whether it is, is not for everyone to know
    repository = exchange.route.repository
    if not await in_thread(exchange.repositories.mount, repository, source, digest):
        return None
    return _created(exchange, str(digest))


async def _finish(exchange: Exchange, upload: Upload, digest_text: str) -> web.StreamResponse:
    digest = parse_digest(digest_text)
    await _receive(exchange, upload)
    try:
        await in_thread(exchange.repositories.finish, exchange.route.repository, upload, digest)
    except StoreFull:
        upload.remove()
        raise
    return _created(exchange, str(digest))


async def _receive(exchange: Exchange, upload: Upload) -> None:
    """Append the body to *upload*.

    What came before a connection broke stays: the client asks how much it was, and goes on there.  What
    can never become a blob goes.
    """
    _check_chunk(exchange, upload)
    try:
        _refuse_too_much(exchange, upload.size)
        await _write_body(exchange, upload)
    except ContainerKitError as error:
        if refusal_of(error).status in (413, 507):
            upload.remove()
        raise


async def _write_body(exchange: Exchange, upload: Upload) -> None:
    """Hashing and writing go on, in another thread, while more comes."""
    loop, coming = asyncio.get_running_loop(), upload.size
    writing: asyncio.Future[None] | None = None
    try:
        async for pieces in exchange.batches():
            coming += sum(map(len, pieces))
            _refuse_too_large(exchange, coming)
            if writing is not None:
                await writing
            writing = loop.run_in_executor(None, upload.write, pieces)
    finally:
        if writing is not None:
            await writing


def _check_chunk(exchange: Exchange, upload: Upload) -> None:
    """A chunk that says where it belongs has to begin where the last one ended."""
    header = exchange.request.headers.get("Content-Range")
    if header is None:
        return
    try:
        chunk = parse_chunk(header)
        if chunk.start != upload.size:
            raise Refusal("RANGE_INVALID", f"the next chunk begins at {upload.size}, not {chunk.start}")
    except Refusal as error:
        error.headers.update(_progress(exchange, upload))
        raise
    if exchange.declared_length is not None and exchange.declared_length != chunk.length:
        raise Refusal("SIZE_INVALID", f"the chunk has {exchange.declared_length} bytes, not {chunk.length}")


def _refuse_too_much(exchange: Exchange, before: int) -> None:
    """Refuse what cannot fit before a byte of it comes."""
    length = exchange.declared_length or 0
    _refuse_too_large(exchange, before + length)
    directory = exchange.repositories.uploads.directory
    if length and length > files.free_bytes(directory):
        raise Refusal("STORAGE_FULL", f"the registry's disk has no space for {length} bytes")


def _refuse_too_large(exchange: Exchange, size: int) -> None:
    limit = exchange.options.limits.blob_bytes
    if limit is not None and size > limit:
        raise Refusal("SIZE_INVALID", f"the blob is larger than {limit} bytes", status=413)


def _progress(exchange: Exchange, upload: Upload) -> dict[str, str]:
    return {
        "Location": f"/v2/{exchange.route.repository}/blobs/uploads/{upload.id}",
        "Range": received(upload.size),
        "Docker-Upload-UUID": upload.id,
        "OCI-Chunk-Min-Length": "0",
    }


def _created(exchange: Exchange, digest: str) -> web.Response:
    location = f"/v2/{exchange.route.repository}/blobs/{digest}"
    return answer(201, headers={"Location": location, "Docker-Content-Digest": digest})
