"""Docker and Kubernetes as a Python library: no daemon, no socket, nothing left behind.

Names are resolved on first use, so that ``import container_kit`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver
from container_kit._version import __version__

if TYPE_CHECKING:  # the same names for type checkers and editors
    from container_kit import aio as aio
    from container_kit import wait as wait
    from container_kit.cluster.cluster import Cluster as Cluster
    from container_kit.containers.container import Container as Container
    from container_kit.containers.engine import Engine as Engine
    from container_kit.containers.foreground import run as run
    from container_kit.containers.health import HealthCheck as HealthCheck
    from container_kit.containers.monitor_config import LogOptions as LogOptions
    from container_kit.containers.mounts import Mount as Mount
    from container_kit.containers.options import ContainerOptions as ContainerOptions
    from container_kit.containers.restart import RestartPolicy as RestartPolicy
    from container_kit.containers.results import ContainerInfo as ContainerInfo
    from container_kit.containers.results import ExecResult as ExecResult
    from container_kit.containers.results import RunResult as RunResult
    from container_kit.containers.sandbox import Sandbox as Sandbox
    from container_kit.containers.sandbox import SandboxResult as SandboxResult
    from container_kit.errors import *  # noqa: F403
    from container_kit.images import Image as Image
    from container_kit.images import ManifestList as ManifestList
    from container_kit.images import Secret as Secret
    from container_kit.images import Snapshot as Snapshot
    from container_kit.images import sign as sign
    from container_kit.images import verify as verify
    from container_kit.network import EndpointRequest as EndpointRequest
    from container_kit.network import Network as Network
    from container_kit.network import Shaping as Shaping
    from container_kit.oci.progress import Progress as Progress
    from container_kit.pods.pod import Pod as Pod
    from container_kit.registry.client import Credentials as Credentials
    from container_kit.registry.client import RegistryOptions as RegistryOptions
    from container_kit.registry.server import Registry as Registry
    from container_kit.registry.signatures import PublicKey as PublicKey
    from container_kit.registry.signatures import SigningKey as SigningKey
    from container_kit.runtime.limits import Limits as Limits
    from container_kit.runtime.profiles import Profile as Profile
    from container_kit.volumes import Volume as Volume

# Where the public names live; a module is imported when one of its names is first used.
_HOMES = {
    "container_kit.cluster.cluster": "Cluster",
    "container_kit.containers.container": "Container",
    "container_kit.containers.engine": "Engine",
    "container_kit.containers.foreground": "run",
    "container_kit.containers.health": "HealthCheck",
    "container_kit.containers.monitor_config": "LogOptions",
    "container_kit.containers.mounts": "Mount",
    "container_kit.containers.options": "ContainerOptions",
    "container_kit.containers.restart": "RestartPolicy",
    "container_kit.containers.results": "ContainerInfo ExecResult RunResult",
    "container_kit.containers.sandbox": "Sandbox SandboxResult",
    "container_kit.errors": """
        AccessDenied BuildFailed CommandFailed Conflict ContainerEnded ContainerKitError CorruptData
        InvalidInput KernelError LimitExceeded NameInUse NotFound PermissionMissing StartFailed
        StoreFull StoreTooNew TimedOut UnknownOption Unreachable UnsupportedFeature Untrusted WrongState
    """,
    "container_kit.images": "Image ManifestList Secret Snapshot sign verify",
    "container_kit.network": "EndpointRequest Network Shaping",
    "container_kit.oci.progress": "Progress",
    "container_kit.pods": "Pod",
    "container_kit.registry.client": "Credentials RegistryOptions",
    "container_kit.registry.server": "Registry",
    "container_kit.registry.signatures": "PublicKey SigningKey",
    "container_kit.runtime.limits": "Limits",
    "container_kit.runtime.profiles": "Profile",
    "container_kit.volumes": "Volume",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
# Modules that are used by their name: `ck.wait.port(80)`.
_HOME |= dict.fromkeys(("aio", "wait"), "")

__all__ = ["__version__", *_HOME]

__getattr__ = resolver(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
