"""From an OCI runtime `Spec` and what the host allows to a `Plan`: pure, so that it is tested without root.

The order of the steps is the security argument: first everything that needs the host's paths is turned
into open descriptors, then the namespaces are entered, then the root is built and entered, and only then
the process gives up its rights, one wall after the other, ending with the program.
"""

from __future__ import annotations

from collections.abc import Sequence

from container_kit.errors import UnsupportedFeature
from container_kit.oci.rootfs import RootFs
from container_kit.oci.runtime_spec import Process, Spec
from container_kit.runtime.plan import Plan

__all__ = ["compile_exec", "compile_plan"]


def compile_plan(
    spec: Spec,
    root: RootFs,
    *,
    host: object,
    cgroup_tasks: Sequence[str] = (),
    seccomp: bytes = b"",
    seccomp_flags: int = 0,
    landlock: object | None = None,
    init: bool = False,
    wait_for_start: bool = False,
    console_bind: bool = True,
) -> Plan:
    """The plan that starts *spec* in *root*.

    Args:
        spec: What to start; ``spec.process`` must be there. Its seccomp part is not read: see *seccomp*.
        root: What the root file system is made of.
        host: The `runtime.host.Host` facts: capabilities and rlimits are clamped to them.
        cgroup_tasks: The ``tasks`` files of the v1 cgroups to join (v2 goes to `launch`).
        seccomp: The compiled filter, or nothing for none.
        seccomp_flags: Flags for ``seccomp(2)``.
        landlock: The rule set from `runtime.landlock`, or None.
        init: Keep a small PID 1 that reaps orphans and forwards signals.
        wait_for_start: Slot 0 is a listening socket; the program starts when someone connects to it.

    Raises:
        InvalidInput: The spec asks for what makes no sense or cannot be had; names the field.
        UnsupportedFeature: The spec asks for a wall that this host cannot build.
    """
    raise UnsupportedFeature("this build cannot compile plans")


def compile_exec(
    process: Process,
    namespaces: Sequence[str],
    *,
    host: object,
    cgroup_tasks: Sequence[str] = (),
    seccomp: bytes = b"",
    seccomp_flags: int = 0,
    landlock: object | None = None,
) -> Plan:
    """The plan that starts *process* inside a running container.

    Slot 0 must be filled with a pidfd of a process of that container.

    Args:
        process: What to start; ids and paths are the container's.
        namespaces: Types to join, with the names of the specification (``"mount"``, ``"pid"``, ...):
            those that the container does not share with the caller.
        host, cgroup_tasks, seccomp, seccomp_flags, landlock: As in `compile_plan`.

    Raises:
        InvalidInput: As in `compile_plan`.
    """
    raise UnsupportedFeature("this build cannot compile plans")
