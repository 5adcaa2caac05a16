"""Commands of our own registry: serve, gc, ls."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.humanise import decimal_size
from container_kit.cli.session import Session
from container_kit.cli.tables import Listing, print_rows
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.registry.server import Auth, Tls
    from container_kit.registry.server.storage import Storage

__all__ = ["gc", "ls", "serve"]

_LISTED = Listing(
    headers={"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "Type": "TYPE"},
    default="{{.Repository}}\t{{.Tag}}\t{{.Digest}}",
    quiet="Repository",
)
_directory = click.option(
    "--directory", metavar="DIRECTORY", help="Keep everything here instead of in the store of images."
)


@click.command()
@_directory
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0: a free one.")
@click.option("--hostname", "hostnames", multiple=True, metavar="NAME", help="What clients call it.")
@click.option("--tls-certificate", metavar="FILE", help="The certificate (PEM) and those above it.")
@click.option("--tls-key", metavar="FILE", help="Its key (PEM).")
@click.option(
    "--tls-self-signed", is_flag=True, help="Make a certificate, for tests; prints its root's path."
)
@click.option("--behind-proxy", is_flag=True, help="Something before it speaks TLS with clients.")
@click.option("--htpasswd", metavar="FILE", help="Users, as `htpasswd -B` writes them.")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    metavar="USER=ACTIONS[:PATTERN]",
    help="What a user may do: pull, push, delete, catalog, all.",
)
@click.option("--anonymous", multiple=True, metavar="ACTIONS[:PATTERN]", help="What anyone may do.")
@click.option("--tokens", is_flag=True, help="Give tokens for passwords.")
@click.option("--upstream", metavar="REGISTRY", help="Be a pull-through cache of this registry.")
@click.option("--read-only", is_flag=True, help="Refuse pushes and deletions.")
@click.option("--no-delete", is_flag=True, help="Refuse deletions.")
@click.option("--metrics", is_flag=True, help="Serve /metrics.")
@click.pass_context
def serve(ctx: click.Context, /, directory: str | None, no_delete: bool, **flags: Any) -> None:
    """Serve a registry until Ctrl-C or SIGTERM."""
    from container_kit.registry.server import Registry

    auth, tls = _auth(flags), _tls(flags)
    options = {
        name: flags[name] for name in ("host", "port", "behind_proxy", "upstream", "read_only", "metrics")
    }
    with (
        _terminated_like_interrupted(),
        Registry.serve(
            directory,
            engine=None if directory else _session(ctx).engine(),
            auth=auth,
            tls=tls,
            hostnames=tuple(flags["hostnames"]),
            delete=not no_delete,
            **options,
        ) as registry,
    ):
        click.echo(f"Serving {registry.url}")
        if registry.ca_file is not None:
            click.echo(f"Clients trust it with {registry.ca_file}")
        with suppress(KeyboardInterrupt):
            registry.wait()


@click.command()
@_directory
@click.option("--untagged", is_flag=True, help="Also manifests that no tag leads to.")
@click.pass_context
def gc(ctx: click.Context, directory: str | None, untagged: bool) -> None:
    """Remove what no image of the registry needs; also while it is served."""
    from container_kit.registry.server.repositories import Repositories

    with closing(_storage(ctx, directory)) as storage:
        done = Repositories(storage).collect(untagged)
    click.echo(
        f"Removed {done.links} links, {done.contents} contents and {done.uploads} unfinished uploads: "
        f"{decimal_size(done.freed_bytes)}"
    )


@click.command()
@click.argument("repository", required=False)
@_directory
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Digest}}.")
@click.option("-q", "--quiet", is_flag=True, help="Only the names of repositories.")
@click.pass_context
def ls(
    ctx: click.Context, repository: str | None, directory: str | None, format: str | None, quiet: bool
) -> None:
    """List the images of the registry, or of one repository."""
    from container_kit.registry.server.repositories import Repositories

    with closing(_storage(ctx, directory)) as storage:
        repositories = Repositories(storage)
        names = [repository] if repository else storage.repositories()
        rows = [row for name in names for row in _rows(repositories, name, quiet)]
    print_rows(_LISTED, rows, format=format, quiet=quiet)


def _rows(repositories: Any, name: str, quiet: bool) -> list[dict[str, str]]:
    tags = repositories.tags(name)
    if quiet or not tags:
        return [{"Repository": name, "Tag": "<none>", "Digest": "", "Type": ""}]
    digests = {tag: repositories.resolve(name, tag) for tag in tags}
    return [
        {
            "Repository": name,
            "Tag": tag,
            "Digest": str(digest),
            "Type": repositories.document(digest).media_type,
        }
        for tag, digest in digests.items()
    ]


def _session(ctx: click.Context) -> Session:
    session = ctx.find_object(Session)
    assert session is not None
    return session


def _storage(ctx: click.Context, directory: str | None) -> Storage:
    from container_kit.registry.server.registry import open_storage

    if directory is not None and not os.path.isdir(directory):
        raise InvalidInput(f"there is no registry in {directory!r}")
    return open_storage(directory, None if directory else _session(ctx).engine())


def _auth(flags: dict[str, Any]) -> Auth | None:
    from container_kit.registry.server import Auth

    if not (flags["htpasswd"] or flags["anonymous"] or flags["tokens"] or flags["grants"]):
        return None
    grants: dict[str, list[str]] = {}
    for text in flags["grants"]:
        user, equals, grant = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text!r} is no grant: write USER=ACTIONS[:PATTERN]")
        grants.setdefault(user, []).append(grant)
    return Auth(
        htpasswd=flags["htpasswd"], grants=grants, anonymous=tuple(flags["anonymous"]), tokens=flags["tokens"]
    )


def _tls(flags: dict[str, Any]) -> Tls | None:
    from container_kit.registry.server import Tls

    certificate, key, self_signed = (flags[f"tls_{name}"] for name in ("certificate", "key", "self_signed"))
    if not (certificate or key or self_signed):
        return None
    return Tls(certificate or "", key or "", self_signed)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that requests may end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
