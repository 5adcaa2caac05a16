"""How an image was built, as a SLSA provenance.  No secret, no value of an argument, no credential of a URL.

Version 0.2, which every release of docker and buildx with attestations reads.  Nothing of this host and no
time is in it, so that equal builds have equal provenances.

Source: slsa.dev/provenance/v0.2; moby/buildkit, docs/attestations/slsa-provenance.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import attrs

from container_kit._version import __version__
from container_kit.build.attestations.words import Mode
from container_kit.errors import InvalidInput
from container_kit.oci import Digest, Platform, Reference

if TYPE_CHECKING:
    from container_kit.build.options import BuildOptions

__all__ = ["PREDICATE", "Facts", "image_purl", "provenance"]

PREDICATE: Final = "https://slsa.dev/provenance/v0.2"


@attrs.frozen(kw_only=True)
class Facts:
    """What a build was made of.

    Args:
        dockerfile, dockerfile_digest: Its name and content.
        bases: The images that stages began with or copied from, as the Dockerfile names them.
        remote: URL of the context, if it came from elsewhere.
        platform: What was built.
    """

    dockerfile: str
    dockerfile_digest: Digest
    bases: Sequence[tuple[str, Digest, Platform]]
    remote: str
    platform: Platform


def provenance(facts: Facts, options: BuildOptions, mode: Mode) -> dict[str, Any]:
    """The predicate; "max" adds what the build was asked for: names of arguments, secrets and agents."""
    source: dict[str, Any] = {
        "entryPoint": os.path.basename(facts.dockerfile),
        "digest": {facts.dockerfile_digest.algorithm: facts.dockerfile_digest.hex},
    }
    if facts.remote:
        source["uri"] = _without_secrets(facts.remote)
    return {
        "builder": {"id": ""},
        "buildType": f"https://mobyproject.org/buildkit@v1?frontend=container_kit-{__version__}",
        "materials": [_material(*base) for base in sorted(facts.bases, key=lambda base: base[0])],
        "invocation": {
            "configSource": source,
            "parameters": {"frontend": "dockerfile.v0", **(_asked(options) if mode == "max" else {})},
            "environment": {"platform": str(facts.platform)},
        },
        "metadata": {
            "completeness": {"parameters": False, "environment": True, "materials": False},
            "reproducible": False,
        },
    }


def image_purl(reference: Reference, platform: Platform) -> str:
    """Source: package-url, PURL-TYPES, "docker"."""
    version = str(reference.digest) if reference.digest is not None else reference.tag or "latest"
    name = quote(reference.familiar_repository, safe="/")
    return f"pkg:docker/{name}@{quote(version, safe='')}?platform={quote(str(platform), safe='')}"


def _material(name: str, digest: Digest, platform: Platform) -> dict[str, Any]:
    try:
        uri = image_purl(Reference.parse(name), platform)
    except InvalidInput:  # it was named by its id
        uri = f"pkg:docker/{digest}"
    return {"uri": uri, "digest": {digest.algorithm: digest.hex}}


def _asked(options: BuildOptions) -> dict[str, Any]:
    asked: dict[str, Any] = {"args": {f"build-arg:{name}": "" for name in sorted(options.build_args)}}
    if options.target:
        asked["args"]["target"] = options.target
    names: Mapping[str, Any] = {"secrets": options.secrets, "ssh": options.ssh}
    for kind, given in names.items():
        if given:
            asked[kind] = [{"id": name} for name in sorted(given)]
    return asked


def _without_secrets(url: str) -> str:
    """Scheme, host and path: user names, passwords, tokens of a query and fragments may be secrets."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url.partition("#")[0].partition("?")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
