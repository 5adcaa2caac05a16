"""What is signed: the claim that a manifest of a digest goes by a name.

Read as strictly as those do who wrote the format: what a verifier does not understand, it must not accept.

Source: containers-signature(5), "JSON data format"; cosign, SIGNATURE_SPEC.md, "Simple Signing".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci import Digest, Reference
from container_kit.oci.json_document import Fields, encode, load_object

__all__ = ["MAX_PAYLOAD", "MEDIA_TYPE", "Payload"]

MEDIA_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
MAX_PAYLOAD: Final = 128 * 1024
_KIND: Final = "cosign container image signature"


@frozen
class Payload:
    """One claim.

    Args:
        identity: The name that the signer gave, with a tag or without.
        digest: Of the manifest.
        optional: Whatever else the signer had to say.
    """

    identity: Reference
    digest: Digest
    optional: Mapping[str, Any] = attrs.field(factory=dict, hash=False)

    @classmethod
    def parse(cls, raw: bytes) -> Payload:
        """The claim in *raw*.

        Raises:
            InvalidInput: It has a member too many or too few, or one that is not what it has to be.
            LimitExceeded: It is longer than 128 KiB.
        """
        document = load_object(raw, "the signed payload", MAX_PAYLOAD)
        top = _exactly(document, "payload", ("critical", "optional"))
        critical = _exactly(top.raw("critical"), "payload.critical", ("identity", "image", "type"))
        image = _exactly(critical.raw("image"), "payload.critical.image", ("docker-manifest-digest",))
        identity = _exactly(critical.raw("identity"), "payload.critical.identity", ("docker-reference",))
        if critical.required_text("type") != _KIND:
            raise InvalidInput(f"the signed payload is of the type {critical.text('type')[:80]!r}")
        optional = top.raw("optional")
        if optional is not None and not isinstance(optional, dict):
            raise InvalidInput("payload.optional is not a JSON object")
        return cls(
            Reference.parse(identity.required_text("docker-reference"), default_tag=None),
            Digest.parse(image.required_text("docker-manifest-digest")),
            optional or {},
        )

    def to_bytes(self) -> bytes:
        """As it is signed."""
        return encode(
            {
                "critical": {
                    "identity": {"docker-reference": str(self.identity)},
                    "image": {"docker-manifest-digest": str(self.digest)},
                    "type": _KIND,
                },
                "optional": dict(sorted(self.optional.items())),
            }
        )


def _exactly(value: Any, where: str, names: tuple[str, ...]) -> Fields:
    fields = Fields(value, where, names)
    if value.keys() != set(names):
        raise InvalidInput(f"{where} has not exactly the members {', '.join(names)}")
    return fields
