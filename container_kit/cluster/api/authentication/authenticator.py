"""From credentials to users: a client certificate, a bearer token, or none.

Source: Kubernetes documentation, "Authenticating"; the order (certificate, token, anonymous) and the extra
``credential-id`` are those of the real server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from container_kit.cluster.api.authentication.tokens import ISSUER, BadToken, Claims, TokenIssuer
from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.meta.status import unauthorized

__all__ = ["Authenticator", "user_of_certificate"]

_AUTHENTICATED: Final = "system:authenticated"
_CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
_RESOURCES: Final = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_CERTIFICATES_KEPT: Final = 256

UidOf = Callable[[str, str, str], str | None]


class Authenticator:
    """Finds out who asks.

    Args:
        issuer: Of the tokens of service accounts.
        uid_of: The UID of the object of this resource, namespace and name, None if there is none.
        static: Users by their token.
        is_anonymous_allowed: Whether one may ask without credentials.
    """

    def __init__(
        self,
        issuer: TokenIssuer,
        uid_of: UidOf,
        *,
        static: Mapping[str, User] | None = None,
        is_anonymous_allowed: bool = True,
    ) -> None:
        self._issuer, self._uid_of = issuer, uid_of
        # By their digest: a look-up in a table takes as long for a wrong token as for one nearly right.
        self._static = {_digest(token): user for token, user in (static or {}).items()}
        self._is_anonymous_allowed = is_anonymous_allowed
        self._certificates: dict[bytes, User] = {}

    def authenticate(self, request: Request) -> User | None:
        """The user of a request, by its certificate or its headers; None for one without credentials.

        Raises:
            StatusError: 401: the token is wrong, or there are no credentials where some are needed.
        """
        if request.certificate is not None:
            return self._by_certificate(request.certificate)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self._by_token(token.strip())
        if scheme or not self._is_anonymous_allowed:
            raise unauthorized()
        return None

    def review(self, token: str, audiences: Sequence[str] = ()) -> dict[str, Any]:
        """The status of a TokenReview: whose token it is, for which of these audiences."""
        user = self._static.get(_digest(token))
        wanted = tuple(audiences) or (ISSUER,)
        if user is not None:
            return {"authenticated": True, "user": user.info(), "audiences": list(wanted)}
        try:
            claims = self._verified(token, wanted)
        except BadToken as error:
            return {"user": {}, "error": str(error)}
        shared = [audience for audience in wanted if audience in claims.audiences]
        return {"authenticated": True, "user": _service_account(claims).info(), "audiences": shared}

    def _by_certificate(self, certificate: bytes) -> User:
        user = self._certificates.get(certificate)
        if user is None:
            if len(self._certificates) >= _CERTIFICATES_KEPT:
                self._certificates.clear()
            user = self._certificates[certificate] = user_of_certificate(certificate)
        return user

    def _by_token(self, token: str) -> User:
        user = self._static.get(_digest(token))
        if user is not None:
            return user
        try:
            return _service_account(self._verified(token, (ISSUER,)))
        except BadToken:
            raise unauthorized() from None

    def _verified(self, token: str, audiences: Sequence[str]) -> Claims:
        if not self._issuer.is_ours(token):
            raise BadToken("invalid bearer token")
        claims = self._issuer.verify(token)
        if not set(audiences) & set(claims.audiences):
            raise BadToken(
                f"[invalid bearer token, token audiences {_listed(claims.audiences)} is invalid for"
                f" the target audiences {_listed(audiences)}]"
            )
        self._check_existence(claims)
        return claims

    def _check_existence(self, claims: Claims) -> None:
        """A token ends with its account, and with what it is bound to."""
        if self._uid_of("serviceaccounts", claims.namespace, claims.name) != claims.uid:
            raise BadToken("[invalid bearer token, service account has been deleted]")
        for bound in claims.bound:
            namespace = "" if bound.kind == "Node" else claims.namespace
            if self._uid_of(_RESOURCES[bound.kind], namespace, bound.name) != bound.uid:
                raise BadToken(
                    f"[invalid bearer token, {bound.kind.lower()} {bound.name!r} has been deleted]"
                )


def user_of_certificate(certificate: bytes) -> User:
    """The user that a verified certificate (DER) names: common name and organizations."""
    from cryptography import x509

    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if not names or not names[0].value:
        raise unauthorized()
    groups = [str(one.value) for one in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]
    if _AUTHENTICATED not in groups:
        groups.append(_AUTHENTICATED)
    fingerprint = hashlib.sha256(certificate).hexdigest()
    return User(str(names[0].value), tuple(groups), extra={_CREDENTIAL_ID: [f"X509SHA256={fingerprint}"]})


def _service_account(claims: Claims) -> User:
    extra = {_CREDENTIAL_ID: [f"JTI={claims.token_id}"]}
    for bound in claims.bound:
        if bound.kind in ("Pod", "Node"):
            prefix = f"authentication.kubernetes.io/{bound.kind.lower()}"
            extra |= {f"{prefix}-name": [bound.name], f"{prefix}-uid": [bound.uid]}
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{claims.namespace}", _AUTHENTICATED)
    return User(f"system:serviceaccount:{claims.namespace}:{claims.name}", groups, claims.uid, extra)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _listed(words: Sequence[str]) -> str:
    """As Go prints a list of texts."""
    return "[" + " ".join(f'"{word}"' for word in words) + "]"
