"""What the words of a command name: ``pods a b``, ``pod/a deploy/b``, ``pods,services``, ``all``, files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from container_kit.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from container_kit.cluster import Cluster
    from container_kit.cluster.client.client import Client
    from container_kit.cluster.client.resources import ResourceInfo

__all__ = ["Named", "manifest_of", "named", "objects_named", "shown_name"]

Object = dict[str, Any]


@attrs.frozen
class Named:
    """One object of a kind, or all of them when there is no name."""

    info: ResourceInfo
    name: str = ""

    @property
    def path(self) -> str:
        """As the verbs of a cluster take it."""
        return f"{self.info.full_name}/{self.name}"


def named(client: Client, words: Sequence[str]) -> list[Named]:
    """What *words* name.

    Raises:
        InvalidInput: They name nothing.
        NotFound: The server has no such resource.
    """
    if not words:
        raise InvalidInput("you must name what is meant: a kind such as pods, or kind/name")
    if "/" in words[0]:
        pairs = [word.partition("/") for word in words]
        if not all(kind and name for kind, _, name in pairs):
            raise InvalidInput("kind/name and other words cannot be mixed")
        return [Named(_kind(client, kind), name) for kind, _, name in pairs]
    kinds = [info for word in words[0].split(",") for info in _kinds(client, word)]
    return [Named(info, name) for info in kinds for name in words[1:] or ("",)]


def objects_named(cluster: Cluster, words: Sequence[str], labels: str = "") -> Iterator[Named]:
    """Each object that is meant, by its name: of a whole kind those that are there."""
    for one in named(cluster.client, words):
        if one.name:
            yield one
            continue
        for obj in cluster.list(one.info.full_name, labels=labels):
            yield Named(one.info, obj["metadata"]["name"])


def shown_name(info: ResourceInfo, name: str) -> str:
    """As kubectl writes it: ``pod/a``, ``deployment.apps/b``."""
    kind = info.singular or info.kind.lower()
    return f"{kind}.{info.group}/{name}" if info.group else f"{kind}/{name}"


def manifest_of(files: Sequence[str]) -> list[Object]:
    """The objects in files, folders, or standard input (``-``)."""
    from container_kit.cluster.verbs.manifests import objects_of

    if not files:
        raise click.UsageError("must specify -f FILE")
    words = [sys.stdin.read() + "\n" if one == "-" else one for one in files]
    return [obj for text in words for obj in objects_of(text)]


def _kinds(client: Client, word: str) -> list[ResourceInfo]:
    of_category = client.resources().of_category(word) if word.isalpha() and word == "all" else []
    return of_category or [_kind(client, word)]


def _kind(client: Client, word: str) -> ResourceInfo:
    try:
        return client.resource(word)
    except NotFound as error:
        raise InvalidInput(f'the server doesn\'t have a resource type "{word}"') from error
