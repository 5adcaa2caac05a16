"""The command line ``container-kit`` (short ``ckit``): one module per command group.

Only this function is imported at start; a command's module loads when the command is used.
"""

from __future__ import annotations

__all__ = ["main", "runtime_main"]


def main() -> None:
    """Run the command line; exits the process with docker's exit codes."""
    _collect_rarely()
    from container_kit.cli.app import run_app

    run_app()


def runtime_main() -> None:
    """Run ``container-kit-runtime``: the OCI runtime commands as a program of its own."""
    _collect_rarely()
    from container_kit.cli.runtime import runtime_main as run

    run()


def _collect_rarely() -> None:
    """Importing makes many objects and no garbage: looking for some costs a tenth of the start-up time."""
    import gc

    gc.set_threshold(100_000, 10, 10)
