"""Descriptors: how one document points at another piece of content."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

import attrs

from container_kit._values import frozen
from container_kit.errors import CorruptData, InvalidInput
from container_kit.oci.digest import Digest
from container_kit.oci.json_document import Fields
from container_kit.oci.media_types import is_media_type
from container_kit.oci.platform import Platform

__all__ = ["Descriptor"]

_KNOWN: Final = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")


@frozen
class Descriptor:
    """Type, address and length of some content.

    Args:
        media_type: What the content is.
        digest: Its address.
        size: Its length in bytes.
        urls: Other places to fetch it from; never followed without being asked.
        annotations: Free text, by key.
        data: The content itself, if it is embedded; always checked against *digest* and *size*.
        platform: In an index, the platform the manifest is for.
        artifact_type: What kind of artifact the manifest describes, or empty.

    Raises:
        InvalidInput: The media type or the size cannot be one.
        CorruptData: *data* is not the content that *digest* and *size* promise.

    Source: OCI image-spec, descriptor.md.
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    data: bytes | None = None
    platform: Platform | None = None
    artifact_type: str = ""

    def __attrs_post_init__(self) -> None:
        if not is_media_type(self.media_type):
            raise InvalidInput(f"{self.media_type[:80]!r} is not a media type")
        if not 0 <= self.size < 2**63:
            raise InvalidInput(f"size {self.size} of {self.digest} is not a length in bytes")
        if self.data is not None and (len(self.data) != self.size or not self.digest.matches(self.data)):
            raise CorruptData(f"the data embedded with {self.digest} is not that content")

    @classmethod
    def of(cls, data: bytes, media_type: str, **more: Any) -> Descriptor:
        """The descriptor of *data*."""
        return cls(media_type, Digest.of(data), len(data), **more)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Descriptor:
        fields = Fields(value, where, _KNOWN)
        if "size" not in fields:
            raise InvalidInput(f"{where} has no 'size'")
        return cls(
            media_type=fields.required_text("mediaType"),
            digest=Digest.parse(fields.required_text("digest")),
            size=fields.integer("size"),
            urls=fields.texts("urls"),
            annotations=fields.text_map("annotations"),
            data=_embedded(fields),
            platform=Platform.from_json(fields.raw("platform"), fields.where("platform"))
            if "platform" in fields
            else None,
            artifact_type=fields.text("artifactType"),
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            value["urls"] = list(self.urls)
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.data is not None:
            value["data"] = binascii.b2a_base64(self.data, newline=False).decode()
        if self.platform is not None:
            value["platform"] = self.platform.to_json()
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        return value


def _embedded(fields: Fields) -> bytes | None:
    if "data" not in fields:
        return None
    try:
        return binascii.a2b_base64(fields.text("data"), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(f"{fields.where('data')} is not base64: {error}") from error
