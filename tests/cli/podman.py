"""Drives podman with our command as its OCI runtime, on hosts where podman needs some help.

podman and crun refuse a mixed cgroup tree (v1 controllers beside a v2 hierarchy that has controllers), so
podman runs in a mount namespace of its own without the v2 mount.  A process keeps that namespace for
the length of a test, because podman's overlay mounts live in it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

__all__ = ["Podman", "podman"]

_UNIFIED = "/sys/fs/cgroup/unified"
_ENTRY = "from container_kit.cli import runtime_main; runtime_main()"


@attrs.frozen
class Podman:
    """podman with its own storage, in its own mount namespace."""

    directory: str
    namespace_pid: int

    def __call__(
        self, *arguments: str, check: bool = True, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """Run one podman command; its output is captured unless told otherwise."""
        settings = {"capture_output": True, "text": True, "timeout": 120, **settings}
        done = subprocess.run(self.command(*arguments), env=self.environment(), **settings)  # type: ignore[call-overload]
        if check and done.returncode:
            raise AssertionError(
                f"podman {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done  # type: ignore[no-any-return]

    def command(self, *arguments: str) -> list[str]:
        """The whole command line, for those who start it themselves."""
        where = [f"--{name}={self.directory}/{name}" for name in ("root", "runroot", "tmpdir")]
        enter = ["nsenter", f"--target={self.namespace_pid}", "--mount", "--"]
        return [*enter, "podman", *where, "--storage-driver=overlay", *arguments]

    def environment(self) -> dict[str, str]:
        """What podman finds its configuration by."""
        return {**os.environ, "CONTAINERS_CONF": f"{self.directory}/containers.conf", "HOME": self.directory}


@contextmanager
def podman(directory: str, runtime: str | None = None) -> Iterator[Podman]:
    """A podman that stores everything below *directory*; our runtime unless another one is named."""
    os.makedirs(directory, exist_ok=True)
    _write(f"{directory}/containers.conf", _configuration(runtime or _write_runtime(directory)))
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", _hold(directory)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield Podman(directory, holder.pid)
    finally:
        _clean(Podman(directory, holder.pid))
        holder.kill()
        holder.communicate()


def _hold(directory: str) -> str:
    # A container ends when its overlay is unmounted with the namespace at the latest.
    return f"if mountpoint -q {_UNIFIED}; then umount {_UNIFIED}; fi; echo ready; exec sleep 3600"


def _configuration(runtime: str) -> str:
    # podman lowers its own limits first and then asks for the old ones, which needs CAP_SYS_RESOURCE.
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    nproc = 32768
    return f"""
[containers]
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "under-test"
[engine.runtimes]
under-test = ["{runtime}"]
"""


def _write_runtime(directory: str) -> str:
    """An executable that is our runtime command of this very source tree."""
    path = f"{directory}/container-kit-runtime"
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    state = f"{directory}/state"
    _write(
        path,
        f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -P -c "{_ENTRY}" --root {state} "$@"\n',
    )
    os.chmod(path, 0o755)
    return path


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _clean(tool: Podman) -> None:
    tool("rm", "--all", "--force", "--time=0", check=False)
    tool("rmi", "--all", "--force", check=False)
    for controller in os.listdir("/sys/fs/cgroup"):
        parent = f"/sys/fs/cgroup/{controller}/libpod_parent"
        if os.path.isdir(parent):
            _remove_cgroups(parent)


def _remove_cgroups(path: str) -> None:
    """Remove the parent cgroup that podman leaves behind, if nothing is in it."""
    for name in os.listdir(path):
        if os.path.isdir(f"{path}/{name}"):
            _remove_cgroups(f"{path}/{name}")
    try:
        os.rmdir(path)
    except OSError:
        return
