"""Manifests for tests, and a client that says exactly what it is told: raw HTTP from the standard library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import attrs

from container_kit.oci import Digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = b"{}"


def descriptor(data: bytes, media_type: str = OCI_LAYER, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data), **more}


def manifest(config: bytes, /, *layers: bytes, **more: Any) -> bytes:
    """An image manifest that names *config* and *layers*."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer) for layer in layers],
    }
    return json.dumps({**document, **more}).encode()


def index(*manifests: bytes, **more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(one, OCI_MANIFEST) for one in manifests],
        **more,
    }
    return json.dumps(document).encode()


@attrs.frozen
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The codes of the errors in it."""
        return [error["code"] for error in self.json["errors"]]


@attrs.define
class Client:
    """Requests to one registry, over one connection each."""

    address: str
    headers: dict[str, str] = attrs.field(factory=dict)

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
        query = f"?{urlencode(parameters)}" if parameters else ""
        try:
            connection.request(method, path + query, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes) -> Digest:
        digest = Digest.of(data)
        done = self("POST", f"/v2/{repository}/blobs/uploads/", data, digest=str(digest))
        assert done.status == 201, done
        return digest

    def push_manifest(
        self, repository: str, reference: str, raw: bytes, media_type: str = OCI_MANIFEST
    ) -> Answer:
        path = f"/v2/{repository}/manifests/{reference}"
        return self("PUT", path, raw, {"Content-Type": media_type})

    def push_image(self, repository: str, tag: str, *layers: bytes, **more: Any) -> bytes:
        """Push an image of *layers*; its manifest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "tag": tag}).encode()
        for blob in (config, *layers):
            self.push_blob(repository, blob)
        raw = manifest(config, *layers, **more)
        done = self.push_manifest(repository, tag, raw)
        assert done.status == 201, done
        return raw
