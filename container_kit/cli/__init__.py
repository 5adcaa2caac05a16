"""The command line ``container-kit`` (short ``ckit``): one module per command group.

Only this function is imported at start; a command's module loads when the command is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: nothing is imported before it is needed
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main", "runtime_main"]


def main() -> None:
    """Run the command line; exits the process with docker's exit codes."""
    _collect_rarely()
    from container_kit.cli.app import run_app

    _end_with(run_app)


def runtime_main() -> None:
    """Run ``container-kit-runtime``: the OCI runtime commands as a program of its own."""
    _collect_rarely()
    from container_kit.cli.runtime import runtime_main as run

    _end_with(run)


def _end_with(command: Callable[[], None]) -> None:
    """Run *command* and end the process with its exit code.

    What must be done at the end is done; but the interpreter is not taken apart, which would cost a tenth of
    the time of a short command.
    """
    import atexit
    import os
    import sys

    try:
        command()
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    if not isinstance(code, int):
        sys.exit(str(code))
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        code = code or 1
    os._exit(code & 0xFF)


def _collect_rarely() -> None:
    """Importing makes many objects and no garbage: looking for some costs a tenth of the start-up time."""
    import gc

    gc.set_threshold(100_000, 10, 10)
