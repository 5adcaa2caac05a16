"""Signatures of images as cosign makes them, and the policy that says which images may be pulled.

Keys only: certificates, transparency logs and GPG signatures are refused by name, never passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.registry.signatures.keys import PublicKey, SigningKey
    from container_kit.registry.signatures.payload import Payload
    from container_kit.registry.signatures.policy import SignaturePolicy
    from container_kit.registry.signatures.signing import sign
    from container_kit.registry.signatures.verifying import Verified, verify

_HOME = {
    "Payload": ".payload",
    "PublicKey": ".keys",
    "SignaturePolicy": ".policy",
    "SigningKey": ".keys",
    "Verified": ".verifying",
    "sign": ".signing",
    "verify": ".verifying",
}

__all__ = ["Payload", "PublicKey", "SignaturePolicy", "SigningKey", "Verified", "sign", "verify"]

__getattr__ = resolver(__name__, _HOME)
