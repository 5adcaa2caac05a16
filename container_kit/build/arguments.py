"""What the arguments of a build come to."""

from __future__ import annotations

from collections.abc import Mapping

from container_kit.build.dockerfile import ArgDecl, expand

__all__ = ["argument_values"]


def argument_values(
    instruction: ArgDecl,
    env: Mapping[str, str],
    build_args: Mapping[str, str],
    global_args: Mapping[str, str],
    escape: str,
) -> dict[str, str | None]:
    """The values of an ARG in a stage: the caller's, the default, the one before the first FROM, or None.

    Raises:
        DockerfileError: A default cannot be expanded.
    """
    seen = dict(env)
    found: dict[str, str | None] = {}
    for arg in instruction.args:
        value: str | None
        if arg.name in build_args:
            value = build_args[arg.name]
        elif arg.default is not None:
            value = expand(arg.default, seen, escape=escape)
        else:
            value = global_args.get(arg.name)
        found[arg.name] = value
        if value is not None:
            seen[arg.name] = value
    return found
