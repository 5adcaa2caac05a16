"""``manifest``: docker's commands for names that stand for images of several platforms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from container_kit.cli.registries import options_of, registry_options
from container_kit.cli.session import each, pass_engine
from container_kit.errors import NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import ManifestList
    from container_kit.oci import Descriptor, Index, Manifest
    from container_kit.registry.client import RegistryClient, RegistryOptions

__all__ = ["annotate", "create", "inspect", "push", "rm"]

F = TypeVar("F", bound=Callable[..., Any])


def _insecure(function: F) -> F:
    """Docker's flag, and ours."""
    function = registry_options(function)
    return click.option("--insecure", is_flag=True, help="The same as --tls-verify=false.")(function)


def _options(insecure: bool, **flags: Any) -> RegistryOptions:
    if insecure:
        flags["tls_verify"] = False
    return options_of(**flags)


@click.command()
@click.argument("name", metavar="LIST")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("-a", "--amend", is_flag=True, help="Add to the list, if there is one of this name.")
@_insecure
@pass_engine
def create(engine: Engine, /, name: str, images: tuple[str, ...], amend: bool, **flags: Any) -> None:
    """Begin a list of images.

    An image is a name in a registry, or another place as `image copy` writes them: store:NAME, for one.
    """
    from container_kit.images import ManifestList

    options = _options(**flags)
    made = ManifestList.create(name, amend=amend, engine=engine)
    try:
        for image in images:
            made = made.add(image, options=options)
    except BaseException:
        if not amend:
            made.remove()  # half a list is none
        raise
    click.echo(f"Created manifest list {made.reference}")


@click.command()
@click.argument("name", metavar="LIST")
@click.argument("image")
@click.option("--arch", help="Such as arm64.")
@click.option("--os", "system", help="Such as linux.")
@click.option("--os-features", multiple=True, metavar="FEATURE", help="What the image needs of the system.")
@click.option("--os-version", metavar="VERSION", help="The version of the system.")
@click.option("--variant", help="Such as v8.")
@pass_engine
def annotate(
    engine: Engine,
    name: str,
    image: str,
    arch: str | None,
    system: str | None,
    os_features: tuple[str, ...],
    os_version: str | None,
    variant: str | None,
) -> None:
    """Say what platform an image of a list is for."""
    from container_kit.images import ManifestList

    ManifestList.get(name, engine=engine).annotate(
        image,
        os=system,
        architecture=arch,
        variant=variant,
        os_version=os_version,
        os_features=os_features or None,
    )


@click.command()
@click.argument("name", metavar="LIST")
@click.option("-p", "--purge", is_flag=True, help="Forget the list here after it was sent.")
@_insecure
@pass_engine
def push(engine: Engine, /, name: str, purge: bool, **flags: Any) -> None:
    """Send a list, with the images that its registry lacks."""
    from container_kit.images import ManifestList

    pushed = ManifestList.get(name, engine=engine).push(purge=purge, options=_options(**flags))
    click.echo(str(pushed.digest))


@click.command()
@click.argument("names", metavar="LIST...", nargs=-1, required=True)
@pass_engine
def rm(engine: Engine, names: tuple[str, ...]) -> None:
    """Forget lists that are kept here."""
    from container_kit.images import ManifestList

    each(names, lambda name: ManifestList.get(name, engine=engine).remove())


@click.command()
@click.argument("names", metavar="[LIST] NAME", nargs=-1, required=True)
@click.option("-v", "--verbose", is_flag=True, help="Each image with its platform and layers.")
@_insecure
@pass_engine
def inspect(engine: Engine, /, names: tuple[str, ...], verbose: bool, **flags: Any) -> None:
    """Show a list that is kept here, one image of it, or what a registry means by a name."""
    from container_kit.oci.manifest import parse_manifest
    from container_kit.registry.client import RegistryClient

    if len(names) > 2:
        raise click.UsageError("give a name, or a list and the name of one of its images")
    with RegistryClient(_options(**flags)) as client:
        draft = _draft(engine, names[0])
        if len(names) == 2:
            if draft is None:
                raise NotFound("manifest list", names[0])
            _show([_member(client, draft, names[1])], single=True)
        elif draft is not None:
            _show_index(client, draft.index, names[0], verbose, draft)
        else:
            received = client.manifest(names[0])
            document = parse_manifest(received.raw, received.media_type)
            _show_document(client, document, names[0], verbose)


def _draft(engine: Engine, name: str) -> ManifestList | None:
    from container_kit.images import ManifestList

    try:
        return ManifestList.get(name, engine=engine)
    except NotFound:
        return None


def _member(client: RegistryClient, draft: ManifestList, name: str) -> dict[str, Any]:
    for image in draft.images:
        if image.is_called(name):
            return _described(client, image.place, image.descriptor)
    raise NotFound("image in the manifest list", name)


def _show_document(client: RegistryClient, document: Manifest | Index, name: str, verbose: bool) -> None:
    from container_kit.oci import Index

    if isinstance(document, Index):
        _show_index(client, document, name, verbose, None)
    elif not verbose:
        click.echo(json.dumps(json.loads(document.raw), indent=3))
    else:
        _show([_described(client, name, document.descriptor())], single=True)


def _show_index(
    client: RegistryClient, index: Index, name: str, verbose: bool, draft: ManifestList | None
) -> None:
    if not verbose:
        click.echo(json.dumps(json.loads(index.raw), indent=3))
        return
    places = {image.descriptor.digest: image.place for image in draft.images} if draft else {}
    _show([_described(client, places.get(one.digest, name), one) for one in index.manifests])


def _described(client: RegistryClient, name: str, descriptor: Descriptor) -> dict[str, Any]:
    """As ``docker manifest inspect -v`` shows an image."""
    from container_kit.images.copies.names import PlaceName
    from container_kit.oci import Reference

    shown: dict[str, Any] = {"Ref": name, "Descriptor": descriptor.to_json()}
    place = PlaceName.parse(name)
    if place.transport == "docker":
        reference = Reference.parse(place.name)
        received = client.repository(place.name).manifest(descriptor.digest)
        shown["Ref"] = f"{reference}" if reference.digest else f"{reference}@{descriptor.digest}"
        is_docker = descriptor.media_type.startswith("application/vnd.docker.")
        shown["SchemaV2Manifest" if is_docker else "OCIManifest"] = json.loads(received.raw)
    return shown


def _show(documents: list[dict[str, Any]], *, single: bool = False) -> None:
    click.echo(json.dumps(documents[0] if single else documents, indent=4))
