"""The version check, and lists of tags and repositories in pages.

Source: OCI distribution-spec 1.1, "Listing Tags"; distribution, "Listing Repositories".
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from aiohttp import web

from container_kit.oci.json_document import encode
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.exchange import Exchange, answer, in_thread

__all__ = ["check_version", "list_repositories", "list_tags", "page_of"]

_JSON: Final = "application/json"
_MAX_CATALOG: Final = 1000
_MAX_DIGITS: Final = 9


def page_of(names: list[str], count: int | None, last: str) -> tuple[list[str], bool]:
    """The sorted *names* behind *last*, at most *count* of them; whether there are more."""
    rest = [name for name in names if name > last] if last else names
    if count is None or len(rest) <= count:
        return rest, False
    return rest[:count], count > 0


async def check_version(exchange: Exchange) -> web.StreamResponse:
    return answer(200, b"{}", type=_JSON)


async def list_tags(exchange: Exchange) -> web.StreamResponse:
    repository = exchange.route.repository
    tags = await in_thread(exchange.repositories.tags, repository)
    count, last = _wish(exchange)
    page, more = page_of(tags, count, last)
    headers = _next(f"/v2/{repository}/tags/list", count, page) if more else {}
    return answer(200, encode({"name": repository, "tags": page}), headers, _JSON)


async def list_repositories(exchange: Exchange) -> web.StreamResponse:
    names = await in_thread(exchange.repositories.storage.repositories)
    count, last = _wish(exchange)
    count = _MAX_CATALOG if count is None else min(count, _MAX_CATALOG)
    page, more = page_of([name for name in names if exchange.caller.may_see(name)], count, last)
    headers = _next("/v2/_catalog", count, page) if more else {}
    return answer(200, encode({"repositories": page}), headers, _JSON)


def _wish(exchange: Exchange) -> tuple[int | None, str]:
    text, last = exchange.parameter("n"), exchange.parameter("last") or ""
    if text is None:
        return None, last
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        raise Refusal("PAGINATION_NUMBER_INVALID", f"n={text[:40]!r} is not a number of entries")
    return int(text), last


def _next(path: str, count: int | None, page: list[str]) -> dict[str, str]:
    return {"Link": f'<{path}?n={count}&last={quote(page[-1], safe="")}>; rel="next"'}
