"""Docker Engine as a peer: a daemon of its own, with its store on the stage, in a network of its own.

It takes part where `dockerd` is on PATH (Debian's docker.io); nothing else here needs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks.harness import Side, timed
from benchmarks.stage import Stage

__all__ = ["Docker"]

_START_S = 30.0
_CGROUP = "container-kit-bench"


@attrs.frozen
class Docker:
    """A running daemon, reached by the client of the same package: that one still has BuildKit built in."""

    socket: str
    client: str

    @classmethod
    @contextmanager
    def started(cls, stage: Stage, *, bridge: bool = False) -> Iterator[Docker | None]:
        """A daemon until the end of the block, with a bridge if asked; None where there is no dockerd."""
        dockerd = shutil.which("dockerd")
        if dockerd is None:
            print("- docker: no dockerd on PATH, so it takes no part")
            yield None
            return
        base = stage.path / "docker"
        base.mkdir()
        with tempfile.TemporaryDirectory(prefix="ck-bench-") as run, (base / "log").open("wb") as log:
            daemon = subprocess.Popen(_command(dockerd, base, run, bridge), stdout=log, stderr=log)
            try:
                docker = cls(f"unix://{run}/socket", str(Path(dockerd).parents[1] / "bin/docker"))
                docker._wait(daemon)
                yield docker
            finally:
                daemon.terminate()
                daemon.wait()
                _remove_cgroups()

    def build(self, context: Path, cold: bool) -> Side:
        """``docker build`` by BuildKit, without a network, as our steps have none."""
        options = ["-q", "--network", "none", "-t", "built", *(["--no-cache"] if cold else [])]
        return timed(lambda: self._run("build", *options, str(context)))

    def run(self, *words: str) -> Side:
        """``docker run --rm`` with these options, image and command."""
        return timed(lambda: self._run("run", "--rm", *words))

    def import_tree(self, root: Path, name: str) -> None:
        """An image of the files below *root*."""
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run([self.client, "-H", self.socket, "import", "-", name], stdin=tar.stdout, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        tar.wait()

    def version(self) -> str:
        text = self._run("version", "--format", "{{.Server.Version}}")
        return f"Docker Engine {text.strip()}"

    def _run(self, *arguments: str) -> str:
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        command = [self.client, "-H", self.socket, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def _wait(self, daemon: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until and daemon.poll() is None:
            try:
                self._run("version")
            except RuntimeError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("dockerd did not come up; its log is on the stage, in docker/log")


def _command(dockerd: str, base: Path, run: str, bridge: bool) -> list[str]:
    in_own_network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    no_bridge = [] if bridge else ["--iptables=false", "--bridge=none"]
    return [
        *in_own_network, dockerd, "--data-root", f"{base}/data", "--exec-root", f"{run}/exec",
        "--pidfile", f"{run}/pid", "-H", f"unix://{run}/socket", "--storage-driver", "overlay2",
        "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", _CGROUP,
        "--ip6tables=false", *no_bridge,
    ]  # fmt: skip


def _remove_cgroups() -> None:
    """The daemon leaves the parents of its containers' cgroups behind."""
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for folder in (hierarchy / _CGROUP / "buildkit", hierarchy / _CGROUP):
            if folder.is_dir():
                folder.rmdir()
