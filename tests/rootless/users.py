"""Ordinary users for tests: made for the session, with or without subordinate ids, and removed after it.

Their programs run in a mount namespace of their own when the interpreter or this project lies below a
directory that only root may enter: that directory is covered there, with the needed part left in view.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

__all__ = ["OrdinaryUser", "ordinary_user"]

_PROJECT = Path(__file__).parents[2]
_IDS = 65536
_NUMBERS = itertools.count(1)
_IN_USE = 8  # userdel(8): a process of the user still runs
# Keep what is needed of a closed directory, cover it, and put that back in its place.
_COVER = 'mount --rbind "{part}" "{kept}" && mount -t tmpfs -o mode=755 tmpfs "{closed}" && \
mkdir -p "{part}" && mount --rbind "{kept}" "{part}"'
# Most distributions let everybody open this one; a bare machine may not.
_OPEN_TUN = 'mount -t tmpfs -o mode=755 tmpfs "{kept}" && mknod -m 666 "{kept}/tun" c 10 200 && \
mount --bind "{kept}/tun" /dev/net/tun'
_REPORT = "import json as _json\ndef report(value): print('REPORT' + _json.dumps(value))\n"


@attrs.frozen
class OrdinaryUser:
    """A user of this machine without any rights; its home is in a directory of its own."""

    name: str
    uid: int
    home: Path

    @property
    def store(self) -> Path:
        """Where its images and containers are."""
        return self.home / ".local/share/container-kit"

    def command(self, *words: str) -> list[str]:
        """*words* as this user, in its home."""
        inner = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups", *words]
        covers = [
            _COVER.format(part=part, kept=self._new_directory(), closed=closed) for closed, part in _hidden()
        ]
        if not os.stat("/dev/net/tun").st_mode & 2:
            covers.append(_OPEN_TUN.format(kept=self._new_directory()))
        if not covers:
            return inner
        script = " && ".join([*covers, 'exec "$@"'])
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *inner]

    def _new_directory(self) -> str:
        return tempfile.mkdtemp(prefix="kept-", dir=self.home)

    def environment(self) -> dict[str, str]:
        """What its programs find in their environment."""
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": str(_PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def python(self, code: str, *, wrapper: Sequence[str] = ()) -> Any:
        """Run *code*, which may call ``report(value)`` once; returns that value.

        Args:
            wrapper: A command that the interpreter is started by.

        Raises:
            AssertionError: It failed; with all it wrote.
        """
        done = subprocess.run(
            self.command(*wrapper, sys.executable, "-c", _REPORT + code),
            env=self.environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}{done.stderr}"
        lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT")]
        return json.loads(lines[-1].removeprefix("REPORT")) if lines else None

    def begin(self, code: str) -> subprocess.Popen[str]:
        """Start *code*; what it writes can be read while it runs, and what it reads does not come."""
        return subprocess.Popen(
            self.command(sys.executable, "-c", code),
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def _hidden() -> Iterator[tuple[str, str]]:
    """Directories that only root enters, each with the part below it that tests need."""
    needed = dict.fromkeys((os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), str(_PROJECT)))
    covered: set[str] = set()
    for part in needed:
        closed = next((str(one) for one in reversed(Path(part).parents) if not one.stat().st_mode & 1), None)
        if closed is not None and closed not in covered:
            covered.add(closed)
            yield closed, part


def _remove(name: str, own: int, subordinate: range) -> None:
    """Remove a user as soon as nothing runs under its ids: what a failed test has left is ended by force."""
    deadline = time.monotonic() + 20
    while True:
        running = [pid for pid, uids in _processes() if any(uid == own or uid in subordinate for uid in uids)]
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not running:
            done = subprocess.run(["userdel", name], capture_output=True, text=True)
            if done.returncode != _IN_USE or time.monotonic() > deadline:
                assert done.returncode == 0, f"{name} could not be removed: {done.stderr}"
                return
        assert time.monotonic() < deadline, f"of {name} there still run {running}, which were killed"
        time.sleep(0.05)


def _processes() -> Iterator[tuple[int, set[int]]]:
    """Every process, with the users that it is: real, effective, saved and for files."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{name}/status").read_text()
            yield int(name), {int(uid) for uid in status.partition("\nUid:")[2].splitlines()[0].split()}


@contextmanager
def ordinary_user(*, subordinate_ids: bool = True) -> Iterator[OrdinaryUser]:
    """A new user; gone at the end, with everything it owned in its home."""
    number = next(_NUMBERS)
    name = f"ck-test-{os.getpid()}-{number}"
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/var/tmp"))
    first = 200_000_000 + (8 * os.getpid() + number) % 20_000 * _IDS
    keys = ["-K", f"SUB_UID_MIN={first}", "-K", f"SUB_GID_MIN={first}"]
    keys += ["-K", f"SUB_UID_MAX={first + _IDS}", "-K", f"SUB_GID_MAX={first + _IDS}"]
    counts = ["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"] if not subordinate_ids else []
    subprocess.run(["useradd", "--home-dir", str(home), "--no-create-home", *keys, *counts, name], check=True)
    uid = int(subprocess.run(["id", "-u", name], check=True, capture_output=True).stdout)
    try:
        os.chown(home, uid, uid)
        os.chmod(home, 0o700)
        yield OrdinaryUser(name, uid, home)
    finally:
        _remove(name, uid, range(first, first + _IDS))
        shutil.rmtree(home, ignore_errors=True)
