"""What a server is and has: api-resources, version, top, events, and kubectl's configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from container_kit._version import __version__
from container_kit.cli.kubectl.access import pass_cluster, say
from container_kit.cli.kubectl.naming import named
from container_kit.cli.kubectl.printing import aligned, as_yaml
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.cluster import Cluster

__all__ = ["api_resources", "config", "events", "top", "version"]

Object = dict[str, Any]
_SECRETS = {"client-certificate-data", "client-key-data", "certificate-authority-data"}


@click.command("api-resources")
@click.option("--no-headers", is_flag=True)
@click.option("--api-group", default=None, help="Only of this group.")
@pass_cluster
def api_resources(cluster: Cluster, no_headers: bool, api_group: str | None) -> None:
    """List the kinds that the server has."""
    known = cluster.client.resources()
    shown = [info for info in known.all if info.verbs and known.of_word(info.full_name) == info]
    rows = [
        [info.plural, ",".join(info.short_names), info.api_version, str(info.namespaced).lower(), info.kind]
        for info in sorted(shown, key=lambda info: (info.group, info.plural))
        if api_group is None or info.group == api_group
    ]
    head = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    say("\n".join(aligned(rows if no_headers else [head, *rows])))


@click.command()
@pass_cluster
def version(cluster: Cluster) -> None:
    """Show the versions of this program and of the server."""
    found = msgspec.json.decode(cluster.client.request("GET", "/version").body)
    say(f"Client Version: container-kit {__version__}\nServer Version: {found['gitVersion']}")


@click.command()
@click.option("--for", "about", default="", metavar="KIND/NAME", help="Only about this object.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--no-headers", is_flag=True)
@pass_cluster
def events(cluster: Cluster, about: str, all_namespaces: bool, no_headers: bool) -> None:
    """List what happened, the latest last."""
    from container_kit.cluster.verbs.describing import event_time

    fields = ""
    if about:
        (one,) = named(cluster.client, [about])
        fields = f"involvedObject.kind={one.info.kind},involvedObject.name={one.name}"
    found = cluster.client.list("events", None if all_namespaces else "", fields=fields).items
    if not found:
        where = "" if all_namespaces else f" in {cluster.client.namespace} namespace."
        say(f"No events found{where}", err=True)
        return
    head = ["NAMESPACE"] * all_namespaces + ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    rows = [_event_row(one, all_namespaces) for one in sorted(found, key=event_time)]
    say("\n".join(aligned(rows if no_headers else [head, *rows])))


def _event_row(event: Object, with_namespace: bool) -> list[str]:
    about = event["involvedObject"]
    seen = _age(event.get("lastTimestamp") or event.get("eventTime"))
    if event.get("count", 1) > 1:
        seen = f"{seen} (x{event['count']} over {_age(event.get('firstTimestamp'))})"
    place = [event["metadata"]["namespace"]] * with_namespace
    name = f"{about['kind']}/{about['name']}"
    return [
        *place,
        seen,
        event.get("type", ""),
        event.get("reason", ""),
        name,
        event.get("message", "").strip(),
    ]


def _age(moment: str | None) -> str:
    from container_kit.cluster.meta.times import parse_time, short_age

    if not moment:
        return "<unknown>"
    return short_age((datetime.now(UTC) - parse_time(moment)).total_seconds())


@click.command()
@click.argument("kind", type=click.Choice(["pod", "pods", "po", "node", "nodes", "no"]))
@click.argument("name", default="")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--containers", is_flag=True, help="Each container on its own.")
@click.option("--no-headers", is_flag=True)
@pass_cluster
def top(
    cluster: Cluster, kind: str, name: str, all_namespaces: bool, containers: bool, no_headers: bool
) -> None:
    """Show what pods or nodes use at the moment."""
    if kind.startswith("no"):
        head, rows = _nodes_top(cluster)
    else:
        head, rows = _pods_top(cluster, all_namespaces, containers)
    column = 1 if all_namespaces and not kind.startswith("no") else 0
    chosen = [row for row in rows if not name or row[column] == name]
    if not chosen:
        raise InvalidInput(f"there are no figures of {name or kind} yet")
    # kubectl ends each line with a gap as wide as its last column
    lines = aligned([[*row, ""] for row in (chosen if no_headers else [head, *chosen])])
    say("\n".join(lines))


def _pods_top(cluster: Cluster, everywhere: bool, containers: bool) -> tuple[list[str], list[list[str]]]:
    head = ["NAMESPACE"] * everywhere + (["POD", "NAME"] if containers else ["NAME"])
    rows = []
    for pod in sorted(cluster.top("pods", None if everywhere else ""), key=_place):
        place = [pod["metadata"]["namespace"]] * everywhere + [pod["metadata"]["name"]]
        usages = [(one["name"], one["usage"]) for one in pod["containers"]]
        if containers:
            rows += [[*place, name, *_figures([usage])] for name, usage in usages]
        else:
            rows.append([*place, *_figures([usage for _, usage in usages])])
    return [*head, "CPU(cores)", "MEMORY(bytes)"], rows


def _nodes_top(cluster: Cluster) -> tuple[list[str], list[list[str]]]:
    from container_kit.cluster.meta.quantities import millis, whole

    room = {one["metadata"]["name"]: one["status"]["allocatable"] for one in cluster.list("nodes")}
    rows = []
    for one in sorted(cluster.top("nodes"), key=_place):
        name, usage = one["metadata"]["name"], one["usage"]
        cpu, memory = _figures([usage])
        share = millis(usage["cpu"]) * 100 // millis(room[name]["cpu"])
        part = whole(usage["memory"]) * 100 // whole(room[name]["memory"])
        rows.append([name, cpu, f"{share}%", memory, f"{part}%"])
    return ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"], rows


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _figures(usages: Sequence[Object]) -> list[str]:
    from container_kit.cluster.meta.quantities import millis, whole

    cpu = sum(millis(usage["cpu"]) for usage in usages)
    memory = sum(whole(usage["memory"]) for usage in usages)
    return [f"{cpu}m", f"{memory >> 20}Mi"]


@click.group()
def config() -> None:
    """Show the kubeconfig that is in force."""


@config.command()
@click.option("--kubeconfig", metavar="FILE", help="Another than KUBECONFIG or ~/.kube/config.")
@click.option("--raw", is_flag=True, help="With keys and certificates.")
def view(kubeconfig: str | None, raw: bool) -> None:
    """Print it; keys and certificates are left out."""
    import yaml

    path = (
        kubeconfig or os.environ.get("KUBECONFIG", "").split(":")[0] or os.path.expanduser("~/.kube/config")
    )
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except FileNotFoundError:
        document = {
            "apiVersion": "v1",
            "clusters": None,
            "contexts": None,
            "current-context": "",
            "kind": "Config",
        }
    click.echo(as_yaml(document if raw else _redacted(document)), nl=False)


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _veiled(key) or _redacted(item) for key, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list) else value


def _veiled(key: str) -> str:
    if key in ("token", "password"):
        return "REDACTED"
    return "DATA+OMITTED" if key in _SECRETS else ""
