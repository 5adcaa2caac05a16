"""What a collection may remove from a registry.  Pure: decides from a snapshot.

A link to a blob is garbage when no manifest of its repository needs it and nobody is about to push one
that does.  A manifest is garbage, if the caller says so, when no tag leads to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from container_kit.oci import Digest
from container_kit.registry.server.documents import Document
from container_kit.registry.server.storage import Link, Snapshot

__all__ = ["doomed_links"]


def doomed_links(snapshot: Snapshot, read: Callable[[Digest], Document], untagged: bool) -> Iterator[Link]:
    """The links that nothing needs.

    Args:
        read: Gives a manifest by its digest.
        untagged: Whether a manifest without a tag may go; one that a kept index names, or that refers to
            a kept manifest, stays.
    """
    by_repository: dict[str, list[Link]] = defaultdict(list)
    for link in snapshot.links:
        by_repository[link.repository].append(link)
    for links in by_repository.values():
        yield from _doomed_in_one(links, snapshot.in_flight, read, untagged)


def _doomed_in_one(
    links: list[Link], in_flight: frozenset[Digest], read: Callable[[Digest], Document], untagged: bool
) -> Iterator[Link]:
    manifests = {link.digest for link in links if link.kind == "manifest"}
    kept = _tagged(links, manifests, in_flight, read) if untagged else manifests
    needed = {one.digest for digest in kept for one in read(digest).blobs}
    for link in links:
        if link.kind == "blob":
            if link.digest not in needed and link.digest not in in_flight:
                yield link
        elif link.digest not in kept:
            yield link


def _tagged(
    links: list[Link],
    manifests: set[Digest],
    in_flight: Iterable[Digest],
    read: Callable[[Digest], Document],
) -> set[Digest]:
    """The manifests that a tag leads to: directly, through an index, or as a referrer of one."""
    referrers: dict[str, list[Digest]] = defaultdict(list)
    for link in links:
        if link.kind == "referrer":
            referrers[link.name.partition("@")[0]].append(link.digest)
    queue = [link.digest for link in links if link.kind == "tag"]
    queue += [digest for digest in in_flight if digest in manifests]
    kept: set[Digest] = set()
    while queue:
        digest = queue.pop()
        if digest in manifests and digest not in kept:
            kept.add(digest)
            queue += [one.digest for one in read(digest).manifests]
            queue += referrers[str(digest)]
    return kept
