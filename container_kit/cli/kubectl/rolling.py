"""Rollouts, waiting, and nodes taken out of use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.kubectl.access import pass_cluster, say
from container_kit.cli.kubectl.naming import objects_named, shown_name

if TYPE_CHECKING:
    from container_kit.cluster import Cluster

__all__ = ["cordon", "drain", "rollout", "uncordon", "wait"]

_WORDS = click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME...")
_SUCCESS = {
    "Deployment": 'deployment "{name}" successfully rolled out',
    "DaemonSet": 'daemon set "{name}" successfully rolled out',
    "StatefulSet": "statefulset rolling update complete {replicas} pods at revision {revision}...",
}


@click.group()
def rollout() -> None:
    """Look after the rollout of a deployment, stateful set or daemon set."""


@rollout.command()
@_WORDS
@click.option("--timeout", default=600.0, help="Seconds to wait.")
@pass_cluster
def status(cluster: Cluster, words: tuple[str, ...], timeout: float) -> None:
    """Wait until it is rolled out."""
    for one in objects_named(cluster, words):
        cluster.rollout(one.path).wait(timeout)
        obj = cluster.get(one.path)
        revision = obj["status"].get("updateRevision", "")
        replicas = obj["status"].get("updatedReplicas", 0)
        say(_SUCCESS[obj["kind"]].format(name=one.name, replicas=replicas, revision=revision))


@rollout.command()
@_WORDS
@pass_cluster
def history(cluster: Cluster, words: tuple[str, ...]) -> None:
    """List the templates that it has had."""
    for one in objects_named(cluster, words):
        say(f"{shown_name(one.info, one.name)} ")
        say("REVISION  CHANGE-CAUSE")
        for revision in cluster.rollout(one.path).history():
            say(f"{revision.number:<10}{revision.cause or '<none>'}")
        say("")


@rollout.command()
@_WORDS
@click.option("--to-revision", default=0, help="Which one; that before the present one if not given.")
@pass_cluster
def undo(cluster: Cluster, words: tuple[str, ...], to_revision: int) -> None:
    """Go back to a template that it had."""
    for one in objects_named(cluster, words):
        cluster.rollout(one.path).undo(to_revision)
        say(f"{shown_name(one.info, one.name)} rolled back")


def _simple(verb: str, done: str, sentence: str) -> None:
    @_WORDS
    @pass_cluster
    def command(cluster: Cluster, words: tuple[str, ...]) -> None:
        for one in objects_named(cluster, words):
            getattr(cluster.rollout(one.path), verb)()
            say(f"{shown_name(one.info, one.name)} {done}")

    rollout.command(verb, help=sentence)(command)


_simple("restart", "restarted", "Replace all its pods, by and by.")
_simple("pause", "paused", "Let changes wait.")
_simple("resume", "resumed", "Go on with what waits.")


@click.command()
@_WORDS
@click.option("--for", "condition", required=True, help="condition=Ready, jsonpath={.a.b}=c, create, delete")
@click.option("-l", "--selector", default="", help="Those with these labels.")
@click.option("--timeout", default="30s", metavar="DURATION", help="How long to wait: 30s, 5m.")
@pass_cluster
def wait(cluster: Cluster, words: tuple[str, ...], condition: str, selector: str, timeout: str) -> None:
    """Wait until objects are as wanted."""
    from container_kit.cluster.meta.times import parse_duration

    seconds = float(timeout) if timeout.isdigit() else parse_duration(timeout)
    for one in objects_named(cluster, words, selector):
        cluster.wait(one.path, condition.removeprefix("condition="), seconds)
        say(f"{shown_name(one.info, one.name)} condition met")


def _cordoning(verb: str, done: str) -> Any:
    @click.command(verb)
    @click.argument("nodes", nargs=-1, required=True)
    @pass_cluster
    def command(cluster: Cluster, nodes: tuple[str, ...]) -> None:
        act: Callable[[str], None] = getattr(cluster, verb)
        for node in nodes:
            is_off = bool(cluster.get(f"node/{node}")["spec"].get("unschedulable"))
            act(node)
            already = "already " if is_off == (verb == "cordon") else ""
            say(f"node/{node} {already}{done}")

    command.help = {"cordon": "Let no new pods come to nodes.", "uncordon": "Let pods come again."}[verb]
    return command


cordon = _cordoning("cordon", "cordoned")
uncordon = _cordoning("uncordon", "uncordoned")


@click.command()
@click.argument("node")
@click.option("--ignore-daemonsets", is_flag=True, help="Their pods always stay.")
@click.option("--delete-emptydir-data", is_flag=True, help="Also pods whose data is lost then.")
@click.option("--force", is_flag=True, help="Also pods that nobody makes again.")
@click.option("--grace-period", type=int, help="Seconds between SIGTERM and SIGKILL.")
@click.option("--timeout", default=60.0, help="Seconds to wait.")
@pass_cluster
def drain(
    cluster: Cluster,
    node: str,
    ignore_daemonsets: bool,
    delete_emptydir_data: bool,
    force: bool,
    grace_period: int | None,
    timeout: float,
) -> None:
    """Take a node out of use: evict its pods, within their disruption budgets."""
    evicted: Any = cluster.drain(
        node, timeout, grace=grace_period, force=force, delete_empty_dir=delete_emptydir_data
    )
    for name in evicted:
        say(f"pod/{name.partition('/')[2]} evicted")
    say(f"node/{node} drained")
