"""Clusters that outlive the command that started them: a name, a folder and a process each.

Below ``<root>/clusters/<name>``: ``data`` (the cluster's objects), ``kubeconfig``, ``log``, ``options.json``
and ``lock``, which the process holds for as long as it serves; so nobody takes another process for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from container_kit._values import frozen
from container_kit.errors import (
    ContainerKitError,
    InvalidInput,
    NameInUse,
    NotFound,
    StartFailed,
    TimedOut,
    WrongState,
    with_last_lines,
)
from container_kit.store.layout import default_root

__all__ = ["ClusterInfo", "NamedClusters", "hold"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_READY = b"ready\n"
_LAST_LINES = 12
_children: list[subprocess.Popen[bytes]] = []  # of this process, which has to collect them when they end
_USUAL = {"nodes": 1, "simulated_nodes": 0, "listen": "127.0.0.1:0"}


@frozen
class ClusterInfo:
    """One named cluster.

    Attributes:
        pid: Of the process that serves it; 0 while it is stopped.
        address: Of its API server; empty while it is stopped.
    """

    name: str
    folder: str
    pid: int
    address: str
    nodes: int
    simulated_nodes: int

    @property
    def kubeconfig(self) -> str:
        return f"{self.folder}/kubeconfig"


class NamedClusters:
    """The named clusters below one root."""

    def __init__(self, root: str | None = None) -> None:
        self._root = root or default_root()
        self._folder = f"{self._root}/clusters"

    def start(
        self,
        name: str,
        *,
        nodes: int | None = None,
        simulated_nodes: int | None = None,
        listen: str | None = None,
        timeout_s: float = 60,
    ) -> ClusterInfo:
        """Start a cluster in a process of its own, or one again that was stopped.

        Args:
            nodes, simulated_nodes, listen: As of `Cluster`; what is not given is as it was the last time.

        Raises:
            NameInUse: It runs already.
            StartFailed: It did not come up; the message has what it wrote last.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name of a cluster: at most 32 of a-z, 0-9 and inner -")
        folder = f"{self._folder}/{name}"
        os.makedirs(folder, 0o700, exist_ok=True)
        wish = {"nodes": nodes, "simulated_nodes": simulated_nodes, "listen": listen}
        given = {key: value for key, value in wish.items() if value is not None}
        _collect()
        with _one_at_a_time(folder):
            if _is_served(folder):
                raise NameInUse("cluster", name, f"process {self.get(name).pid}")
            path = f"{folder}/options.json"
            before = _read(path) if os.path.exists(path) else _USUAL
            _write(path, json.dumps({**before, **given, "name": name, "root": self._root}))
            _launch(folder, timeout_s)
            return self.get(name)

    def get(self, name: str) -> ClusterInfo:
        """What is known of a cluster.

        Raises:
            NotFound: There is none of this name.
        """
        folder = f"{self._folder}/{name}"
        if not _NAME.fullmatch(name) or not os.path.exists(f"{folder}/options.json"):
            raise NotFound("cluster", name, "`cluster ls` lists them")
        options = _read(f"{folder}/options.json")
        state = _read(f"{folder}/state.json") if _is_served(folder) else {}
        return ClusterInfo(
            name,
            folder,
            state.get("pid", 0),
            state.get("address", ""),
            options.get("nodes", 0),
            options.get("simulated_nodes", 0),
        )

    def list(self) -> list[ClusterInfo]:
        """All, by name."""
        with contextlib.suppress(FileNotFoundError):
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
            found = []
            for name in names:
                with contextlib.suppress(NotFound):
                    found.append(self.get(name))
            return found
        return []

    def stop(self, name: str, timeout_s: float = 60) -> None:
        """End its pods and its process; its objects stay.

        Raises:
            TimedOut: It had not ended after *timeout_s* seconds.
        """
        info = self.get(name)
        if not info.pid:
            self._clear(info, networks=False)  # of one that was killed pods may run on
            return
        try:
            process = os.pidfd_open(info.pid)
        except ProcessLookupError:
            return
        try:
            if _is_served(info.folder):
                signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], timeout_s)[0]:
                raise TimedOut(f"cluster {name} (process {info.pid}) had not ended after {timeout_s:g} s")
            _collect()
        finally:
            os.close(process)

    def remove(self, name: str) -> None:
        """Remove a stopped cluster with all that it holds.

        Raises:
            WrongState: It runs.
        """
        info = self.get(name)
        if info.pid:
            raise WrongState(f"cluster {name} runs (process {info.pid}): stop it first")
        self._clear(info, networks=True)
        from container_kit.native.descriptors import open_path
        from container_kit.native.trees import remove_tree

        with open_path(os.path.dirname(info.folder), os.O_RDONLY | os.O_DIRECTORY) as parent:
            remove_tree(parent.fileno(), os.path.basename(info.folder))

    def _clear(self, info: ClusterInfo, *, networks: bool) -> None:
        """End the pods of a cluster that nobody serves, and remove its networks if that is wished."""
        from container_kit.cluster.node.leavings import end_pods, remove_leavings
        from container_kit.containers.engine import Engine

        data = os.path.abspath(f"{info.folder}/data")
        with _one_at_a_time(info.folder), Engine(self._root) as engine:
            if not _is_served(info.folder):
                (remove_leavings if networks else end_pods)(data, engine)


@contextlib.contextmanager
def hold(folder: str) -> Iterator[None]:
    """Serve the cluster of *folder*: nobody else does until the end of the block."""
    with open(f"{folder}/lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NameInUse("cluster", os.path.basename(folder), "another process") from error
        yield


@contextlib.contextmanager
def _one_at_a_time(folder: str) -> Iterator[None]:
    """Who starts the cluster of *folder* at the same moment as somebody else comes second."""
    with open(f"{folder}/starting", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_served(folder: str) -> bool:
    try:
        with open(f"{folder}/lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _launch(folder: str, timeout_s: float) -> None:
    """Start the process and wait until it serves, or says why it does not."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as answer:
        with open(writing, "wb") as told, open(f"{folder}/log", "ab") as log:
            command = [sys.executable, "-m", "container_kit.cluster.serving", folder, str(told.fileno())]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(told.fileno(),),
                start_new_session=True,
            )
        arrived, _, _ = select.select([answer], [], [], timeout_s)
        words = answer.read(1 << 16) if arrived else b""
    if words == _READY:
        _children.append(process)  # it lives on without us
        return
    process.kill()
    process.wait()
    said = words.decode(errors="replace").strip() or "it ended, or did not answer in time"
    with open(f"{folder}/log", errors="replace") as log_text:
        lines = log_text.read().splitlines()[-_LAST_LINES:]
    raise StartFailed(with_last_lines(f"cluster {os.path.basename(folder)} did not start: {said}", lines))


def _collect() -> None:
    """Let processes that have ended go, if they are ours."""
    for process in list(_children):
        if process.poll() is not None:
            _children.remove(process)


def _write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path) as file:
            found: dict[str, Any] = json.load(file)
            return found
    except (OSError, ValueError) as error:
        raise ContainerKitError(f"{path} cannot be read: {error}") from error
