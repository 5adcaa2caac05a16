"""Build checks on their way to the caller: those that the Dockerfile wants to hear of, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from container_kit.build.dockerfile import Dockerfile, Warning, kept, require_none
from container_kit.oci.progress import Progress

__all__ = ["tell_warnings"]


def tell_warnings(
    report: Callable[[Progress], object], dockerfile: Dockerfile, found: Iterable[Warning]
) -> None:
    """Report each of *found* that is not skipped.

    Raises:
        DockerfileError: The Dockerfile says ``# check=error=true`` and there is one.
    """
    warnings = kept(dockerfile.directives.check, found)
    for warning in warnings:
        report(
            Progress(
                id=warning.rule,
                action="warning",
                name=f"{dockerfile.name}:{warning.line}",
                message=f"{warning.rule}: {warning.message}",
            )
        )
    require_none(dockerfile, warnings)
