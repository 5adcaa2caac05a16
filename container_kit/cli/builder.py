"""`builder`: what the build cache keeps, and how it is pruned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.filters import Filters
from container_kit.cli.humanise import ago, decimal_size, parse_moment
from container_kit.cli.session import pass_engine
from container_kit.cli.tables import Listing, print_rows

if TYPE_CHECKING:
    from container_kit.build import CacheItem
    from container_kit.containers import Engine

__all__ = ["du", "prune"]

_DU = Listing(
    headers={
        "ID": "ID",
        "Type": "TYPE",
        "Size": "SIZE",
        "LastUsedSince": "LAST USED",
        "Description": "DESCRIPTION",
    },
    default="{{.ID}}\t{{.Type}}\t{{.Size}}\t{{.LastUsedSince}}\t{{.Description}}",
)
_SHORT = 12


@click.command()
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="type=…, until=….")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.ID}}.")
@click.option("--verbose", is_flag=True, help="Ids and descriptions in full.")
@pass_engine
def du(engine: Engine, filters: tuple[str, ...], format: str | None, verbose: bool) -> None:
    """Show what the build cache keeps, what was used last first."""
    from container_kit.build import cache_items

    chosen = _filters(filters)
    items = [item for item in cache_items(engine.store) if chosen.accepts(item)]
    print_rows(_DU, [_row(item, verbose) for item in items], format=format)
    if format is None:
        click.echo(f"Total: {decimal_size(sum(item.size_bytes for item in items))}")


def _row(item: CacheItem, verbose: bool) -> dict[str, Any]:
    name = item.name if verbose or len(item.name) <= 50 else item.name[:49] + "…"
    return {
        "ID": item.id if verbose else item.id[:_SHORT],
        "Type": item.type,
        "Size": decimal_size(item.size_bytes),
        "LastUsedSince": ago(item.used_s) if item.used_s else "never",
        "LastUsedAt": datetime.fromtimestamp(item.used_s, UTC).isoformat(),
        "Description": name,
    }


def _filters(texts: tuple[str, ...]) -> Filters[Any]:
    return Filters.parse(
        texts,
        {
            "type": lambda item, value: item.type == value,
            "until": lambda item, value: item.used_s < parse_moment(value),
            "id": lambda item, value: item.id.startswith(value),
        },
    )


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="No effect: all of the cache is meant.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help="type=…, until=24h.")
@click.option("--keep-storage", "--reserved-space", "keep", metavar="SIZE", default="0", help="Leave it.")
@pass_engine
def prune(engine: Engine, everything: bool, force: bool, filters: tuple[str, ...], keep: str) -> None:
    """Remove what the build cache keeps, what was not used for longest first."""
    from container_kit.build import prune_cache
    from container_kit.runtime.limits import parse_size

    keep_bytes = parse_size(keep, "--keep-storage")
    if not force:
        click.confirm("This will remove the build cache. Continue?", abort=True)
    pruned = prune_cache(engine.store, keep_bytes=keep_bytes, match=_filters(filters).accepts)
    for item in pruned.removed:
        click.echo(f"{item.id[:_SHORT]}\t{decimal_size(item.size_bytes)}\t{item.name}")
    click.echo(f"Total: {decimal_size(pruned.reclaimed_bytes)}")
