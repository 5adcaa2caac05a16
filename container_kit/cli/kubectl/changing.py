"""What makes, changes and removes objects: apply, create, delete, label, annotate, patch, scale."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.kubectl.access import pass_cluster, say
from container_kit.cli.kubectl.naming import Named, manifest_of, named, objects_named, shown_name
from container_kit.cli.kubectl.printing import printed
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.cluster import Cluster

__all__ = ["annotate", "apply", "create", "delete", "label", "patch", "scale"]

Object = dict[str, Any]
_FILES = click.option("-f", "--filename", multiple=True, metavar="FILE", help="File, folder, or - .")
_OUTPUT = click.option("-o", "--output", default="", help="What to print instead: yaml, json, name, ….")
_DRY_RUN = click.option(
    "--dry-run", type=click.Choice(["none", "server"]), default="none", help="Let the server only try it."
)


@click.command()
@_FILES
@_OUTPUT
@_DRY_RUN
@click.option("--force-conflicts", is_flag=True, help="Take over fields that others own.")
@pass_cluster
def apply(
    cluster: Cluster, filename: tuple[str, ...], output: str, dry_run: str, force_conflicts: bool
) -> None:
    """Make objects be as written; the server merges (server-side apply)."""
    from container_kit.cluster.client.errors import ApiNotFound

    for obj in manifest_of(filename):
        info = cluster.client.resources().of_object(obj["apiVersion"], obj["kind"])
        before: Object = {}
        with contextlib.suppress(ApiNotFound):
            before = cluster.get(obj)
        (after,) = cluster.apply(obj, force=force_conflicts, dry_run=dry_run == "server")
        same = bool(before) and _content(before) == _content(after)
        done = "unchanged" if same else "configured" if before else "created"
        _tell(
            cluster, after, f"{shown_name(info, after['metadata']['name'])} {done}{_tried(dry_run)}", output
        )


def _content(obj: Object) -> Object:
    """Without what changes by being applied: a dry run has the old version of the new content."""
    meta = obj["metadata"]
    kept = {key: value for key, value in meta.items() if key not in ("managedFields", "resourceVersion")}
    return {**obj, "metadata": kept}


@click.command()
@click.argument("words", nargs=-1, metavar="[namespace|serviceaccount|configmap|secret|deployment NAME]")
@_FILES
@_OUTPUT
@_DRY_RUN
@click.option("--from-literal", multiple=True, metavar="KEY=VALUE", help="Of a configmap or secret.")
@click.option("--image", default="", help="Of a deployment.")
@click.option("--replicas", default=1, help="Of a deployment.")
@pass_cluster
def create(
    cluster: Cluster,
    words: tuple[str, ...],
    filename: tuple[str, ...],
    output: str,
    dry_run: str,
    from_literal: tuple[str, ...],
    image: str,
    replicas: int,
) -> None:
    """Make new objects: those of files, or one of a common kind."""
    objects = (
        manifest_of(filename) if filename or not words else [_common(words, from_literal, image, replicas)]
    )
    for obj in objects:
        (made,) = cluster.create(obj, dry_run=dry_run == "server")
        info = cluster.client.resources().of_object(obj["apiVersion"], obj["kind"])
        _tell(cluster, made, f"{shown_name(info, made['metadata']['name'])} created{_tried(dry_run)}", output)


def _common(words: Sequence[str], literals: Sequence[str], image: str, replicas: int) -> Object:
    """An object of a kind that needs no file."""
    kind, name = words[0], words[-1]
    if len(words) != (3 if kind == "secret" else 2):
        raise click.UsageError(
            "write a kind and a name, such as: create namespace shop (secret generic NAME)"
        )
    meta = {"metadata": {"name": name}}
    data = dict(one.split("=", 1) for one in literals)
    if kind in ("namespace", "ns"):
        return {"apiVersion": "v1", "kind": "Namespace", **meta}
    if kind in ("serviceaccount", "sa"):
        return {"apiVersion": "v1", "kind": "ServiceAccount", **meta}
    if kind in ("configmap", "cm"):
        return {"apiVersion": "v1", "kind": "ConfigMap", **meta, "data": data}
    if kind == "secret":
        return {"apiVersion": "v1", "kind": "Secret", **meta, "stringData": data}
    if kind in ("deployment", "deploy") and image:
        return _deployment(name, image, replicas)
    raise InvalidInput(f"{kind} cannot be made without a file here: write it, and use create -f FILE")


def _deployment(name: str, image: str, replicas: int) -> Object:
    labels = {"app": name}
    container = {"name": image.rpartition("/")[2].partition(":")[0], "image": image}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@click.command()
@click.argument("words", nargs=-1, metavar="KIND NAME... | KIND/NAME...")
@_FILES
@click.option("-l", "--selector", default="", help="Those with these labels.")
@click.option("--all", "every", is_flag=True, help="All of the kind in the namespace.")
@click.option("--grace-period", type=int, help="Seconds between SIGTERM and SIGKILL.")
@click.option("--cascade", type=click.Choice(["background", "foreground", "orphan"]), help="What they own.")
@click.option("--wait/--no-wait", "waits", default=True, help="Until they are gone.")
@click.option("--timeout", default=60.0, help="Seconds to wait.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@pass_cluster
def delete(
    cluster: Cluster,
    words: tuple[str, ...],
    filename: tuple[str, ...],
    selector: str,
    every: bool,
    grace_period: int | None,
    cascade: str | None,
    waits: bool,
    timeout: float,
    ignore_not_found: bool,
) -> None:
    """Delete objects by name, by label, or those of files."""
    for one, namespace in _doomed(cluster, words, filename, selector, every):
        cluster.delete(
            one.path,
            namespace,
            wait=False,
            grace=grace_period,
            propagation=None if cascade is None else cascade.title(),  # type: ignore[arg-type]
            missing_ok=ignore_not_found,
        )
        kind = one.info.singular or one.info.kind.lower()
        say(f'{kind}{"." if one.info.group else ""}{one.info.group} "{one.name}" deleted')
        if waits:
            cluster.wait(one.path, "delete", timeout, namespace=namespace)


def _doomed(
    cluster: Cluster, words: Sequence[str], files: Sequence[str], selector: str, every: bool
) -> list[tuple[Named, str]]:
    if files:
        resources = cluster.client.resources()
        return [
            (
                Named(resources.of_object(obj["apiVersion"], obj["kind"]), obj["metadata"]["name"]),
                obj["metadata"].get("namespace", ""),
            )
            for obj in manifest_of(files)
        ]
    if not (every or selector) and any(not one.name for one in named(cluster.client, words)):
        raise click.UsageError(
            "resource(s) were provided, but no name was specified: give names, -l or --all"
        )
    return [(one, "") for one in objects_named(cluster, words, selector)]


def _mark(field: str) -> Any:
    """The command that sets labels, or annotations."""

    @click.command(field.removesuffix("s"))
    @click.argument("words", nargs=-1, required=True, metavar="KIND NAME... KEY=VALUE... KEY-...")
    @click.option("-l", "--selector", default="", help="Those with these labels.")
    @click.option("--all", "every", is_flag=True, help="All of the kind in the namespace.")
    @click.option("--overwrite", is_flag=True, help="Replace what is there.")
    @pass_cluster
    def command(
        cluster: Cluster, words: tuple[str, ...], selector: str, every: bool, overwrite: bool
    ) -> None:
        marks = dict(_mark_of(word) for word in words if _is_mark(word))
        names = [word for word in words if not _is_mark(word)]
        if not marks:
            raise click.UsageError(
                f"at least one {field} update is required: KEY=VALUE, or KEY- to take it away"
            )
        for one in objects_named(cluster, names, selector):
            before = cluster.get(one.path)["metadata"].get(field) or {}
            taken = [key for key, value in marks.items() if value not in (None, before.get(key, value))]
            if taken and not overwrite:
                words_ = f"'{taken[0]}' already has a value ({before[taken[0]]}), and --overwrite is false"
                raise InvalidInput(words_)
            set_: Any = cluster.label if field == "labels" else cluster.annotate
            set_(one.path, overwrite=True, **marks)
            say(f"{shown_name(one.info, one.name)} {_done(field, before, marks)}")

    command.help = f"Set {field} of objects; KEY- takes one away."
    return command


def _done(field: str, before: Object, marks: Mapping[str, str | None]) -> str:
    if field == "annotations":
        return "annotated"
    if all(before.get(key) == value for key, value in marks.items()):
        return "not labeled"
    return "unlabeled" if all(value is None for value in marks.values()) else "labeled"


def _is_mark(word: str) -> bool:
    return "=" in word or (word.endswith("-") and "/" not in word.rstrip("-").partition("-")[0])


def _mark_of(word: str) -> tuple[str, str | None]:
    key, equals, value = word.partition("=")
    return (key, value) if equals else (word[:-1], None)


label = _mark("labels")
annotate = _mark("annotations")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME | KIND/NAME")
@click.option("-p", "--patch", "text", required=True, help="The patch, in JSON or YAML.")
@click.option("--type", "kind", type=click.Choice(["strategic", "merge", "json"]), default="strategic")
@_OUTPUT
@pass_cluster
def patch(cluster: Cluster, words: tuple[str, ...], text: str, kind: str, output: str) -> None:
    """Change a part of an object."""
    import yaml

    for one in objects_named(cluster, words):
        before = cluster.get(one.path)["metadata"]["resourceVersion"]
        after = cluster.patch(one.path, yaml.safe_load(text), kind=kind)  # type: ignore[arg-type]
        same = after["metadata"]["resourceVersion"] == before
        _tell(
            cluster,
            after,
            f"{shown_name(one.info, one.name)} patched{' (no change)' if same else ''}",
            output,
        )


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME...")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many there shall be.")
@pass_cluster
def scale(cluster: Cluster, words: tuple[str, ...], replicas: int) -> None:
    """Ask for a number of replicas."""
    for one in objects_named(cluster, words):
        cluster.scale(one.path, replicas)
        say(f"{shown_name(one.info, one.name)} scaled")


def _tried(dry_run: str) -> str:
    return " (server dry run)" if dry_run == "server" else ""


def _tell(cluster: Cluster, obj: Object, sentence: str, output: str) -> None:
    say(printed(cluster.client, [obj], output, is_list=False) if output else sentence)
