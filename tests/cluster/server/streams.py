"""A pod for stream tests: the real API in front, and behind it a node that is a few lines of Python."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from container_kit.cluster.api import Api, Duplex, Request, Response, Upgrade, User
from container_kit.cluster.store import MemoryStore

ADMIN = User("admin", ("system:masters",))
SUCCESS = b'{"metadata":{},"status":"Success"}'


def exit_status(code: int) -> bytes:
    """What the error channel says of a program that ended with this code."""
    if code == 0:
        return SUCCESS
    return json.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    ).encode()


class Pod:
    """Answers exec, attach and port-forward of one pod; everything else is the real API's.

    Its programs: ``cat`` copies stdin, ``size`` counts it, ``err`` writes to stderr and fails with 3,
    ``much N`` writes N bytes, ``wait`` reads until the client goes, ``window`` says the terminal's sizes.
    """

    def __init__(self) -> None:
        self.api = Api(MemoryStore())
        self.gone = threading.Event()
        self.ports: dict[int, Callable[[socket.socket], None]] = {}
        self._make("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "default"}})
        account = {"kind": "ServiceAccount", "metadata": {"name": "default"}}
        self._make("/api/v1/namespaces/default/serviceaccounts", account)
        spec = {"nodeName": "node", "containers": [{"name": "c", "image": "none"}]}
        pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
        self._make("/api/v1/namespaces/default/pods", pod)
        path = "/api/v1/namespaces/default/pods/p"
        running = {
            "phase": "Running",
            "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [{"name": "c", "ready": True}],
        }
        merge = {"content-type": "application/merge-patch+json"}
        body = json.dumps({"status": running}).encode()
        answer = self.api.handle(Request("PATCH", f"{path}/status", headers=merge, body=body, user=ADMIN))
        assert answer.status == 200, answer.body

    def _make(self, path: str, obj: dict[str, Any]) -> None:
        answer = self.api.handle(Request("POST", path, body={"apiVersion": "v1", **obj}, user=ADMIN))
        assert answer.status == 201, answer.body

    def admit(self, request: Request) -> None:
        """Everybody is the administrator."""
        request.user = ADMIN

    def is_slow(self, request: Request) -> bool:
        return self.api.is_slow(request)

    def handle(self, request: Request) -> Response:
        kind = request.path.rpartition("/")[2]
        if not request.path.startswith("/api/v1/namespaces/default/pods/p/") or kind not in (
            "exec",
            "attach",
            "portforward",
        ):
            return self.api.handle(request)
        if kind == "portforward":
            ports = tuple(int(one) for text in request.query.get("ports", []) for one in text.split(","))
            return Response(101, {}, Upgrade("portforward", dial=self._dial, ports=ports))
        wanted = {"1", "true", "True"}
        names = ("stdin", "stdout", "stderr")
        streams = frozenset(one for one in names if request.parameter(one) in wanted)
        command = request.query.get("command", ["cat"])
        has_tty = request.parameter("tty") in wanted
        return Response(
            101,
            {},
            Upgrade("exec", run=lambda duplex: self._run(command, duplex), tty=has_tty, streams=streams),
        )

    def _run(self, command: list[str], duplex: Duplex) -> None:
        code = getattr(self, f"_program_{command[0]}")(duplex, *command[1:])
        duplex.send(3, exit_status(code))

    def _program_cat(self, duplex: Duplex) -> int:
        while (message := duplex.receive()) is not None and message != (0, b""):
            if message[0] == 0:
                duplex.send(1, message[1])
        return 0

    def _program_size(self, duplex: Duplex) -> int:
        size = 0
        while (message := duplex.receive()) is not None and message != (0, b""):
            size += len(message[1]) if message[0] == 0 else 0
        duplex.send(1, str(size).encode())
        return 0

    def _program_err(self, duplex: Duplex) -> int:
        duplex.send(2, b"it is bad\n")
        return 3

    def _program_much(self, duplex: Duplex, size: str) -> int:
        for place in range(0, int(size), 1 << 16):
            duplex.send(1, b"x" * min(1 << 16, int(size) - place))
        return 0

    def _program_wait(self, duplex: Duplex) -> int:
        while duplex.receive() is not None:
            pass
        self.gone.set()
        return 0

    def _program_window(self, duplex: Duplex) -> int:
        while (message := duplex.receive()) is not None:
            if message[0] == 4:
                duplex.send(1, message[1])
                return 0
        return 1

    def _dial(self, port: int) -> socket.socket:
        if port not in self.ports:
            raise ConnectionRefusedError(f"nobody listens at {port}")
        ours, theirs = socket.socketpair()
        threading.Thread(target=self.ports[port], args=(theirs,)).start()
        return ours


def echo(sock: socket.socket) -> None:
    """What a pod's port may do: everything comes back, with a word at the end."""
    with sock, contextlib.suppress(BrokenPipeError):
        while data := sock.recv(1 << 16):
            sock.sendall(data)
        sock.sendall(b"bye")
