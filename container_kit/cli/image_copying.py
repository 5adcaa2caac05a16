"""``image copy``: skopeo's copy, with the store as one more place."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.registries import options_of, registry_options
from container_kit.cli.session import pass_engine
from container_kit.cli.transfers import shown_transfers

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["copy"]


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("-a", "--all", "everything", is_flag=True, help="All platforms, and the index as it is.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="One platform, instead of this host's.")
@click.option("--referrers", is_flag=True, help="Also signatures and whatever else refers to the image.")
@click.option("--digestfile", type=click.File("w"), metavar="FILE", help="Write the digest to this file.")
@click.option("-q", "--quiet", is_flag=True, help="Only the digest.")
@functools.partial(registry_options, prefix="src-")
@functools.partial(registry_options, prefix="dest-")
@pass_engine
def copy(
    engine: Engine,
    /,
    source: str,
    target: str,
    everything: bool,
    platform: str | None,
    referrers: bool,
    digestfile: Any,
    quiet: bool,
    **flags: Any,
) -> None:
    """Copy an image between two places, without unpacking it.

    Places: docker://NAME (or just NAME), oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG],
    docker-archive:FILE[:NAME], store:[NAME].
    """
    from container_kit.images import Image

    if everything and platform is not None:
        raise click.UsageError("--all and --platform exclude each other")
    with shown_transfers(push=True, quiet=quiet) as progress:
        copied = Image.copy(
            source,
            target,
            platform="all" if everything else platform,
            referrers=referrers,
            progress=progress,
            options=_options(flags, "dest_"),
            source_options=_options(flags, "src_"),
            engine=engine,
        )
    if digestfile is not None:
        digestfile.write(str(copied.digest))
    click.echo(str(copied.digest) if quiet else f"Digest: {copied.digest}")


def _options(flags: dict[str, Any], prefix: str) -> Any:
    own = {name.removeprefix(prefix): value for name, value in flags.items() if name.startswith(prefix)}
    return options_of(**own)
