"""A registry server: the OCI distribution specification 1.1, inside the caller's process.

Names are resolved on first use: nothing of the web server is imported before a registry is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.registry.server.auth import Auth as Auth
    from container_kit.registry.server.mirror import Upstream as Upstream
    from container_kit.registry.server.options import ServerLimits as ServerLimits
    from container_kit.registry.server.registry import Registry as Registry
    from container_kit.registry.server.tls import Tls as Tls

__all__ = ["Auth", "Registry", "ServerLimits", "Tls", "Upstream"]

_HOME = {
    "Auth": ".auth",
    "Registry": ".registry",
    "ServerLimits": ".options",
    "Tls": ".tls",
    "Upstream": ".mirror",
}

__getattr__ = resolver(__name__, _HOME)
