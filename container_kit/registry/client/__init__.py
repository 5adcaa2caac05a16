"""The client side of registries: the OCI distribution protocol, credentials, certificates, mirrors.

Blocking calls for threads; nothing here knows the store or what an image is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.registry.client.client import RegistryClient
    from container_kit.registry.client.login import login, logout
    from container_kit.registry.client.options import Credentials, RegistryOptions

_HOME = {
    "Credentials": ".options",
    "RegistryClient": ".client",
    "RegistryOptions": ".options",
    "login": ".login",
    "logout": ".login",
}

__all__ = ["Credentials", "RegistryClient", "RegistryOptions", "login", "logout"]

__getattr__ = resolver(__name__, _HOME)
