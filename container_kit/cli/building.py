"""`build`: a Dockerfile becomes an image, with docker's flags."""

from __future__ import annotations

import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from container_kit.cli.build_progress import build_progress
from container_kit.cli.session import pass_engine
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import Image, Secret

__all__ = ["build"]

_DISPLAYS = ("auto", "plain", "tty", "quiet")
_NETWORKS = ("default", "none", "host")


@click.command()
@click.argument("context", metavar="CONTEXT", required=False, default=".")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name for the image.")
@click.option("-f", "--file", "file", metavar="PATH", help="The Dockerfile; '-' is standard input.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME[=VALUE]", help="Value of an ARG.")
@click.option("--build-context", "contexts", multiple=True, metavar="NAME=SOURCE", help="A named context.")
@click.option("--target", metavar="STAGE", help="The stage to build.")
@click.option("--secret", "secrets", multiple=True, metavar="id=NAME[,src=PATH|,env=NAME]", help="A secret.")
@click.option("--ssh", "agents", multiple=True, metavar="default|NAME=SOCKET", help="An SSH agent.")
@click.option("--no-cache", is_flag=True, help="Do every step anew.")
@click.option(
    "--no-cache-filter", "no_cache_stages", multiple=True, metavar="STAGE", help="Only of this stage."
)
@click.option("--pull", is_flag=True, help="Ask the registry for base images even when they are here.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "quiet"]),
    default="auto",
    help="How it is shown.",
)
@click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="One or several platforms.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label of the image.")
@click.option("--annotation", "annotations", multiple=True, metavar="NAME=VALUE", help="For its manifest.")
@click.option("--cache-from", multiple=True, metavar="SOURCE", help="Use the cache of others.")
@click.option("--cache-to", multiple=True, metavar="TARGET", help="Give the cache to others.")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="TARGET", help="Where else the result goes."
)
@click.option("--push", is_flag=True, help="Push it to the registries of its names.")
@click.option("--load", is_flag=True, help="No effect: it is always in the store.")
@click.option("--squash", is_flag=True, help="Make one layer of those that are added.")
@click.option(
    "--network", type=click.Choice(["default", "none", "host"]), default="default", help="What RUN has."
)
@click.option("--allow", multiple=True, metavar="RIGHT", help="network.host, security.insecure.")
@click.option(
    "--sbom", is_flag=False, flag_value="true", metavar="BOOLEAN", help="Attest what is in the image."
)
@click.option(
    "--provenance",
    is_flag=False,
    flag_value="true",
    metavar="BOOLEAN|mode=max",
    help="Attest how it was made.",
)
@click.option(
    "--attest", "attests", multiple=True, metavar="type=sbom|provenance[,mode=max]", help="The same."
)
@click.option("--iidfile", metavar="PATH", help="Write the image's id there.")
@click.option("--metadata-file", metavar="PATH", help="Write facts about the image there, as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's id.")
@pass_engine
def build(
    engine: Engine,
    /,
    context: str,
    file: str | None,
    progress: str,
    quiet: bool,
    iidfile: str | None,
    metadata_file: str | None,
    **flags: Any,
) -> None:
    """Make an image as a Dockerfile says.

    CONTEXT is a directory, a git repository or archive by its URL, or '-' for an archive or a Dockerfile on
    standard input.
    """
    from container_kit.images import Image

    with build_progress("quiet" if quiet else progress) as report:
        image = Image.build(
            _context(context, file),
            dockerfile=_dockerfile(context, file),
            progress=report,
            engine=engine,
            **_wishes(**flags),
        )
    _write_facts(image, iidfile, metadata_file)
    if quiet:
        click.echo(str(image.id))


def _wishes(
    *,
    tags: tuple[str, ...],
    build_args: tuple[str, ...],
    contexts: tuple[str, ...],
    secrets: tuple[str, ...],
    agents: tuple[str, ...],
    no_cache: bool,
    no_cache_stages: tuple[str, ...],
    platforms: tuple[str, ...],
    outputs: tuple[str, ...],
    push: bool,
    load: bool,
    sbom: str | None,
    provenance: str | None,
    attests: tuple[str, ...],
    **as_they_are: Any,
) -> dict[str, Any]:
    """The flags as arguments of `Image.build`."""
    if push and not tags:
        raise InvalidInput("--push needs a name to push to: give it with --tag")
    pushes = tuple(f"type=registry,name={tag}" for tag in tags) if push else ()
    return {
        "tag": tags,
        "build_args": _arguments(build_args),
        "contexts": dict(_pair(one, "--build-context") for one in contexts),
        "secrets": dict(_secret(one) for one in secrets),
        "ssh": agents,
        "no_cache": no_cache or no_cache_stages,
        "platform": ",".join(platforms) or None,
        "output": (*outputs, *pushes) or None,
        **_attestations(sbom, provenance, attests),
        **as_they_are,
    }


def _attestations(sbom: str | None, provenance: str | None, attests: tuple[str, ...]) -> dict[str, Any]:
    """docker's three ways of asking for attestations."""
    wishes = {"sbom": sbom, "provenance": provenance}
    for text in attests:
        words = dict(_pair(word, "--attest") for word in text.split(","))
        if words.get("type") not in wishes:
            raise InvalidInput(f"--attest {text!r}: use type=sbom or type=provenance")
        is_off = words.get("disabled") == "true"
        wishes[words["type"]] = "false" if is_off else words.get("mode", "true")
    found = {
        kind: {"true": True, "false": False, None: False}.get(text, text) for kind, text in wishes.items()
    }
    if not isinstance(found["sbom"], bool):
        raise InvalidInput(f"--sbom {sbom!r}: use true or false; other generators are not supported")
    return found


def _context(context: str, file: str | None) -> str | IO[bytes]:
    if context != "-":
        return context
    if file == "-":
        raise InvalidInput("the context and the Dockerfile cannot both come from standard input")
    return sys.stdin.buffer


def _dockerfile(context: str, file: str | None) -> str | bytes | None:
    """As docker reads ``-f``: from here where the context is a directory, else within the context."""
    if file is None:
        return None
    if file == "-":
        return sys.stdin.buffer.read()
    return os.path.abspath(file) if os.path.isdir(context) else file


def _arguments(given: tuple[str, ...]) -> dict[str, str]:
    """``NAME`` alone takes its value from the environment, and counts as not given when there is none."""
    pairs = (word.partition("=") for word in given)
    found = {name: value if sign else os.environ.get(name) for name, sign, value in pairs}
    return {name: value for name, value in found.items() if value is not None}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.UsageError(f"{option} {text!r} is not written NAME=VALUE.")
    return name, value


def _secret(text: str) -> tuple[str, Secret]:
    from container_kit.images import Secret

    words = dict(_pair(word, "--secret") for word in text.split(","))
    name = words.get("id", "")
    if not name:
        raise click.UsageError(
            f"--secret {text!r} has no id: write id=NAME,src=PATH or id=NAME,env=VARIABLE."
        )
    path = words.get("src") or words.get("source")
    if path:
        return name, Secret.file(path)
    if "env" in words or words.get("type") == "env" or name in os.environ:
        return name, Secret.env(words.get("env") or name)
    return name, Secret.file(name)


def _write_facts(image: Image, iidfile: str | None, metadata_file: str | None) -> None:
    if iidfile:
        with open(iidfile, "w") as file:
            file.write(str(image.id))
    if metadata_file:
        facts = {
            "containerimage.config.digest": str(image.id),
            "containerimage.digest": str(image.digest),
            "containerimage.descriptor": image.manifest.descriptor(image.config.platform).to_json(),
            "image.name": ",".join(image.names),
        }
        with open(metadata_file, "w") as file:
            json.dump(facts, file, indent=2)
            file.write("\n")
