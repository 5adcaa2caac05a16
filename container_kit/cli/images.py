"""Commands on images: list, tag, remove, load, save, import, history, prune."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

import click

from container_kit.cli.completion import image_names
from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import ago, decimal_size, parse_moment
from container_kit.cli.progress import progress
from container_kit.cli.session import each, fail, pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import HistoryEntry, Image

__all__ = ["history", "images", "import_", "load", "prune_images", "rmi", "save", "split_name", "tag"]

_NONE = "<none>"
_IMAGES = Listing(
    headers={
        "ID": "IMAGE ID",
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "Containers": "CONTAINERS",
    },
    default="{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
)
_WITH_DIGESTS = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_HISTORY = Listing(
    headers={
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
    default="{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
)


@click.command()
@click.argument("repository", required=False, shell_complete=image_names)
@click.option("-a", "--all", "show_all", is_flag=True, help="No effect: no intermediate images exist here.")
@click.option("--digests", is_flag=True, help="Also digests.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.ID}}.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_engine
def images(
    engine: Engine,
    repository: str | None,
    show_all: bool,
    digests: bool,
    filters: tuple[str, ...],
    format: str | None,
    no_trunc: bool,
    quiet: bool,
) -> None:
    """List images."""
    from container_kit.images import Image

    chosen = Filters.parse(filters, _image_tests(engine))
    found = [image for image in Image.list(engine=engine) if chosen.accepts(image)]
    found.sort(key=lambda image: image.created, reverse=True)
    rows = [row for image in found for row in _image_rows(image, no_trunc) if _is_of(row, repository)]
    if quiet:
        rows = list({row["ID"]: row for row in rows}.values())
    listing = Listing(_IMAGES.headers, _WITH_DIGESTS) if digests else _IMAGES
    print_rows(listing, rows, format=format, quiet=quiet)


def _image_tests(engine: Engine) -> dict[str, Any]:
    from fnmatch import fnmatchcase

    from container_kit.images import Image

    return {
        "dangling": lambda image, value: (not image.names) == (value in ("true", "1")),
        "label": lambda image, value: has_label(image.config.config.labels, value),
        "before": lambda image, value: image.created < Image.get(value, engine=engine).created,
        "since": lambda image, value: image.created > Image.get(value, engine=engine).created,
        "until": lambda image, value: image.created.timestamp() < parse_moment(value),
        "reference": lambda image, value: any(
            fnmatchcase(name, value) or fnmatchcase(split_name(name)[0], value) for name in image.names
        ),
    }


def _image_rows(image: Image, full: bool) -> list[dict[str, Any]]:
    common = {
        "ID": str(image.id) if full else image.id.hex[:12],
        "Digest": str(image.digest),
        "CreatedSince": ago(image.created.timestamp()),
        "CreatedAt": image.created.strftime("%Y-%m-%d %H:%M:%S %z %Z"),
        "Size": decimal_size(image.size),
        "Containers": "N/A",
    }
    names = [split_name(name) for name in image.names] or [(_NONE, _NONE)]
    return [{**common, "Repository": repository, "Tag": tag} for repository, tag in names]


def split_name(name: str) -> tuple[str, str]:
    """``host:5000/a/b:tag`` into repository and tag."""
    plain = name.partition("@")[0]
    repository, colon, tag = plain.rpartition(":")
    if not colon or "/" in tag:
        return plain, _NONE
    return repository, tag


def _is_of(row: dict[str, Any], wanted: str | None) -> bool:
    return wanted is None or wanted in (row["Repository"], f"{row['Repository']}:{row['Tag']}")


@click.command()
@click.argument("source", shell_complete=image_names)
@click.argument("target")
@pass_engine
def tag(engine: Engine, source: str, target: str) -> None:
    """Give an image another name."""
    from container_kit.images import Image

    Image.get(source, engine=engine).tag(target)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=image_names)
@click.option("-f", "--force", is_flag=True, help="Also when containers use it or other names point at it.")
@pass_engine
def rmi(engine: Engine, names: tuple[str, ...], force: bool) -> None:
    """Remove images, or only a name where there are several."""
    from container_kit.images import Image

    def remove(name: str) -> str:
        image = Image.get(name, engine=engine)
        removed = image.remove(force=force, name=name if image.has_name(name) else None)
        lines = [f"Untagged: {what}" for what in removed.untagged]
        return "\n".join([*lines, *(f"Deleted: {what}" for what in removed.deleted)])

    each(names, remove)


@click.command()
@click.option(
    "-i", "--input", "path", type=click.Path(exists=True), help="Archive or directory (standard input)."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@pass_engine
def load(engine: Engine, path: str | None, quiet: bool) -> None:
    """Load images from an archive of docker or OCI, plain or compressed."""
    from container_kit.images import Image

    if path is None and sys.stdin.isatty():
        raise fail("nothing to load: give --input FILE or a pipe on standard input")
    with progress("Loading", quiet=quiet):
        loaded = Image.load(path or sys.stdin.buffer, engine=engine)
    for image in loaded:
        for name in image.names or [str(image.id)]:
            click.echo(f"Loaded image: {name}" if image.names else f"Loaded image ID: {name}")


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=image_names)
@click.option("-o", "--output", type=click.Path(), help="File to write (standard output).")
@click.option(
    "--archive-format",
    type=click.Choice(["docker-archive", "oci", "oci-dir"]),
    default="docker-archive",
    help="docker-archive.",
)
@pass_engine
def save(engine: Engine, names: tuple[str, ...], output: str | None, archive_format: Any) -> None:
    """Write images to an archive that docker, podman, skopeo and this program can load."""
    from container_kit.images import Image
    from container_kit.images.save import save_images

    chosen = [Image.get(name, engine=engine) for name in names]
    target = _writable(output)
    with progress("Saving", quiet=output is None):
        save_images(chosen, target, archive_format)


def _writable(output: str | None) -> str | IO[bytes]:
    if output is not None:
        return output
    if sys.stdout.isatty():
        raise fail("will not write an archive to a terminal: give --output FILE or a pipe")
    return sys.stdout.buffer


@click.command("import")
@click.argument("source", type=click.Path(allow_dash=True))
@click.argument("name", required=False)
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help='Such as CMD ["sh"].')
@click.option("-m", "--message", default="", help="Comment in its history.")
@pass_engine
def import_(engine: Engine, source: str, name: str | None, changes: tuple[str, ...], message: str) -> None:
    """Make an image from a tar archive of a file system (- is standard input)."""
    from container_kit.images import Image

    with progress("Importing", quiet=source == "-"):
        tar = sys.stdin.buffer if source == "-" else source
        image = Image.import_(tar, tag=name, changes=changes, message=message, engine=engine)
    click.echo(str(image.id))


@click.command()
@click.argument("name", shell_complete=image_names)
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.CreatedBy}}.")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and dates in words.")
@click.option("--no-trunc", is_flag=True, help="Show commands in full.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_engine
def history(engine: Engine, name: str, format: str | None, human: bool, no_trunc: bool, quiet: bool) -> None:
    """Show how an image was made, newest step first."""
    from container_kit.images import Image

    rows = [_history_row(entry, human, no_trunc) for entry in Image.get(name, engine=engine).history()]
    print_rows(_HISTORY, rows, format=format, quiet=quiet)


def _history_row(entry: HistoryEntry, human: bool, full: bool) -> dict[str, Any]:
    created_by = " ".join(entry.created_by.split())
    return {
        "ID": entry.id if full else entry.id.removeprefix("sha256:")[:12] if ":" in entry.id else entry.id,
        "CreatedSince": ago(entry.created.timestamp()) if human else entry.created.isoformat(),
        "CreatedAt": entry.created.isoformat(),
        "CreatedBy": created_by if full or len(created_by) <= 45 else created_by[:44] + "…",
        "Size": decimal_size(entry.size_bytes) if human else str(entry.size_bytes),
        "Comment": entry.comment,
    }


@click.command("prune")
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Also images with a name that no container uses."
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@pass_engine
def prune_images(engine: Engine, everything: bool, force: bool) -> None:
    """Remove images that no name and no container needs."""
    from container_kit.images import Image

    if not force:
        which = "all images without a container" if everything else "all images without a name"
        click.confirm(f"This will remove {which}. Continue?", abort=True)
    try:
        pruned = Image.prune(all=everything, engine=engine)
    except ContainerKitError as error:
        raise fail(str(error)) from error
    for what in pruned.deleted:
        click.echo(f"deleted: {what}")
    click.echo(f"Total reclaimed space: {decimal_size(pruned.reclaimed_bytes)}")
