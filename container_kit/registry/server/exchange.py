"""One request and what its handler may use; how bodies come in and answers go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
from aiohttp import web

from container_kit.oci import Digest
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.options import ServerOptions
from container_kit.registry.server.routes import Route

if TYPE_CHECKING:
    from container_kit.registry.server.access import Caller
    from container_kit.registry.server.mirror import Mirror
    from container_kit.registry.server.repositories import Repositories

__all__ = ["Exchange", "answer", "in_thread"]

_BATCH: Final = 1 << 20  # bytes that are hashed and written in one go

_T = TypeVar("_T")


async def in_thread(work: Callable[..., _T], *arguments: Any) -> _T:
    """Do what waits for the disk, or hashes, outside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def answer(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, type: str = ""
) -> web.Response:
    """A whole answer."""
    response = web.Response(status=status, body=body or None, headers=headers)
    if type:
        response.content_type = type
    if not body:
        response.headers.setdefault("Content-Length", "0")  # a HEAD tells the length of what GET would give
    return response


@attrs.define
class Exchange:
    """One request, with all that its handler may use."""

    request: web.BaseRequest
    route: Route
    repositories: Repositories
    options: ServerOptions
    caller: Caller
    mirror: Mirror | None = None

    @property
    def declared_length(self) -> int | None:
        """The length that the request announces for its body."""
        return self.request.content_length

    def parameter(self, name: str) -> str | None:
        """A query parameter.

        Raises:
            Refusal: It is given twice: two readers could choose differently.
        """
        values = self.request.query.getall(name, [])
        if len(values) > 1:
            raise Refusal("UNSUPPORTED", f"the parameter {name!r} is given {len(values)} times", status=400)
        return values[0] if values else None

    async def blob_size(self, digest: Digest) -> int:
        """The size of a blob of the repository.

        Raises:
            Refusal: The repository has no such blob.
        """
        if self.mirror is not None:
            await self.mirror.have_blob(self.route.repository, digest)
        return self.repositories.blob_size(self.route.repository, digest)

    async def body(self, limit: int) -> bytes:
        """The whole body, of at most *limit* bytes."""
        if (self.declared_length or 0) > limit:
            raise Refusal("SIZE_INVALID", f"the body is larger than {limit} bytes", status=413)
        data = bytearray()
        async for pieces in self.batches():
            for piece in pieces:
                data += piece
            if len(data) > limit:
                raise Refusal("SIZE_INVALID", f"the body is larger than {limit} bytes", status=413)
        return bytes(data)

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """The body in lists of pieces, each list of about a megabyte; what came before a failure as well.

        Raises:
            Refusal: Nothing came for too long, or all of it too slowly.
            ConnectionError: The client has gone.
        """
        await self._invite()
        limits, loop = self.options.limits, asyncio.get_running_loop()
        started, total = loop.time(), 0
        pieces: list[bytes] = []
        size = 0
        content = self.request.content
        while True:
            now = loop.time()
            deadline = min(now, started + total / limits.least_rate) + limits.stall_timeout_s
            failure: Exception | None = None
            piece = b""
            try:
                async with asyncio.timeout_at(deadline):
                    piece, _ = await content.readchunk()
            except TimeoutError:
                failure = Refusal("BLOB_UPLOAD_INVALID", "the body came too slowly", status=408)
            except Exception as error:  # the connection broke, or the body is not written as HTTP asks
                failure = error
            if piece:
                pieces.append(piece)
                size += len(piece)
                total += len(piece)
            ended = failure is not None or (not piece and content.at_eof())
            if pieces and (size >= _BATCH or ended):
                yield pieces
                pieces, size = [], 0
            if failure is not None:
                raise failure
            if ended:
                return

    async def _invite(self) -> None:
        """Answer a client that waits for permission to send its body."""
        request = self.request
        if request.headers.get("Expect", "").lower() == "100-continue":
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
