"""Commands that talk to registries: pull, push, login, logout, search."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from container_kit.cli.completion import image_names
from container_kit.cli.session import fail, pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.cli.transfers import shown_transfers
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import Image
    from container_kit.registry.client import RegistryOptions

__all__ = ["login", "logout", "options_of", "pull", "push", "registry_options", "search"]

F = TypeVar("F", bound=Callable[..., Any])

_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/")
_FOUND = Listing(headers={"Name": "NAME", "Tag": "TAG"}, default="{{.Name}}")
_TAGS = Listing(headers=_FOUND.headers, default="{{.Name}}\t{{.Tag}}")


def registry_options(function: F, prefix: str = "") -> F:
    """The flags that say how a registry is talked to; podman's words, with skopeo's *prefix* if any."""
    options = (
        click.option(f"--{prefix}authfile", metavar="FILE", help="Read credentials from this file alone."),
        click.option(
            f"--{prefix}creds", metavar="USER:PASSWORD", help="Use these credentials, and keep none."
        ),
        click.option(f"--{prefix}ca", metavar="FILE", help="Certificates to trust besides the system's."),
        click.option(
            f"--{prefix}tls-verify",
            type=bool,
            default=True,
            metavar="BOOLEAN",
            help="False: any certificate, or plain http (true).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def options_of(authfile: str | None, creds: str | None, ca: str | None, tls_verify: bool) -> RegistryOptions:
    from container_kit.registry.client import Credentials, RegistryOptions

    credentials = None
    if creds:
        user, _, password = creds.partition(":")
        credentials = Credentials(username=user, password=password)
    return RegistryOptions(credentials=credentials, auth_file=authfile, ca_file=ca, tls_verify=tls_verify)


@click.command()
@click.argument("name")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="Instead of this host's.")
@click.option("-q", "--quiet", is_flag=True, help="Only the name.")
@click.option("--signature-policy", metavar="FILE", help="Which images may be pulled: a policy.json.")
@registry_options
@pass_engine
def pull(
    engine: Engine,
    /,
    name: str,
    all_tags: bool,
    platform: str | None,
    quiet: bool,
    signature_policy: str | None,
    **flags: Any,
) -> None:
    """Fetch an image from its registry."""
    from container_kit.images.choosing import registry_options

    options = registry_options(options_of(**flags), None, signature_policy)
    for one in _with_all_tags(name, options) if all_tags else [name]:
        _pull_one(engine, one, platform, quiet, options)


def _pull_one(engine: Engine, name: str, platform: str | None, quiet: bool, options: RegistryOptions) -> None:
    from container_kit.images import Image
    from container_kit.oci import Reference

    reference = Reference.parse(name)
    before = _known(engine, name)
    if not quiet:
        what = reference.tag if reference.digest is None else reference.digest
        click.echo(f"{what}: Pulling from {reference.path}")
    with shown_transfers(quiet=quiet) as progress:
        image = Image.pull(name, platform=platform, progress=progress, options=options, engine=engine)
    if not quiet:
        click.echo(f"Digest: {image.digest}")
        is_new = before != image
        status = "Downloaded newer image for" if is_new else "Image is up to date for"
        click.echo(f"Status: {status} {reference.familiar}")
    click.echo(str(reference))


def _known(engine: Engine, name: str) -> Image | None:
    from container_kit.images import Image

    try:
        return Image.get(name, engine=engine)
    except ContainerKitError:
        return None


def _with_all_tags(name: str, options: RegistryOptions) -> list[str]:
    from container_kit.oci import Reference
    from container_kit.registry.client.client import RegistryClient

    if ":" in name.rpartition("/")[2] or "@" in name:
        raise fail("--all-tags takes a repository without a tag or digest")
    with RegistryClient(options) as client:
        reference = Reference.parse(name)
        return [reference.with_tag(tag).familiar for tag in client.tags(name)]


@click.command()
@click.argument("name", shell_complete=image_names)
@click.argument("target", required=False)
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository that are here.")
@click.option(
    "--compression",
    type=click.Choice(["auto", "keep", "gzip"]),
    default="auto",
    help="Of plain layers: auto compresses for registries elsewhere.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only the name.")
@registry_options
@pass_engine
def push(
    engine: Engine,
    /,
    name: str,
    target: str | None,
    all_tags: bool,
    compression: Any,
    quiet: bool,
    **flags: Any,
) -> None:
    """Send an image to the registry of its name, or of TARGET."""
    from container_kit.images import Image
    from container_kit.oci import Reference

    options = options_of(**flags)
    names = _tags_here(engine, name) if all_tags else [name]
    for one in names:
        image = Image.get(one, engine=engine)
        reference = Reference.parse(target or one)
        if not quiet:
            click.echo(f"The push refers to repository [{reference.repository}]")
        with shown_transfers(push=True, quiet=quiet) as progress:
            done = image.push(str(reference), compression=compression, progress=progress, options=options)
        if quiet:
            click.echo(str(reference))
        else:
            click.echo(f"{reference.tag}: digest: {done.digest} size: {done.size}")


def _tags_here(engine: Engine, name: str) -> list[str]:
    from container_kit.images import Image
    from container_kit.oci import Reference

    wanted = Reference.parse(name).repository
    names = [one for image in Image.list(engine=engine) for one in image.names]
    found = sorted(one for one in names if Reference.parse(one).repository == wanted)
    if not found:
        raise fail(f"no image here has a tag of the repository {name}")
    return found


@click.command()
@click.argument("server", default=_HUB)
@click.option("-u", "--username", help="Who to log in as.")
@click.option("-p", "--password", help="Better: --password-stdin, which no other process sees.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@registry_options
def login(
    server: str, username: str | None, password: str | None, password_stdin: bool, **flags: Any
) -> None:
    """Try credentials at a registry, and keep them for later."""
    import attrs

    from container_kit.registry.client import Credentials
    from container_kit.registry.client.login import login as keep

    if password_stdin:
        if username is None or password is not None:
            raise fail("--password-stdin needs --username, and no --password")
        password = sys.stdin.read().rstrip("\r\n")
    elif password is not None:
        click.echo(
            "WARNING! A password on the command line can be seen by others: use --password-stdin", err=True
        )
    username = username or click.prompt("Username")
    password = password or click.prompt("Password", hide_input=True)
    options = options_of(**flags)
    credentials = Credentials(username=username, password=password)
    kept = keep(_domain(server), credentials, attrs.evolve(options, credentials=None), options.auth_file)
    if not kept.helper:
        click.echo(f"WARNING! The password is kept, without encryption, in {kept.path!r}", err=True)
    click.echo("Login Succeeded")


@click.command()
@click.argument("server", default=_HUB)
@click.option("--authfile", metavar="FILE", help="The file to forget it in.")
def logout(server: str, authfile: str | None) -> None:
    """Forget the credentials for a registry."""
    from container_kit.registry.client.login import logout as forget

    domain = _domain(server)
    if forget(domain, authfile):
        click.echo(f"Removing login credentials for {domain}")
    else:
        click.echo(f"Not logged in to {domain}")


def _domain(server: str) -> str:
    """The name of a registry, however it was written."""
    if server in _HUB_NAMES:
        return _HUB
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.rstrip("/")


@click.command()
@click.argument("term", metavar="REGISTRY[/TERM]")
@click.option("--limit", type=click.IntRange(min=1), default=25, help="At most so many (25).")
@click.option("--list-tags", is_flag=True, help="The tags of the repository REGISTRY/TERM.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@registry_options
def search(term: str, limit: int, list_tags: bool, format: str | None, **flags: Any) -> None:
    """Look through the catalogue of a registry."""
    from itertools import islice

    from container_kit.registry.client.client import RegistryClient

    with RegistryClient(options_of(**flags)) as client:
        if list_tags:
            rows = [{"Name": term, "Tag": tag} for tag in islice(client.tags(term), limit)]
        else:
            domain, _, word = term.partition("/")
            found = (name for name in client.repositories(_domain(domain)) if word in name)
            rows = [{"Name": f"{domain}/{name}", "Tag": ""} for name in islice(found, limit)]
    print_rows(_TAGS if list_tags else _FOUND, rows, format=format)
