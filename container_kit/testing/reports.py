"""What a failed test's report says of its containers and pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.cluster import Cluster
    from container_kit.containers.container import Container

__all__ = ["kept_hint", "log_section", "namespace_section"]

_MOST_PODS, _MOST_EVENTS = 10, 10


def log_section(container: Container, since: float | None, lines: int) -> str:
    """Its state, and the last *lines* that it wrote since a moment (seconds since the epoch)."""
    try:
        info = container.info()
        written = [
            f"{line.timestamp[11:23]} {line.stream}: {line.text}"
            for line in container.logs(since=since, tail=lines)
        ]
    except (ContainerKitError, OSError) as error:
        return f"nothing is known of it any more: {error}"
    state = info.status if info.exit_code is None else f"{info.status}, exit code {info.exit_code}"
    state += ", out of memory" if info.oom_killed else ""
    head = f"{info.name} ({info.id[:12]}) of {info.image}: {state}"
    return "\n".join([head, *(written or ["(it wrote nothing during the test)"])])


def kept_hint(container: Container) -> str:
    """How to look into a container that is kept, and how to be rid of it."""
    from container_kit.store import default_root

    root = container.engine.root
    prefix = "" if root == default_root() else f"CONTAINER_KIT_ROOT={root} "
    name = container.name
    return f"kept: {prefix}container-kit exec -it {name} sh; in the end: {prefix}container-kit rm -f {name}"


def namespace_section(cluster: Cluster, lines: int) -> str:
    """The pods of the namespace that *cluster* means: state, last *lines*; and the latest warnings."""
    from container_kit.cluster.verbs.explaining import state_of

    told = []
    try:
        for pod in cluster.list("pods")[:_MOST_PODS]:
            told.append(f"pod {pod['metadata']['name']}: {state_of(pod)}")
            told += _lines_of(cluster, pod, lines)
        warnings = [one for one in cluster.events() if one.get("type") == "Warning"]
        for event in warnings[-_MOST_EVENTS:]:
            about = event["involvedObject"]
            told.append(f"{about['kind']} {about['name']}: {event['reason']}: {event.get('message', '')}")
    except (ContainerKitError, OSError) as error:
        told.append(f"nothing more is known of it: {error}")
    return "\n".join(told)


def _lines_of(cluster: Cluster, pod: dict[str, Any], lines: int) -> list[str]:
    try:
        return [f"  {line}" for line in cluster.logs(pod, container="*", tail=lines).splitlines()]
    except ContainerKitError:
        return []  # it has not begun
