"""The images of a node's pods: from the engine's store, or pulled as the pod's policy says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from container_kit.cluster.meta import Clock, Object
from container_kit.cluster.node.environment import Lookup
from container_kit.cluster.node.pull_policy import NeverPulled, PullBackOff, decide, is_image_name
from container_kit.errors import ContainerKitError, InvalidInput, NotFound
from container_kit.pods.seam import NotReady

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.images import Image
    from container_kit.registry.client.credentials import AuthFile
    from container_kit.registry.client.options import Credentials

__all__ = ["ImageSource", "Tell"]

# About the image of one container: type, reason and message of an event.
Tell = Callable[[str, str, str], None]

_DOCKER_CONFIG = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}


class ImageSource:
    """Gives containers their images.

    An image that no registry has ever been asked for (built or loaded here) is taken as it is also by those
    who want it pulled ``Always``: there is no registry that could know a newer one.
    """

    def __init__(self, engine: Engine, lookup: Lookup, clock: Clock) -> None:
        self._engine, self._lookup, self._clock = engine, lookup, clock
        self._back_off = PullBackOff()
        self._locks: dict[str, threading.Lock] = {}

    def get(self, pod: Object, container: Object, tell: Tell) -> Image:
        """The image of a container of *pod*, which may have to be pulled first.

        Raises:
            NotReady: It cannot be had now; with the reason and the words of the kubelet.
        """
        try:
            return self._get(pod, container, tell)
        except NotReady as error:
            tell("Warning", "Failed", f"Error: {error.reason}")
            raise

    def _get(self, pod: Object, container: Object, tell: Tell) -> Image:
        name = container["image"]
        if not is_image_name(name):
            words = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}"'
            tell("Warning", "InspectFailed", f"{words}: invalid reference format")
            raise NotReady("InvalidImageName", f"{words}: invalid reference format")
        present = self._present(name)
        policy = container.get("imagePullPolicy") or "IfNotPresent"
        try:
            wanted = decide(policy, is_present=present is not None)
        except NeverPulled:
            tell(
                "Warning",
                "ErrImageNeverPull",
                f'Container image "{name}" is not present with pull policy of Never',
            )
            raise NotReady(
                "ErrImageNeverPull", f'Container image "{name}" is not present with pull policy of Never'
            ) from None
        if present is not None and (wanted == "use" or _is_of_here(present)):
            tell("Normal", "Pulled", f'Container image "{name}" already present on machine')
            return present
        return self._pull(pod, name, tell)

    def forget(self, uid: str) -> None:
        """The pod with this uid is gone."""
        self._back_off.forget(uid)

    def _present(self, name: str) -> Image | None:
        from container_kit.images import Image

        try:
            return Image.get(name, engine=self._engine)
        except (NotFound, InvalidInput):
            return None

    def _pull(self, pod: Object, name: str, tell: Tell) -> Image:
        key = (pod["metadata"]["uid"], name)
        problem = self._back_off.waiting(key, self._clock.monotonic())
        if problem is not None:
            tell("Normal", "BackOff", f'Back-off pulling image "{name}"')
            raise NotReady("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {problem}')
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        began = self._clock.monotonic()
        with self._locks.setdefault(name, threading.Lock()):
            try:
                image = self._pull_with_any(pod, name)
            except ContainerKitError as error:
                self._back_off.failed(key, str(error), self._clock.monotonic())
                tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
                raise NotReady("ErrImagePull", str(error)) from error
        self._back_off.succeeded(key)
        took = f"{self._clock.monotonic() - began:.3f}s"
        words = f'Successfully pulled image "{name}" in {took} ({took} including waiting)'
        tell("Normal", "Pulled", f"{words}. Image size: {image.size} bytes.")
        return image

    def _pull_with_any(self, pod: Object, name: str) -> Image:
        """Pulled with one of the pod's credentials for the registry, else with this machine's."""
        from container_kit.images import Image

        problem: ContainerKitError | None = None
        for credentials in (*self._credentials(pod, name), None):
            try:
                return Image.pull(name, policy="always", credentials=credentials, engine=self._engine)
            except ContainerKitError as error:
                problem = problem or error
        assert problem is not None
        raise problem

    def _credentials(self, pod: Object, name: str) -> Iterator[Credentials]:
        from container_kit.oci.reference import Reference

        reference = Reference.parse(name)
        for one in pod["spec"].get("imagePullSecrets") or ():
            secret = self._lookup.secret(pod["metadata"]["namespace"], one["name"])
            found = secret and _auth_file(secret)
            if found and (credentials := found.find(reference.domain, reference.path)):
                yield credentials


def _is_of_here(image: Image) -> bool:
    """Whether no registry has ever been asked for it."""
    from container_kit.images import records

    return not records.pinned_names(image.store, image.digest)


def _auth_file(secret: Object) -> AuthFile | None:
    """What a Secret of one of docker's types has; None for another, or one that cannot be read."""
    from container_kit.registry.client.credentials import AuthFile

    kind = secret.get("type", "")
    data = (secret.get("data") or {}).get(_DOCKER_CONFIG.get(kind, ""))
    if data is None:
        return None
    try:
        document: Any = json.loads(base64.b64decode(data))
        whole = document if kind.endswith("json") else {"auths": document}
        return AuthFile.parse(json.dumps(whole).encode(), f"secret {secret['metadata']['name']}")
    except (ValueError, InvalidInput):
        return None
