"""Dockerfiles as text: parsing, expansion of variables, ignore files and build checks; nothing is run.

`parse` gives values with every word as written; `evaluate` replaces the variables of one instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.build.dockerfile.checks import kept as kept
    from container_kit.build.dockerfile.checks import require_none as require_none
    from container_kit.build.dockerfile.errors import DockerfileError as DockerfileError
    from container_kit.build.dockerfile.evaluation import evaluate as evaluate
    from container_kit.build.dockerfile.evaluation import mounts_of as mounts_of
    from container_kit.build.dockerfile.expansion import expand as expand
    from container_kit.build.dockerfile.expansion import expand_document as expand_document
    from container_kit.build.dockerfile.expansion import expand_words as expand_words
    from container_kit.build.dockerfile.ignore import IgnoreRules as IgnoreRules
    from container_kit.build.dockerfile.instructions import *  # noqa: F403
    from container_kit.build.dockerfile.mounts import RunMount as RunMount
    from container_kit.build.dockerfile.mounts import parse_mount as parse_mount
    from container_kit.build.dockerfile.parser import parse as parse
    from container_kit.build.dockerfile.parser import parse_trigger as parse_trigger
    from container_kit.build.dockerfile.variable_checks import PLATFORM_ARGS as PLATFORM_ARGS
    from container_kit.build.dockerfile.variable_checks import PREDEFINED_ARGS as PREDEFINED_ARGS
    from container_kit.build.dockerfile.variable_checks import context_checks as context_checks
    from container_kit.build.dockerfile.variable_checks import from_checks as from_checks
    from container_kit.build.dockerfile.variable_checks import stage_variable_checks as stage_variable_checks

_HOMES = {
    ".checks": "kept require_none",
    ".errors": "DockerfileError",
    ".evaluation": "evaluate mounts_of",
    ".expansion": "expand expand_document expand_words",
    ".ignore": "IgnoreRules",
    ".instructions": """
        Add Arg ArgDecl Check Cmd CommandLine Copy Directives Dockerfile Entrypoint Env Expose Healthcheck
        Heredoc Instruction Label Maintainer MountFlag Onbuild Pair Run Shell Stage Stopsignal User Volume
        Warning Workdir
    """,
    ".mounts": "RunMount parse_mount",
    ".parser": "parse parse_trigger",
    ".variable_checks": "PLATFORM_ARGS PREDEFINED_ARGS context_checks from_checks stage_variable_checks",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = list(_HOME)

__getattr__ = resolver(__name__, _HOME)
