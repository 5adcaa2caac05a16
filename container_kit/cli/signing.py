"""`image sign` and `image verify`: signatures of images in registries, as cosign makes them."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from container_kit.cli.registries import options_of, registry_options

__all__ = ["sign", "verify"]

_PASSWORD = "COSIGN_PASSWORD"  # noqa: S105  # the name of a variable
_IDENTITIES = ("matchExact", "matchRepoDigestOrExact", "matchRepository")
_claims = click.option(
    "-a", "--annotations", "claims", multiple=True, metavar="NAME=VALUE", help="A claim of the signature."
)


@click.command()
@click.argument("name")
@click.option("--key", required=True, metavar="FILE", help="The private key, of openssl or cosign.")
@click.option(
    "--password-file", metavar="FILE", help=f"Its password; '-' is standard input. Else {_PASSWORD}."
)
@click.option("-r", "--recursive", is_flag=True, help="Of an index, each manifest too.")
@_claims
@registry_options
def sign(
    name: str, key: str, password_file: str | None, recursive: bool, claims: tuple[str, ...], **flags: Any
) -> None:
    """Sign an image in its registry, and keep the signature there.

    NAME with a digest says exactly what is signed; a tag means what the registry has under it now.
    """
    from container_kit.images import sign
    from container_kit.oci import Reference

    digest = sign(
        name,
        key=key,
        password=_password(password_file),
        annotations=_pairs(claims),
        recursive=recursive,
        options=options_of(**flags),
    )
    click.echo(Reference.parse(name).with_digest(digest).familiar)


@click.command()
@click.argument("name")
@click.option("--key", required=True, metavar="FILE", help="The public key.")
@click.option(
    "--identity",
    type=click.Choice(_IDENTITIES),
    default="matchRepoDigestOrExact",
    help="How the signed name and NAME agree; cosign's signatures need matchRepository.",
)
@click.option("--platform", metavar="OS/ARCH", help="Of an index that is not signed itself.")
@_claims
@registry_options
def verify(
    name: str, key: str, identity: Any, platform: str | None, claims: tuple[str, ...], **flags: Any
) -> None:
    """Make sure that an image in its registry is signed; prints it with the digest that is."""
    from container_kit.images import verify
    from container_kit.oci import Reference

    found = verify(
        name,
        key=key,
        identity=identity,
        annotations=_pairs(claims),
        platform=platform,
        options=options_of(**flags),
    )
    click.echo(Reference.parse(name).with_digest(found.digest).familiar)


def _password(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(_PASSWORD)
    if path == "-":
        return sys.stdin.readline().rstrip("\r\n")
    with click.open_file(path) as file:
        return str(file.readline()).rstrip("\r\n")


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for name, sign, _ in pairs:
        if not sign or not name:
            raise click.UsageError(f"-a {name!r} is not written NAME=VALUE.")
    return {name: value for name, _, value in pairs}
