"""``cluster``: start, stop, list and remove clusters that outlive the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.session import Session, each
from container_kit.cli.tables import Listing, print_rows

if TYPE_CHECKING:
    from container_kit.cluster.named import ClusterInfo, NamedClusters

__all__ = ["kubeconfig", "ls", "rm", "start", "status", "stop"]

_LISTING = Listing(
    headers={
        "Name": "NAME",
        "Status": "STATUS",
        "Nodes": "NODES",
        "Address": "ADDRESS",
        "Pid": "PID",
        "Kubeconfig": "KUBECONFIG",
    },
    default="{{.Name}}\t{{.Status}}\t{{.Nodes}}\t{{.Address}}",
    quiet="Name",
)
_DEFAULT_NAME = "default"


def _pass_clusters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the named clusters of the chosen root as its first argument."""

    @click.pass_obj
    def with_clusters(session: Session, *args: Any, **kwargs: Any) -> Any:
        from container_kit.cluster.named import NamedClusters

        return function(NamedClusters(session.root), *args, **kwargs)

    with_clusters.__name__, with_clusters.__doc__ = function.__name__, function.__doc__
    if hasattr(function, "__click_params__"):
        with_clusters.__click_params__ = function.__click_params__  # type: ignore[attr-defined]
    return with_clusters


@click.command()
@click.argument("name", default=_DEFAULT_NAME)
@click.option("--nodes", type=int, help="Nodes that run pods on this machine (1, or as the last time).")
@click.option("--simulated-nodes", type=int, help="Nodes that only play their pods.")
@click.option("--listen", metavar="HOST:PORT", help="Where the API server listens (any port of 127.0.0.1).")
@click.option("--timeout", default=60.0, help="Seconds to wait until it can be used.")
@_pass_clusters
def start(
    clusters: NamedClusters,
    name: str,
    nodes: int | None,
    simulated_nodes: int | None,
    listen: str | None,
    timeout: float,
) -> None:
    """Start a cluster, or one that was stopped; prints how kubectl finds it."""
    info = clusters.start(
        name, nodes=nodes, simulated_nodes=simulated_nodes, listen=listen, timeout_s=timeout
    )
    click.echo(f"export KUBECONFIG={info.kubeconfig}")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--timeout", default=60.0, help="Seconds to wait until it has ended.")
@_pass_clusters
def stop(clusters: NamedClusters, names: tuple[str, ...], timeout: float) -> None:
    """End the pods and the process of clusters; their objects stay."""
    each(names or (_DEFAULT_NAME,), lambda name: clusters.stop(name, timeout))


@click.command()
@click.argument("name", default=_DEFAULT_NAME)
@_pass_clusters
def status(clusters: NamedClusters, name: str) -> None:
    """Show one cluster; the exit code is 0 when it runs and 3 when it does not."""
    info = clusters.get(name)
    for title, value in _row(info).items():
        click.echo(f"{title + ':':<12}{value}")
    if not info.pid:
        raise SystemExit(3)


@click.command()
@click.argument("name", default=_DEFAULT_NAME)
@click.option("--path", is_flag=True, help="Print where the file is instead of what it says.")
@click.option("--into", metavar="FILE", help="Add it to this kubeconfig, whose other contexts stay.")
@_pass_clusters
def kubeconfig(clusters: NamedClusters, name: str, path: bool, into: str | None) -> None:
    """Print the kubeconfig of a cluster, or add it to another one."""
    info = clusters.get(name)
    with open(info.kubeconfig) as file:
        text = file.read()
    if into is not None:
        from container_kit.cluster.server.kubeconfig import write_kubeconfig

        write_kubeconfig(into, text)
    else:
        click.echo(info.kubeconfig if path else text, nl=path)


@click.command()
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@_pass_clusters
def ls(clusters: NamedClusters, format: str | None, quiet: bool) -> None:
    """List clusters."""
    print_rows(_LISTING, map(_row, clusters.list()), format=format, quiet=quiet)


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Stop those that run.")
@_pass_clusters
def rm(clusters: NamedClusters, names: tuple[str, ...], force: bool) -> None:
    """Remove clusters with all that they hold."""

    def remove(name: str) -> None:
        if force:
            clusters.stop(name)
        clusters.remove(name)

    each(names, remove)


def _row(info: ClusterInfo) -> dict[str, Any]:
    return {
        "Name": info.name,
        "Status": "running" if info.pid else "stopped",
        "Nodes": f"{info.nodes}+{info.simulated_nodes}" if info.simulated_nodes else str(info.nodes),
        "Address": info.address,
        "Pid": info.pid or "",
        "Kubeconfig": info.kubeconfig,
    }
