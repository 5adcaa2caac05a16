"""Media types of image documents and layers, in their OCI and their Docker spelling.

Source: OCI image-spec, media-types.md; distribution, "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER",
    "DOCKER_LAYER_GZIP",
    "DOCKER_MANIFEST",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_EMPTY",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_LAYER_GZIP",
    "OCI_LAYER_ZSTD",
    "OCI_MANIFEST",
    "is_foreign_layer",
    "is_media_type",
    "layer_compression",
]

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})

_COMPRESSION: Final = {
    OCI_LAYER: "none",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}
_NAME: Final = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_is_media_type: Final = re.compile(f"{_NAME}/{_NAME}").fullmatch


def is_media_type(text: str) -> bool:
    """Whether *text* is written as RFC 6838 asks: ``type/subtype``, each at most 127 characters."""
    return _is_media_type(text) is not None


def is_foreign_layer(media_type: str) -> bool:
    """Whether a layer of this type is not to be distributed, and so kept on servers of its own."""
    return "nondistributable" in media_type or ".foreign." in media_type


def layer_compression(media_type: str) -> str | None:
    """``none``, ``gzip`` or ``zstd`` for the media type of a layer; None if it is no layer."""
    return _COMPRESSION.get(media_type)
