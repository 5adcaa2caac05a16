"""``kube``: Kubernetes files played without a cluster, and written from what runs, as podman does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.session import pass_engine, print_error
from container_kit.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.pods.kube import KubePlan
    from container_kit.pods.seam import Object

__all__ = ["down", "generate", "play", "read_plan"]

_FILE = "A Kubernetes file, or - for standard input."


def read_plan(file: str, *more: str) -> KubePlan:
    """What the objects in these files mean here.

    Raises:
        NotFound, InvalidInput: A file cannot be read, or says nothing that can be played.
    """
    from container_kit.cluster.verbs.manifests import objects_of
    from container_kit.pods.kube import plan_of

    words = [sys.stdin.read() + "\n" if one == "-" else one for one in (file, *more)]
    return plan_of(dict(one) for text in words for one in objects_of(text))


@click.command()
@click.argument("file")
@click.option("--network", default="", metavar="NAME", help="Network to be on (bridge).")
@click.option("--configmap", multiple=True, metavar="FILE", help="Further files with ConfigMaps.")
@click.option("--replace", is_flag=True, help="Remove pods of the same names first.")
@click.option("--start/--no-start", default=True, help="Whether the pods are started.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@pass_engine
def play(
    engine: Engine,
    file: str,
    network: str,
    configmap: tuple[str, ...],
    replace: bool,
    start: bool,
    quiet: bool,
) -> None:
    """Make and start the pods in FILE: pods, workloads, claims, ConfigMaps and Secrets."""
    from container_kit.pods.kube import play as play_plan

    plan = read_plan(file, *configmap)
    for one in plan.skipped:
        click.echo(f"{one} means nothing without a cluster: skipped", err=True)
    pods = play_plan(engine, plan, network=network, start=start, replace=replace)
    for pod in () if quiet else pods:
        click.echo(f"Pod:\n{pod.id}")
        containers = pod.containers()
        if containers:
            click.echo("Container:" if len(containers) == 1 else "Containers:")
            click.echo("\n".join(container.id for container in containers))


@click.command()
@click.argument("file")
@click.option("--force", is_flag=True, help="Also remove the volumes of its claims.")
@pass_engine
def down(engine: Engine, file: str, force: bool) -> None:
    """Stop and remove the pods that `kube play` made of FILE."""
    from container_kit.pods.kube import down as take_down

    removed = take_down(engine, read_plan(file), volumes=force)
    click.echo("Pods removed:")
    for pod_id in removed:
        click.echo(pod_id)


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("-f", "--filename", default="", metavar="FILE", help="Write to this new file.")
@pass_engine
def generate(engine: Engine, names: tuple[str, ...], filename: str) -> None:
    """Write the Kubernetes file of pods, containers and volumes, by their names."""
    documents, failed = [], False
    for name in names:
        try:
            documents.append(_manifest(engine, name))
        except NotFound as error:
            print_error(error)
            failed = True
    text = "---\n".join(_as_yaml(one) for one in documents)
    if filename:
        _write_new(filename, text)
    else:
        click.echo(text, nl=False)
    if failed:
        raise SystemExit(1)


def _manifest(engine: Engine, name: str) -> Object:
    from container_kit.pods import Pod
    from container_kit.pods.kube import manifest_of_container, manifest_of_pod

    try:
        return manifest_of_pod(Pod.get(name, engine=engine))
    except NotFound:
        pass
    if name in engine.volumes.names():
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
    return manifest_of_container(engine.container(name))


def _as_yaml(document: Object) -> str:
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=False))


def _write_new(path: str, text: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already: give the name of a new file") from None
