"""What a failed test's report says of its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers.container import Container

__all__ = ["kept_hint", "log_section"]


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
