"""Who a cluster is: the authority that signs its certificates, and the key of its service account tokens.

A cluster that is kept has them in ``pki`` of its folder (mode 0600); one in memory makes new ones.
"""

from __future__ import annotations

import os

from container_kit._values import frozen
from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.api.authentication.tokens import BoundTo, TokenIssuer
from container_kit.cluster.meta import Object

__all__ = ["Identity"]

_FOR_EVER_S = 10 * 365 * 86400  # as long as the authority's certificate: it ends with its Secret


@frozen
class Identity:
    """The secrets of one cluster."""

    authority: Authority
    issuer: TokenIssuer

    @classmethod
    def of(cls, folder: str) -> Identity:
        """That of the cluster in *folder*, made when it has none; a new one if *folder* is empty."""
        if not folder:
            return cls(Authority.create(), TokenIssuer.create())
        pki = f"{folder}/pki"
        if not os.path.exists(f"{pki}/sa.key"):
            _save(cls(Authority.create(), TokenIssuer.create()), pki)
        certificate, key, issuer = (_read(f"{pki}/{name}") for name in ("ca.crt", "ca.key", "sa.key"))
        return cls(Authority.from_pem(certificate, key), TokenIssuer.from_pem(issuer))

    def sign(self, account: Object, secret: Object) -> str:
        """The token, without an end, that a Secret of type ``service-account-token`` holds."""
        meta, bound = account["metadata"], secret["metadata"]
        return self.issuer.issue(
            meta["namespace"],
            meta["name"],
            meta["uid"],
            lifetime_s=_FOR_EVER_S,
            bound=(BoundTo("Secret", bound["name"], bound["uid"]),),
        )


def _save(identity: Identity, pki: str) -> None:
    """The file that is looked for comes last: what a crash leaves is made anew."""
    os.makedirs(pki, 0o700, exist_ok=True)
    _write(f"{pki}/ca.crt", identity.authority.certificate)
    _write(f"{pki}/ca.key", identity.authority.key)
    _write(f"{pki}/sa.key", identity.issuer.key)


def _write(path: str, data: bytes) -> None:
    with open(f"{path}.new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
