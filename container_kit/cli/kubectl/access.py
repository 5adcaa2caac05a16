"""Which cluster a command speaks to: the options that all of them have, and how refusals are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from container_kit.cli.session import Session
from container_kit.cli.terminal_safety import neutralise
from container_kit.errors import ContainerKitError, NotFound

if TYPE_CHECKING:
    from container_kit.cluster.client.errors import ApiError

__all__ = ["pass_cluster", "say", "tell_refusal"]

R = TypeVar("R")

_USERS_FILE = "~/.kube/config"


def pass_cluster(function: Callable[..., R]) -> Callable[..., R]:
    """Gives a command the cluster that its options choose as its first argument."""

    @click.option("--kubeconfig", metavar="FILE", help="Where clusters and credentials are described.")
    @click.option("--context", default="", help="Of the kubeconfig; the current one if not given.")
    @click.option("-n", "--namespace", default="", help="Where objects are; the context's own if not given.")
    def command(*, kubeconfig: str | None, context: str, namespace: str, **kwargs: Any) -> R:
        from container_kit.cluster.client.errors import ApiError
        from container_kit.cluster.cluster import Cluster

        path = kubeconfig or _found_kubeconfig(click.get_current_context().find_object(Session))
        with Cluster.connect(path, context, namespace=namespace) as cluster:
            try:
                return function(cluster, **kwargs)
            except ApiError as error:
                tell_refusal(error)
                raise SystemExit(1) from error
            except ContainerKitError as error:
                say(f"error: {error}", err=True)
                raise SystemExit(1) from error

    return update_wrapper(command, function, updated=())


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print text; what comes from a cluster cannot command our terminal."""
    if (sys.stderr if err else sys.stdout).isatty():
        text = "\n".join("\t".join(map(neutralise, line.split("\t"))) for line in text.split("\n"))
    click.echo(text + end, nl=False, err=err, color=True)  # or it would take colours out of a pipe


def tell_refusal(error: ApiError) -> None:
    """As kubectl does: the reason in brackets."""
    reason = f" ({error.reason})" if error.reason else ""
    say(f"Error from server{reason}: {error}", err=True)


def _found_kubeconfig(session: Session | None) -> str | None:
    """None where kubectl would find one; else that of the cluster ``default`` of this program."""
    from container_kit.cluster.named import NamedClusters

    if os.environ.get("KUBECONFIG") or os.path.exists(os.path.expanduser(_USERS_FILE)):
        return None
    try:
        return NamedClusters(session.root if session else None).get("default").kubeconfig
    except NotFound:
        return None
