"""What a caller may ask of the client: credentials, trust, patience.  Values only."""

from __future__ import annotations

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Credentials", "RegistryOptions"]


@attrs.frozen(kw_only=True)
class Credentials:
    """Who we are for one registry.  Secrets never show in ``repr``, errors or logs.

    Args:
        username, password: For basic authentication, or to ask for tokens with.
        identity_token: A refresh token of OAuth 2, given by an earlier login, instead of a password.
    """

    username: str = ""
    password: str = attrs.field(default="", repr=False)
    identity_token: str = attrs.field(default="", repr=False)

    def __attrs_post_init__(self) -> None:
        if ":" in self.username or any(ord(letter) < 32 for letter in self.username + self.password):
            raise InvalidInput("a user name has no colon, and neither it nor a password control characters")

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token)


@attrs.frozen(kw_only=True)
class RegistryOptions:
    """How registries are talked to, where the files of docker and podman do not say enough.

    Args:
        credentials: Used for the registry that the image's name says, instead of stored ones.
        auth_file: Read credentials from this file alone.
        tls_verify: False takes any certificate, and plain http where a registry has no TLS.
        ca_file: Certificates (PEM) to trust besides the system's.
        certificate: Files (PEM) of a client certificate and its key.
        trusted_realms: Hosts that may be asked for tokens with the registry's credentials, beside the
            registry itself and its relatives (``auth.example.org`` for ``registry.example.org``).
        signature_policy: A file as containers-policy.json(5) has it, which says what may be pulled; None
            means that of the user or the host, if there is one.
        foreign_layers: Fetch layers that a manifest says to be on other servers.
        tries: How often a request is made before it counts as failed.
        connect_timeout_s: For the connection to one address.
        idle_timeout_s: How long a registry may be silent.
        deadline_s: For the whole of one call, or None.

    Raises:
        InvalidInput: A number is not positive.
    """

    credentials: Credentials | None = None
    auth_file: str | None = None
    tls_verify: bool = True
    ca_file: str | None = None
    certificate: tuple[str, str] | None = None
    trusted_realms: tuple[str, ...] = ()
    signature_policy: str | None = None
    foreign_layers: bool = False
    tries: int = 5
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0
    deadline_s: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("tries", "connect_timeout_s", "idle_timeout_s"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} has to be more than 0, not {getattr(self, name)!r}")
