"""Lists as the server would have them printed: it sends the cells, by the kind's own columns.

Source: Kubernetes API Concepts, "Receiving resources as Tables".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from container_kit.cli.kubectl.naming import Named, shown_name

if TYPE_CHECKING:
    from container_kit.cluster.client.client import Client
    from container_kit.cluster.client.resources import ResourceInfo

__all__ = ["Look", "Table", "fetch_table", "rows_of", "watch_rows"]

Object = dict[str, Any]
_ACCEPT = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@attrs.frozen(kw_only=True)
class Look:
    """Which columns, and of which objects.

    Attributes:
        namespace: Whose; None means all.
        with_kind: Whether names begin with the kind.
        label_columns: Labels that have a column.
        sort_by: A path, such as ``.metadata.name``; the server's order if empty.
    """

    namespace: str | None
    labels: str = ""
    fields: str = ""
    is_wide: bool = False
    with_kind: bool = False
    with_labels: bool = False
    label_columns: tuple[str, ...] = ()
    sort_by: str = ""

    def query(self) -> dict[str, str]:
        """As the server reads it."""
        words = {
            "labelSelector": self.labels,
            "fieldSelector": self.fields,
            "includeObject": "Object" if self.sort_by else "",
        }
        return {key: value for key, value in words.items() if value}


@attrs.frozen
class Table:
    """What one call gave.

    Attributes:
        columns: Definitions, as the server sent them.
        rows: Each with ``cells`` and ``object``.
    """

    info: ResourceInfo
    columns: Sequence[Object]
    rows: Sequence[Object]
    resource_version: str = ""


def fetch_table(client: Client, one: Named, look: Look) -> Table:
    """The table of a kind, or of one object.

    Raises:
        ApiError: The server refused.
    """
    place = _place(client, one, look)
    query = look.query()
    if one.name:
        query = {key: value for key, value in query.items() if key == "includeObject"}
    reply = client.request("GET", one.info.path(place, one.name), query, headers=_ACCEPT)
    document = msgspec.json.decode(reply.body)
    version = document.get("metadata", {}).get("resourceVersion", "")
    return Table(one.info, document["columnDefinitions"], document.get("rows") or (), version)


def rows_of(table: Table, look: Look, *, with_head: bool = True) -> list[list[str]]:
    """Its cells as text, the head first."""
    chosen = [at for at, column in enumerate(table.columns) if look.is_wide or not column.get("priority", 0)]
    has_namespace = look.namespace is None and table.info.namespaced
    rows = []
    if with_head:
        head = [table.columns[at]["name"].upper() for at in chosen]
        more = [word.rpartition("/")[2].upper() for word in look.label_columns]
        rows.append(["NAMESPACE"] * has_namespace + head + more + ["LABELS"] * look.with_labels)
    for row in _sorted(table.rows, look.sort_by):
        meta = row["object"]["metadata"]
        cells = [_cell(row["cells"][at]) for at in chosen]
        if look.with_kind and cells:
            cells[0] = shown_name(table.info, cells[0])
        labels: Mapping[str, str] = meta.get("labels") or {}
        more = [labels.get(word, "") for word in look.label_columns]
        shown = ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>"
        rows.append([meta.get("namespace", "")] * has_namespace + cells + more + [shown] * look.with_labels)
    return rows


def watch_rows(client: Client, one: Named, look: Look, since: str) -> Iterator[list[list[str]]]:
    """Rows as they change, from the version *since* on."""
    query = look.query() | {"watch": "true", "resourceVersion": since}
    if one.name:
        query["fieldSelector"] = f"metadata.name={one.name}"
    columns: Sequence[Object] = ()
    lines = client.transport.lines(one.info.path(_place(client, one, look)), query, _ACCEPT)
    try:
        for line in lines:
            table = msgspec.json.decode(line)["object"]
            columns = table.get("columnDefinitions") or columns  # they come with the first event only
            yield rows_of(Table(one.info, columns, table.get("rows") or ()), look, with_head=False)
    finally:
        lines.close()


def _place(client: Client, one: Named, look: Look) -> str:
    return "" if look.namespace is None else look.namespace or client.namespace


def _sorted(rows: Sequence[Object], path: str) -> Sequence[Object]:
    if not path:
        return rows
    from container_kit.cluster.kinds.custom.json_path import first

    def key(row: Object) -> tuple[bool, bool, Any]:
        value = first(row["object"], path)
        is_number = isinstance(value, int | float)
        return value is not None, not is_number, value if is_number else str(value)

    return sorted(rows, key=key)


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if "\n" not in text else text.partition("\n")[0] + "..."
