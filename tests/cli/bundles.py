"""OCI bundles for tests, and the runtimes that run them: ours, crun and runc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import attrs

from container_kit.cli import runtime_main
from container_kit.containers.bundle_spec import default_config
from tests.cli.forked import run_forked

__all__ = ["Runtime", "crun", "make_bundle", "ours", "runc"]

_ENTRY = "from container_kit.cli import runtime_main; runtime_main()"
_APPLETS = (
    "cat cut echo env grep head hostname id kill ls mkdir mount ps pwd readlink "
    "sh sleep sort stty test touch tr true tty wc"
)
# What the oldest of the three understands.
_VERSION = "1.0.2"


@attrs.frozen
class Runtime:
    """One runtime command with its own state root; an empty *prefix* is ours, in a fork of this process."""

    name: str
    prefix: tuple[str, ...]
    root: str

    def __call__(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run one command; its output is captured, unless ``capture=False``."""
        if not self.prefix:
            return run_forked(runtime_main, ("ckit", "--root", self.root, *arguments), **settings)
        settings = {"capture_output": True, "text": True, "timeout": 60, **settings}
        return subprocess.run(self.command(*arguments), **settings)  # type: ignore[no-any-return]

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        prefix = self.prefix or (sys.executable, "-c", _ENTRY)
        return [*prefix, "--root", self.root, *arguments]

    def ok(self, *arguments: str, **settings: Any) -> str:
        """Its standard output; fails when the command does."""
        done = self(*arguments, **settings)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def state(self, container_id: str) -> dict[str, Any]:
        """What ``state`` tells."""
        found: dict[str, Any] = json.loads(self.ok("state", container_id))
        return found


def ours(directory: str) -> Runtime:
    """This library's runtime command."""
    return Runtime("ours", (), f"{directory}/ours")


def crun(directory: str) -> Runtime:
    """crun, in a mount namespace without the v2 hierarchy that it does not want beside v1."""
    unified = "/sys/fs/cgroup/unified"
    script = f'if mountpoint -q {unified}; then umount {unified}; fi; exec crun "$@"'
    enter = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "crun")
    return Runtime("crun", enter, f"{directory}/crun")


def runc(directory: str) -> Runtime:
    """runc."""
    return Runtime("runc", ("runc",), f"{directory}/runc")


def make_bundle(
    directory: str, *args: str, change: Callable[[dict[str, Any]], None] | None = None, terminal: bool = False
) -> str:
    """A bundle whose root has a busybox, and which runs *args*; *change* edits its configuration."""
    bins = os.path.join(directory, "rootfs", "bin")
    os.makedirs(bins)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, bins)
    for applet in _APPLETS.split():
        os.symlink("busybox", os.path.join(bins, applet))
    for name in ("etc", "proc", "sys", "dev", "tmp"):
        os.mkdir(os.path.join(directory, "rootfs", name))
    with open(os.path.join(directory, "rootfs", "etc", "passwd"), "w", encoding="ascii") as file:
        file.write("root:x:0:0:root:/:/bin/sh\n")
    config = default_config()
    config["ociVersion"] = _VERSION
    config["process"].update(args=list(args), terminal=terminal)
    if change is not None:
        change(config)
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    return directory
