"""Runs the peers' commands and times them, in a mount namespace of its own.

crun and podman refuse a host where cgroup v2 has a controller beside v1 hierarchies; in here the v2 tree is
unmounted, as on a plain v1 host.  A line of JSON in (a list of arguments), a line of JSON out
({"ms": ..., "status": ..., "output": ...}); small, so that starting a program from it costs little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from types import TracebackType

__all__ = ["Runner"]


class Runner:
    """The client's side: starts the process in its namespace and asks it to run commands."""

    def __init__(self) -> None:
        command = ["unshare", "-m", "--propagation", "private", sys.executable, "-S", "-E", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, *command: str) -> float:
        """Milliseconds that *command* took; RuntimeError when it failed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["status"] != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {answer['status']}: {answer['output']}")
        return float(answer["ms"])


def _serve() -> None:
    if os.path.ismount("/sys/fs/cgroup/unified"):
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)
    for line in sys.stdin:
        command = json.loads(line)
        # A file, not a pipe: what a detached container inherits must not keep us reading.
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, close_fds=False
            )
            elapsed = (time.perf_counter() - start) * 1e3
            output.seek(0)
            text = output.read().decode(errors="replace")[-500:]
        print(json.dumps({"ms": elapsed, "status": done.returncode, "output": text}), flush=True)


if __name__ == "__main__":
    _serve()
