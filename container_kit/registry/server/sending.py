"""Blobs on their way out: by sendfile, so that their bytes never come to Python; small ones in one write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from container_kit.registry.server.exchange import Exchange, answer, in_thread
from container_kit.registry.server.ranges import ByteRange

__all__ = ["send_file"]

_SMALL: Final = 64 * 1024  # cheaper to copy once than to send in two steps
_PIECE: Final = 1 << 20


async def send_file(
    exchange: Exchange, fd: int, part: ByteRange, status: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with *part* of the file *fd*, which this closes."""
    try:
        if part.length <= _SMALL:
            return answer(status, os.pread(fd, part.length, part.start), headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = part.length
        await response.prepare(exchange.request)
        limits = exchange.options.limits
        async with asyncio.timeout(limits.stall_timeout_s + part.length / limits.least_rate):
            await _transfer(exchange.request, response, fd, part)
        await response.write_eof()
        return response
    finally:
        os.close(fd)


async def _transfer(request: web.BaseRequest, response: web.StreamResponse, fd: int, part: ByteRange) -> None:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    if transport.get_extra_info("sslcontext") is None:
        with open(fd, "rb", buffering=0, closefd=False) as file:
            await asyncio.get_running_loop().sendfile(transport, file, part.start, part.length)
        return
    # What is encrypted has to pass through this process anyway.
    offset, end = part.start, part.start + part.length
    while offset < end:
        data = await in_thread(os.pread, fd, min(_PIECE, end - offset), offset)
        await response.write(data)
        offset += len(data)
