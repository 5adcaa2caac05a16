"""What a pod asks of whoever runs it, and what it tells: types only.

A node agent implements them with the cluster's objects; a pod without a cluster has the provider of
`container_kit.pods.providing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import attrs

from container_kit.errors import ContainerKitError
from container_kit.pods.backoff import BackOffTimes

if TYPE_CHECKING:
    from container_kit.containers.mounts import Mount
    from container_kit.images import Image
    from container_kit.pods.pod import Pod

__all__ = ["Handling", "NotReady", "Object", "Observer", "PodEvent", "Provider", "Provision", "Silent"]

Object: TypeAlias = dict[str, Any]  # a Kubernetes object, or a part of one, as JSON gives it


class NotReady(ContainerKitError):
    """A container cannot be started yet; it is tried again after a while.

    Attributes:
        reason: For its waiting state, such as ``ErrImagePull`` or ``CreateContainerConfigError``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@attrs.frozen(kw_only=True)
class Provision:
    """What one start of a container needs that its specification only refers to.

    Args:
        image: Present, whole.
        env: All variables, references resolved.
        mounts: For all of its ``volumeMounts``, with their sub-paths.
        options: Further keywords of `ContainerOptions`; they win over what the specification means.
    """

    image: Image | str
    env: Mapping[str, str] = attrs.field(factory=dict, repr=lambda env: repr(list(env)))
    mounts: tuple[Mount, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)


# Called by a worker thread before every start of a container, with the container's part of the
# specification; may block, pull an image, and raise `NotReady`.
Provider: TypeAlias = Callable[["Pod", Object], Provision]


@attrs.frozen(kw_only=True)
class PodEvent:
    """Something worth telling: the words of the kubelet's events.

    Args:
        container: Its name; empty for the pod as a whole.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""


class Observer(Protocol):
    """Who hears of a pod's life.  Called by the thread of all pods: it must only take note, and return."""

    def changed(self, pod: Pod) -> None:
        """`Pod.status` says something else than before."""

    def event(self, pod: Pod, event: PodEvent) -> None:
        """Something happened."""


@attrs.frozen
class Handling:
    """Who a supervised pod asks, who hears of it, and how long its restarts wait."""

    provider: Provider
    observer: Observer
    times: BackOffTimes


class Silent:
    """The observer of a pod that nobody watches."""

    def changed(self, pod: Pod) -> None:
        """Nobody asks."""

    def event(self, pod: Pod, event: PodEvent) -> None:
        """Nobody asks."""
