"""An operator with `kopf`: each Lamp has a ConfigMap that says how bright it is.

``kopf run lamps.py --namespace NAMESPACE``
"""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client, config

_LAMPS = ("clients.test", "v1", "lamps")


@kopf.on.startup()
def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
    config.load_kube_config()
    settings.queueing.exit_timeout = 0.1  # who stops it waits for no more
    settings.persistence.finalizer = "clients.test/lamps"


@kopf.on.create(*_LAMPS)
def create(
    body: kopf.Body, spec: kopf.Spec, name: str, namespace: str, logger: Any, **_: Any
) -> dict[str, Any]:
    """Make the child, which goes with its lamp; what is returned becomes a part of the status."""
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"size": str(spec["size"])},
    }
    kopf.adopt(child, owner=body)
    made = client.CoreV1Api().create_namespaced_config_map(namespace, child)
    logger.info("The lamp is lit.")
    return {"child": made.metadata.name}


@kopf.on.update(*_LAMPS, field="spec.size")
def change(old: int, new: int, name: str, namespace: str, body: kopf.Body, **_: Any) -> None:
    client.CoreV1Api().patch_namespaced_config_map(name, namespace, {"data": {"size": str(new)}})
    kopf.info(body, reason="Changed", message=f"from {old} to {new}")


@kopf.on.resume(*_LAMPS)
def resume(patch: kopf.Patch, meta: kopf.Meta, **_: Any) -> None:
    patch.status["resumed"] = "generation" in meta


@kopf.timer(*_LAMPS, interval=0.3)
def tick(patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
    patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.on.delete(*_LAMPS)
def end(name: str, namespace: str, retry: int, **_: Any) -> None:
    """Fails at first, so that it is tried again: the lamp stays until it has gone well."""
    if retry == 0:
        raise kopf.TemporaryError("not yet", delay=0.2)
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-ended"}}
    client.CoreV1Api().create_namespaced_config_map(namespace, gone)
