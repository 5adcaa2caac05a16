"""The words of the OCI image layout: names of its files and annotations.

Source: OCI image-spec, image-layout.md, annotations.md.
"""

from __future__ import annotations

from typing import Final

from container_kit.oci import Digest
from container_kit.oci.json_document import encode

__all__ = ["INDEX", "LAYOUT", "LAYOUT_FILE", "NAME_ANNOTATIONS", "REF_NAME", "blob_path"]

INDEX: Final = "index.json"
LAYOUT_FILE: Final = "oci-layout"
LAYOUT: Final = encode({"imageLayoutVersion": "1.0.0"})
REF_NAME: Final = "org.opencontainers.image.ref.name"
# containerd writes the whole name beside the specification's, which is often only a tag.
NAME_ANNOTATIONS: Final = ("io.containerd.image.name", REF_NAME)


def blob_path(digest: Digest) -> str:
    """Where the blob stands below the layout's root."""
    return f"blobs/{digest.algorithm}/{digest.hex}"
