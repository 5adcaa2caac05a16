"""The packages of an image as an SPDX document.  Equal inputs give equal documents.

Source: SPDX 2.3, "Document Creation", "Package Information".
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any, Final

from container_kit._version import __version__
from container_kit.build.attestations.packages import Package
from container_kit.oci import Digest

__all__ = ["PREDICATE", "spdx_document"]

PREDICATE: Final = "https://spdx.dev/Document"
_NOTHING: Final = "NOASSERTION"
_IMAGE: Final = "SPDXRef-Image"


def spdx_document(image: Digest, created: str, packages: Iterable[Package]) -> dict[str, Any]:
    """The document for the image whose manifest is *image*; *created* is its own time, as RFC 3339 has it."""
    described = [_package(one) for one in packages]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"image {image}",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'spdx:{image}')}",
        "creationInfo": {
            "creators": [f"Tool: container_kit-{__version__}"],
            "created": f"{created.partition('.')[0].removesuffix('Z')}Z",
        },
        "packages": [_image(image), *described],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _IMAGE),
            *(_relation(_IMAGE, "CONTAINS", one["SPDXID"]) for one in described),
        ],
    }


def _image(image: Digest) -> dict[str, Any]:
    return {
        **_common(_IMAGE, "image", str(image)),
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": image.algorithm.upper(), "checksumValue": image.hex}],
    }


def _package(package: Package) -> dict[str, Any]:
    key = hashlib.sha256(package.purl.encode()).hexdigest()[:16]
    return {
        **_common(f"SPDXRef-Package-{package.kind}-{key}", package.name, package.version),
        **({"supplier": f"Person: {package.supplier}"} if package.supplier else {}),
        # What packages say is rarely an expression of SPDX, and would be refused where it is not.
        **({"licenseComments": f"The package says: {package.license}"} if package.license else {}),
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }


def _common(key: str, name: str, version: str) -> dict[str, Any]:
    return {
        "SPDXID": key,
        "name": name,
        "versionInfo": version,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING,
        "copyrightText": _NOTHING,
    }


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
