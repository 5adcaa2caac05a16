"""Tokens of service accounts: signed by the cluster, bound to an account and maybe to a pod, secret or node.

Only the signature and the times are checked here; whether the account still exists is for who knows the
objects.

PyJWT is imported with the first token: it would be a twentieth of a cluster's start.

Source: Kubernetes "Managing Service Accounts", "Bound service account tokens"; RFC 7519; OpenID Connect
Discovery 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from container_kit.errors import ContainerKitError, InvalidInput

__all__ = ["ISSUER", "BadToken", "BoundTo", "Claims", "TokenIssuer"]

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_ALGORITHM: Final = "ES256"
_KEYS_PATH: Final = "/openid/v1/jwks"


class BadToken(ContainerKitError):
    """The token is not one of this cluster, or not valid now."""


class BoundTo(NamedTuple):
    """The object with which a token ends: a ``Pod``, ``Secret`` or ``Node``."""

    kind: str
    name: str
    uid: str


class Claims(NamedTuple):
    """What a token says."""

    namespace: str
    name: str
    uid: str
    audiences: tuple[str, ...]
    token_id: str
    expires: int
    bound: tuple[BoundTo, ...]


class TokenIssuer:
    """Makes tokens and recognises its own.

    Args:
        now: Seconds since the epoch.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, *, now: Callable[[], float] = time.time) -> None:
        self._key, self._public, self._now = key, key.public_key(), now
        der = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    @classmethod
    def create(cls) -> TokenIssuer:
        """One with a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, key: bytes) -> TokenIssuer:
        """The one whose key was saved.

        Raises:
            InvalidInput: It is no such key.
        """
        try:
            loaded = serialization.load_pem_private_key(key, None)
        except ValueError as error:
            raise InvalidInput(f"the key for service accounts cannot be read: {error}") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise InvalidInput("the key for service accounts is not one for elliptic curves")
        return cls(loaded)

    @property
    def key(self) -> bytes:
        """The private key, PEM."""
        form = serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    def issue(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        audiences: Sequence[str] = (ISSUER,),
        lifetime_s: int = 3600,
        bound: Sequence[BoundTo] = (),
    ) -> str:
        """A token for a service account.

        Args:
            uid: Of the account: a later one of the same name is another.
            bound: The pod with its node, or the secret, without which the token is worth nothing.
        """
        import jwt

        now = int(self._now())
        kubernetes: dict[str, Any] = {"namespace": namespace}
        for one in bound:
            kubernetes[one.kind.lower()] = {"name": one.name, "uid": one.uid}
        kubernetes["serviceaccount"] = {"name": name, "uid": uid}
        claims = {
            "aud": list(audiences),
            "exp": now + lifetime_s,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": kubernetes,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return jwt.encode(claims, self._key, _ALGORITHM, {"kid": self._key_id})

    def is_ours(self, token: str) -> bool:
        """Whether the token says that this cluster has made it."""
        import jwt

        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return False
        return claims.get("iss") == ISSUER

    def verify(self, token: str) -> Claims:
        """What a token of ours says; audiences are for the caller to compare.

        Raises:
            BadToken: It is not ours, or its time is over.
        """
        import jwt

        # The key and the algorithm are ours whatever the token's own header asks for.
        try:
            claims = jwt.decode(
                token,
                self._public,
                [_ALGORITHM],
                {
                    "require": ["exp", "iat", "sub", "aud"],
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
                issuer=ISSUER,
            )
            kubernetes = claims["kubernetes.io"]
            account = kubernetes["serviceaccount"]
            found = Claims(
                kubernetes["namespace"],
                account["name"],
                account["uid"],
                tuple(claims["aud"]),
                claims.get("jti", ""),
                int(claims["exp"]),
                tuple(
                    BoundTo(kind, kubernetes[kind.lower()]["name"], kubernetes[kind.lower()]["uid"])
                    for kind in ("Pod", "Secret", "Node")
                    if kind.lower() in kubernetes
                ),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise BadToken(f"invalid bearer token: {error}") from error
        if not claims.get("nbf", 0) <= self._now() < found.expires:
            raise BadToken("service account token has expired")
        return found

    def jwks(self) -> dict[str, Any]:
        """The document with which others verify tokens, ``/openid/v1/jwks``."""
        numbers = self._public.public_numbers()
        point = {"x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
        return {
            "keys": [
                {"use": "sig", "kty": "EC", "kid": self._key_id, "crv": "P-256", "alg": _ALGORITHM, **point}
            ]
        }

    def discovery(self) -> dict[str, Any]:
        """The document ``/.well-known/openid-configuration``."""
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}{_KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
