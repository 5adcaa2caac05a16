"""Build checks on their way to the caller: those that the Dockerfile wants to hear of, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from container_kit.build.dockerfile import ArgDecl, Dockerfile, Warning, kept, require_none
from container_kit.build.dockerfile.errors import closest
from container_kit.build.dockerfile.variable_checks import PLATFORM_ARGS, PREDEFINED_ARGS
from container_kit.oci.progress import Progress

__all__ = ["tell_unused_arguments", "tell_warnings"]

_ALWAYS_KNOWN = PREDEFINED_ARGS | PLATFORM_ARGS | {"SOURCE_DATE_EPOCH"}


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


def tell_unused_arguments(
    report: Callable[[Progress], object], dockerfile: Dockerfile, build_args: Iterable[str]
) -> None:
    """Report the build arguments that no ARG asks for: they change nothing, and are often misspelt."""
    instructions = (one for stage in dockerfile.stages for one in stage.instructions)
    declared = {arg.name for arg in dockerfile.args}
    declared |= {arg.name for one in instructions if isinstance(one, ArgDecl) for arg in one.args}
    for name in build_args:
        if name in declared | _ALWAYS_KNOWN or name.startswith("BUILDKIT_"):
            continue
        meant = closest(name, declared)
        hint = f" (did you mean {meant}?)" if meant else ""
        message = f"build argument {name!r} is not used: no ARG of {dockerfile.name} declares it{hint}"
        report(Progress(id="build-args", action="warning", name=dockerfile.name, message=message))
