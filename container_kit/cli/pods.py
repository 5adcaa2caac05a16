"""``pod``: pods that nobody supervises but their monitors, in podman's words."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import ago, decimal_size
from container_kit.cli.inspecting import inspect_each
from container_kit.cli.session import Session, each, fail, pass_engine
from container_kit.cli.tables import Listing, print_rows, safe_for, write_line
from container_kit.errors import NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.pods import Pod

__all__ = [
    "create",
    "inspect",
    "kill",
    "logs",
    "ls",
    "prune",
    "ps",
    "restart",
    "rm",
    "start",
    "stats",
    "stop",
]

_LISTING = Listing(
    headers={
        "ID": "POD ID",
        "Name": "NAME",
        "Status": "STATUS",
        "Created": "CREATED",
        "Containers": "# OF CONTAINERS",
        "IP": "IP",
        "Labels": "LABELS",
    },
    default="{{.ID}}\t{{.Name}}\t{{.Status}}\t{{.Created}}\t{{.Containers}}\t{{.IP}}",
)
_CONTAINERS = Listing(
    headers={"ID": "CONTAINER ID", "Pod": "POD", "Name": "NAME", "Image": "IMAGE", "Status": "STATUS"},
    default="{{.ID}}\t{{.Pod}}\t{{.Name}}\t{{.Image}}\t{{.Status}}",
)
_STATS = Listing(
    headers={"Pod": "POD", "Name": "NAME", "MemUsage": "MEM USAGE", "CPU": "CPU SECONDS", "PIDs": "PIDS"},
    default="{{.Pod}}\t{{.Name}}\t{{.MemUsage}}\t{{.CPU}}\t{{.PIDs}}",
    quiet="Name",
)
_TESTS = {
    "name": lambda row, value: value in row["Name"],
    "id": lambda row, value: row["ID"].startswith(value),
    "status": lambda row, value: row["Status"].lower() == value.lower(),
    "label": lambda row, value: has_label(row["_labels"], value),
}


def _pod_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    session = ctx.find_object(Session) or Session()
    with contextlib.suppress(Exception):
        names = [pod.name for pod in _pods(session.engine())]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return []


_names = click.argument("names", nargs=-1, required=True, shell_complete=_pod_names)


def _pods(engine: Engine) -> list[Pod]:
    from container_kit.pods import Pod

    return Pod.list(engine=engine)


def _pod(engine: Engine, name: str) -> Pod:
    from container_kit.pods import Pod

    return Pod.get(name, engine=engine)


@click.command()
@click.argument("file")
@click.option("--network", default="", metavar="NAME", help="Network to be on (bridge).")
@pass_engine
def create(engine: Engine, file: str, network: str) -> None:
    """Create the pods in FILE, a Kubernetes file, without starting them; - is standard input."""
    from container_kit.cli.kube import read_plan
    from container_kit.pods.kube import play

    for pod in play(engine, read_plan(file), network=network, start=False):
        click.echo(pod.id)


@click.command()
@_names
@pass_engine
def start(engine: Engine, names: tuple[str, ...]) -> None:
    """Start pods: their init containers to the end, then the others."""
    each(names, lambda name: _pod(engine, name).run().id)


@click.command()
@_names
@click.option("-t", "--time", "grace_s", type=float, help="Seconds before SIGKILL.")
@pass_engine
def stop(engine: Engine, names: tuple[str, ...], grace_s: float | None) -> None:
    """Stop pods: all containers, sidecars last."""
    each(names, lambda name: _stopped(_pod(engine, name), grace_s))


def _stopped(pod: Pod, grace_s: float | None) -> str:
    pod.stop(grace_s)
    return pod.id


@click.command()
@_names
@pass_engine
def restart(engine: Engine, names: tuple[str, ...]) -> None:
    """Stop pods and start them again."""

    def again(name: str) -> str:
        pod = _pod(engine, name)
        pod.stop()
        return pod.run().id

    each(names, again)


@click.command()
@_names
@click.option("-s", "--signal", default="KILL", metavar="SIGNAL", help="SIGKILL.")
@pass_engine
def kill(engine: Engine, names: tuple[str, ...], signal: str) -> None:
    """Send a signal to all containers of pods."""

    def send(name: str) -> str:
        pod = _pod(engine, name)
        for container in pod.containers():
            if container.status == "running":
                container.kill(signal)
        return pod.id

    each(names, send)


@click.command()
@_names
@click.option("-f", "--force", is_flag=True, help="Also those that run; a missing one is no error.")
@pass_engine
def rm(engine: Engine, names: tuple[str, ...], force: bool) -> None:
    """Remove pods with their containers."""

    def remove(name: str) -> str:
        try:
            pod = _pod(engine, name)
        except NotFound:
            if not force:
                raise
            return name
        pod.remove(force=force)
        return pod.id

    each(names, remove)


@click.command()
@pass_engine
def prune(engine: Engine) -> None:
    """Remove the pods of which nothing runs."""
    for pod in _pods(engine):
        if pod.status()["phase"] != "Running":
            pod.remove()
            click.echo(pod.id)


@click.command()
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_engine
def ls(engine: Engine, filters: tuple[str, ...], format: str | None, no_trunc: bool, quiet: bool) -> None:
    """List pods."""
    chosen: Filters[dict[str, Any]] = Filters.parse(filters, _TESTS)
    rows = [row for pod in _pods(engine) if chosen.accepts(row := _row(pod, no_trunc))]
    shown = [{key: value for key, value in row.items() if key != "_labels"} for row in rows]
    print_rows(_LISTING, shown, format=format, quiet=quiet)


def _row(pod: Pod, full: bool) -> dict[str, Any]:
    labels = (pod.manifest["metadata"].get("labels") or {}) if pod.manifest else {}
    return {
        "ID": pod.id if full else pod.id[:12],
        "Name": pod.name,
        "Status": pod.phase,
        "Created": ago(pod.created_ns / 1e9),
        "Containers": str(len(pod.containers())),
        "IP": ",".join(pod.ips),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "_labels": labels,
    }


@click.command()
@click.argument("names", nargs=-1, shell_complete=_pod_names)
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_engine
def ps(engine: Engine, names: tuple[str, ...], format: str | None, quiet: bool) -> None:
    """List the containers of pods; of all of them when none is named."""
    pods = [_pod(engine, name) for name in names] or _pods(engine)
    rows = [_container_row(pod, name, info) for pod in pods for name, info in _infos(pod)]
    print_rows(_CONTAINERS, rows, format=format, quiet=quiet)


def _infos(pod: Pod) -> list[tuple[str, Any]]:
    found = []
    for container in pod.containers():
        with contextlib.suppress(NotFound):
            info = container.info()
            found.append((info.labels.get("io.kubernetes.container.name", info.name), info))
    return found


def _container_row(pod: Pod, name: str, info: Any) -> dict[str, Any]:
    return {"ID": info.id[:12], "Pod": pod.name, "Name": name, "Image": info.image, "Status": info.status}


@click.command()
@_names
@click.option("-f", "--format", metavar="TEMPLATE", help="A template such as {{.name}}.")
@pass_engine
def inspect(engine: Engine, names: tuple[str, ...], format: str | None) -> None:
    """Show all about pods, as JSON: manifest, status, containers."""
    inspect_each(lambda name: _document(_pod(engine, name)), names, format)


def _document(pod: Pod) -> dict[str, Any]:
    return {
        "id": pod.id,
        "name": pod.name,
        "manifest": dict(pod.manifest),
        "phase": pod.phase,
        "ips": list(pod.ips),
        "containers": [{"name": name, "id": info.id, "status": info.status} for name, info in _infos(pod)],
    }


@click.command()
@click.argument("name", shell_complete=_pod_names)
@click.option("-c", "--container", default="", metavar="NAME", help="Of this container alone.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--tail", type=int, metavar="LINES", help="Only the last lines.")
@pass_engine
def logs(engine: Engine, name: str, container: str, follow: bool, tail: int | None) -> None:
    """Show what the containers of a pod wrote; several come one after the other, with their names."""
    pod = _pod(engine, name)
    names = [container] if container else [word for word, _ in _infos(pod)]
    if follow and len(names) > 1:
        raise fail(f"several containers cannot be followed: name one of {', '.join(names)} with -c")
    with contextlib.suppress(KeyboardInterrupt):
        for one in names:
            for line in pod.logs(one, follow=follow, tail=tail):
                words = safe_for(sys.stdout.isatty(), line.text)
                write_line(words if len(names) == 1 else f"{one} {words}")


@click.command()
@click.argument("names", nargs=-1, shell_complete=_pod_names)
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@pass_engine
def stats(engine: Engine, names: tuple[str, ...], format: str | None) -> None:
    """Show what the containers of pods use now."""
    pods = [_pod(engine, name) for name in names] or _pods(engine)
    rows = [
        {
            "Pod": pod.name,
            "Name": name,
            "MemUsage": decimal_size(one.memory.usage) if one.memory else "--",
            "CPU": f"{one.cpu.usage_ns / 1e9:.2f}" if one.cpu else "--",
            "PIDs": str(one.pids.current) if one.pids else "--",
        }
        for pod in pods
        for name, one in pod.stats().items()
    ]
    print_rows(_STATS, rows, format=format)
