"""``get`` and ``describe``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from container_kit.cli.kubectl.access import pass_cluster, say, tell_refusal
from container_kit.cli.kubectl.naming import Named, manifest_of, named, objects_named
from container_kit.cli.kubectl.printing import aligned, printed
from container_kit.cli.kubectl.tables import Look, Table, fetch_table, rows_of, watch_rows

if TYPE_CHECKING:
    from container_kit.cluster import Cluster

__all__ = ["describe", "get"]

Object = dict[str, Any]


@click.command()
@click.argument("words", nargs=-1, metavar="KIND [NAME...] | KIND/NAME...")
@click.option("-o", "--output", default="", help="wide, yaml, json, name, jsonpath=…, custom-columns=…, …")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", help="Only those with these labels: a=b,c!=d.")
@click.option("--field-selector", default="", help="Only those with these fields: metadata.name=a.")
@click.option("-f", "--filename", multiple=True, metavar="FILE", help="The objects that a file names.")
@click.option("-w", "--watch", is_flag=True, help="Go on and show what changes.")
@click.option("-L", "--label-columns", multiple=True, help="Labels that get a column each.")
@click.option("--show-labels", is_flag=True, help="All labels in the last column.")
@click.option("--show-kind", is_flag=True, help="Begin names with the kind.")
@click.option("--no-headers", is_flag=True, help="Without the first line.")
@click.option("--sort-by", default="", metavar="PATH", help="In the order of a field, as .metadata.name.")
@click.option("--ignore-not-found", is_flag=True, help="Nothing is no error.")
@click.option("--raw", default="", metavar="PATH", help="What the server answers at a path.")
@pass_cluster
def get(
    cluster: Cluster,
    words: tuple[str, ...],
    output: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    filename: tuple[str, ...],
    watch: bool,
    label_columns: tuple[str, ...],
    show_labels: bool,
    show_kind: bool,
    no_headers: bool,
    sort_by: str,
    ignore_not_found: bool,
    raw: str,
) -> None:
    """Show objects: a table for each kind, or as -o says."""
    client = cluster.client
    if raw:
        say(client.request("GET", raw).body.decode(errors="replace"), end="")
        return
    wanted = _from_files(cluster, filename) if filename else named(client, words)
    look = Look(
        namespace=None if all_namespaces else "",
        labels=selector,
        fields=field_selector,
        is_wide=output == "wide",
        with_kind=show_kind or len({one.info for one in wanted}) > 1,
        with_labels=show_labels,
        label_columns=tuple(word for one in label_columns for word in one.split(",")),
        sort_by=sort_by.strip("{}"),
    )
    if output in ("", "wide"):
        missing = _show_tables(cluster, wanted, look, no_headers, watch, ignore_not_found)
    else:
        missing = _show_objects(cluster, wanted, look, output, ignore_not_found)
    if missing:
        raise SystemExit(1)


def _from_files(cluster: Cluster, files: Sequence[str]) -> list[Named]:
    resources = cluster.client.resources()
    objects = manifest_of(files)
    return [
        Named(resources.of_object(obj["apiVersion"], obj["kind"]), obj["metadata"]["name"]) for obj in objects
    ]


def _show_tables(
    cluster: Cluster, wanted: Sequence[Named], look: Look, no_headers: bool, watch: bool, ignore: bool
) -> bool:
    """One after the other, those of one kind in one, then what was missing; whether anything was."""
    from container_kit.cluster.client.errors import ApiNotFound

    tables: dict[str, Table] = {}
    missing = []
    for one in wanted:
        try:
            table = fetch_table(cluster.client, one, look)
        except ApiNotFound as error:
            missing += [] if ignore else [error]
            continue
        before = tables.get(one.info.full_name)
        rows = [*before.rows, *table.rows] if before else table.rows
        tables[one.info.full_name] = attrs.evolve(table, rows=rows)
    filled = [table for table in tables.values() if table.rows]
    for number, table in enumerate(filled):
        if number:
            say("")
        say("\n".join(aligned(rows_of(table, look, with_head=not no_headers))))
    for refusal in missing:
        tell_refusal(refusal)
    if watch:
        _follow(cluster, wanted[0], look, tables)
    elif not filled and not missing and not ignore:
        say(_nothing(cluster, wanted, look), err=True)
    return bool(missing)


def _nothing(cluster: Cluster, wanted: Sequence[Named], look: Look) -> str:
    if look.namespace is None or not any(one.info.namespaced for one in wanted):
        return "No resources found"
    return f"No resources found in {cluster.client.namespace} namespace."


def _follow(cluster: Cluster, one: Named, look: Look, tables: dict[str, Table]) -> None:
    table = tables.get(one.info.full_name)
    since = table.resource_version if table else ""
    for rows in watch_rows(cluster.client, one, look, since):
        for line in aligned(rows):
            say(line)


def _show_objects(cluster: Cluster, wanted: Sequence[Named], look: Look, output: str, ignore: bool) -> bool:
    from container_kit.cluster.client.errors import ApiNotFound

    objects, missing = [], False
    for one in wanted:
        try:
            objects += _objects(cluster, one, look)
        except ApiNotFound as error:
            if not ignore:
                tell_refusal(error)
                missing = True
    if objects or not all(one.name for one in wanted):
        is_list = len(wanted) != 1 or not wanted[0].name
        text = printed(cluster.client, objects, output, is_list=is_list)
        ends_line = text and not output.startswith(("jsonpath", "go-template"))
        say(text, end="\n" if ends_line else "")
    return missing


def _objects(cluster: Cluster, one: Named, look: Look) -> list[Object]:
    if one.name:
        return [cluster.client.get(one.info.full_name, one.name)]
    listed = cluster.list(one.info.full_name, look.namespace, labels=look.labels, fields=look.fields)
    if not look.sort_by:
        return listed
    from container_kit.cluster.kinds.custom.json_path import first

    return sorted(listed, key=lambda obj: str(first(obj, look.sort_by)))


@click.command()
@click.argument("words", nargs=-1, metavar="KIND [NAME...] | KIND/NAME...")
@click.option("-l", "--selector", default="", help="Only those with these labels.")
@pass_cluster
def describe(cluster: Cluster, words: tuple[str, ...], selector: str) -> None:
    """Show objects with what happened to them."""
    texts = list(_described(cluster, words, selector))
    if texts:
        say("\n\n".join(texts).removesuffix("\n"))
    else:
        say(_nothing(cluster, named(cluster.client, words), Look(namespace="")), err=True)


def _described(cluster: Cluster, words: Sequence[str], selector: str) -> Iterator[str]:
    for one in objects_named(cluster, words, selector):
        yield cluster.describe(one.path)
