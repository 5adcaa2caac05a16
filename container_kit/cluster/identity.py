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
    front_proxy: Authority  # signs what the API server shows to aggregated ones

    @classmethod
    def of(cls, folder: str) -> Identity:
        """That of the cluster in *folder*, made when it has none; a new one if *folder* is empty."""
        if not folder:
            return cls._new()
        pki = f"{folder}/pki"
        if not os.path.exists(f"{pki}/sa.key"):
            _save(cls._new(), pki)
        issuer = TokenIssuer.from_pem(_read(f"{pki}/sa.key"))
        return cls(_authority(f"{pki}/ca"), issuer, _authority(f"{pki}/front-proxy-ca"))

    @classmethod
    def _new(cls) -> Identity:
        return cls(Authority.create(), TokenIssuer.create(), Authority.create("front-proxy-ca"))

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
    for name, authority in (("ca", identity.authority), ("front-proxy-ca", identity.front_proxy)):
        _write(f"{pki}/{name}.crt", authority.certificate)
        _write(f"{pki}/{name}.key", authority.key)
    _write(f"{pki}/sa.key", identity.issuer.key)


def _authority(path: str) -> Authority:
    return Authority.from_pem(_read(f"{path}.crt"), _read(f"{path}.key"))


def _write(path: str, data: bytes) -> None:
    with open(f"{path}.new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
