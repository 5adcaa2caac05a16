"""How a registry behaves: what it refuses, and what it gives at most."""

from __future__ import annotations

from typing import Any

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci.json_document import MAX_DOCUMENT_BYTES
from container_kit.registry.server.auth import Auth
from container_kit.registry.server.tls import Tls

__all__ = ["ServerLimits", "ServerOptions"]


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and value <= 0:
        raise InvalidInput(f"{attribute.name} has to be more than 0, not {value}")


@attrs.frozen(kw_only=True)
class ServerLimits:
    """What one registry server gives at most.

    Args:
        connections: Open connections; when there are more, those that ask for nothing are closed,
            or the new one if all ask for something.
        handshakes: TLS handshakes at once; when there are more, the oldest is given up.
        handshake_timeout_s: Seconds for a TLS handshake.
        idle_timeout_s: Seconds in which the whole head of a request must come, also the first.
        stall_timeout_s: Seconds without a byte, in a body or a download, after which it is given up.
        least_rate: Bytes a second that a transfer must make on average, after *stall_timeout_s*.
        header_bytes: Bytes of one header field or of the request line.
        manifest_bytes: Bytes of a manifest.
        blob_bytes: Bytes of a blob; None means as many as the disk takes.
        uploads: Uploads that are unfinished at once.
        upload_expiry_s: Seconds after which an upload that nobody continues is removed.
        grace_s: Seconds for which a blob is spared by collections before a manifest names it.
        shutdown_timeout_s: Seconds for which requests may go on when the server is closed.

    Raises:
        InvalidInput: A value is not positive; names the field.
    """

    connections: int = attrs.field(default=1000, validator=_positive)
    handshakes: int = attrs.field(default=100, validator=_positive)
    handshake_timeout_s: float = attrs.field(default=10.0, validator=_positive)
    idle_timeout_s: float = attrs.field(default=60.0, validator=_positive)
    stall_timeout_s: float = attrs.field(default=60.0, validator=_positive)
    least_rate: int = attrs.field(default=16 * 1024, validator=_positive)
    header_bytes: int = attrs.field(default=16 * 1024, validator=_positive)
    manifest_bytes: int = attrs.field(default=MAX_DOCUMENT_BYTES, validator=_positive)
    blob_bytes: int | None = attrs.field(default=None, validator=_positive)
    uploads: int = attrs.field(default=2000, validator=_positive)
    upload_expiry_s: float = attrs.field(default=24 * 3600.0, validator=_positive)
    grace_s: float = attrs.field(default=3600.0, validator=_positive)
    shutdown_timeout_s: float = attrs.field(default=10.0, validator=_positive)


@attrs.frozen(kw_only=True)
class ServerOptions:
    """All about one server that does not concern where it keeps things.

    Args:
        host, port: Where it listens; port 0 means a free one.
        auth: Who may use it; None means anyone who reaches it.
        tls: Its certificate; None means plain HTTP.
        hostnames: Names that clients call it by.
        behind_proxy: Something before it speaks TLS with clients, so passwords may come in plain HTTP.
        read_only: Refuse every push and every deletion.
        delete: Allow deletions: of manifests, by digest and by tag, and of blobs.
        metrics: Serve ``/metrics`` to callers with the right ``catalog``.
        limits: What it gives at most.

    Raises:
        InvalidInput: It would be open to everyone on a network, or let passwords cross one unprotected.
    """

    host: str = "127.0.0.1"
    port: int = 0
    auth: Auth | None = None
    tls: Tls | None = None
    hostnames: tuple[str, ...] = ()
    behind_proxy: bool = False
    read_only: bool = False
    delete: bool = True
    metrics: bool = False
    limits: ServerLimits = attrs.field(factory=ServerLimits)

    def refuse_exposure(self, loopback: bool) -> None:
        """Check the promises above, now that it is known where the server listens."""
        is_local = loopback and not self.behind_proxy
        if self.auth is not None and self.auth.tokens and not (is_local or self.hostnames):
            raise InvalidInput("tokens need `hostnames`: clients are told where to ask for one")
        if loopback:
            return
        if self.auth is None:
            raise InvalidInput(
                f"cannot serve a registry on {self.host} to everyone who reaches it: give `auth` "
                '(--htpasswd), or Auth(anonymous=("all",)) (--anonymous all) if that is meant'
            )
        if self.auth.has_users and self.tls is None and not self.behind_proxy:
            raise InvalidInput(
                f"cannot serve a registry on {self.host} without TLS: passwords would cross the network in "
                "the clear; give `tls`, or behind_proxy=True if something before it speaks TLS"
            )
