"""What the containers of a pod share: namespaces, a cgroup around theirs, and their files in ``/etc``.

A `SharedWorld` is there while this process supervises the pod, and is found by the id that its containers'
options carry.  No process is needed to keep the namespaces: every container's monitor holds them for its next
start, and whoever supervises the pod in between.  Only a pod whose containers share their processes has a
first process of its own, which collects orphans.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.errors import KernelError, WrongState
from container_kit.native.descriptors import Descriptor, duplicate, open_path, open_process, socket_pair
from container_kit.native.monitor import spawn_daemon
from container_kit.native.namespaces import NetworkNamespace, shared_namespaces
from container_kit.native.process import init_fd
from container_kit.native.user_namespace import enter_fd

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.networking import HeldNetwork
    from container_kit.network.values import Undo

__all__ = ["SharedNetwork", "SharedWorld", "start_reaper", "world_of"]

# In the order in which they are passed; the first is there only where the pod is not on the host's network.
_KINDS = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}


class SharedWorld:
    """The namespaces of one pod, held by this process.

    Attributes:
        held: By the specification's type: ``network`` (not on the host's), ``ipc``, ``uts``, and ``pid``
            where the containers share their processes.
        network: Whose published ports monitors hold as well; None where this process alone does.
    """

    def __init__(self, pod_id: str) -> None:
        self.pod_id = pod_id
        self.held: dict[str, Descriptor] = {}
        self.network: HeldNetwork | None = None

    @classmethod
    def make(cls, pod_id: str, network_fd: int | None, *, ipc: bool = True) -> SharedWorld:
        """New namespaces beside the pod's network, which is duplicated; None for the host's network.

        Args:
            ipc: False for the host's.

        Raises:
            KernelError: They cannot be made.
        """
        world = cls(pod_id)
        try:
            if network_fd is not None:
                world.held["network"] = duplicate(network_fd)
            found, world.held["uts"] = shared_namespaces(enter_fd() or None)
            if ipc:
                world.held["ipc"] = found
        except BaseException:
            world.close()
            raise
        return world

    @classmethod
    def of_process(cls, pod_id: str, pid: int, kinds: tuple[str, ...]) -> SharedWorld:
        """The namespaces of a pod in which the process *pid* lives.

        Raises:
            KernelError: The process has ended.
        """
        world = cls(pod_id)
        try:
            for kind in kinds:
                world.held[kind] = open_path(f"/proc/{pid}/ns/{_KINDS[kind]}", os.O_RDONLY)
        except OSError as error:
            world.close()
            raise KernelError.of(error.errno or 0, "cannot find the namespaces of a pod") from error
        return world

    def share_processes(self, reaper_pid: int) -> None:
        """Let containers live in the PID namespace of the pod's first process."""
        self.held["pid"] = open_path(f"/proc/{reaper_pid}/ns/pid", os.O_RDONLY)

    @property
    def given(self) -> tuple[str, ...]:
        """The types, in the order in which a plan takes them."""
        return tuple(kind for kind in _KINDS if kind in self.held)

    def socket(self, family: int, kind: int) -> socket.socket:
        """As :func:`socket.socket`, in the network of the pod.

        Raises:
            KernelError: There is no such socket to be had there.
        """
        network = self.held.get("network")
        if network is None:
            return socket.socket(family, kind)
        with contextlib.closing(NetworkNamespace.at(network.fileno(), enter_fd() or None)) as inside:
            return inside.open_socket(family, kind)

    def close(self) -> None:
        """Let go of them in this process; may be repeated."""
        while self.held:
            self.held.popitem()[1].close()


class SharedNetwork:
    """A pod's namespaces as the monitor of one of its containers is passed them.

    Stands where a container with a network of its own has a `HeldNetwork`: taking the network back is the
    business of who supervises the pod.
    """

    def __init__(self, world: SharedWorld) -> None:
        self._world = world

    @property
    def given(self) -> tuple[str, ...]:
        """The types, in the order of the plan's slots."""
        return self._world.given

    @property
    def slots(self) -> list[int]:
        """The network's descriptor; none on the host's network."""
        held = self._world.held.get("network")
        return [] if held is None else [held.fileno()]

    @property
    def shared(self) -> list[int]:
        """The other descriptors."""
        return [self._world.held[kind].fileno() for kind in self.given if kind != "network"]

    @property
    def undo(self) -> Undo:
        """Nothing: the pod is still on its networks when one of its containers has ended."""
        from container_kit.network.values import Undo

        return Undo()

    def pack_ports(self) -> socket.socket:
        """A socket with the descriptors that hold the pod's published ports in it, see `HeldNetwork`."""
        if self._world.network is not None:
            return self._world.network.pack_ports()
        kept, sender = socket_pair()
        sender.close()
        return kept

    def hand_over(self) -> None:
        """The world goes on being held here, for the pod's other containers."""


def world_of(engine: Engine, pod_id: str) -> SharedWorld:
    """The world of a pod that this process supervises.

    Raises:
        WrongState: It does not.
    """
    worlds: dict[str, SharedWorld] = engine.kept("pod_worlds", dict)
    found = worlds.get(pod_id)
    if found is None:
        raise WrongState(
            f"cannot start a container of pod {pod_id[:12]} by itself: start the pod, which makes what its "
            "containers share"
        )
    return found


def start_reaper(world: SharedWorld, *, owned: bool) -> int:
    """Start the first process of a pod whose containers share their processes; returns its pid.

    It ends when it is killed, or with this process when the pod is *owned*.

    Raises:
        KernelError: It could not be started.
    """
    ours, theirs = socket_pair()
    with ours, theirs, open_path(os.devnull, os.O_RDWR) as nothing, _owner(owned) as owner:
        given = [nothing.fileno()] * 3 + [theirs.fileno(), owner.fileno()]
        given += [held.fileno() for held in world.held.values()]
        spawn_daemon(init_fd(), ("ckit-reaper", world.pod_id, "owned" if owned else "free"), given)
        theirs.close()
        answer = ours.recv(4)
    pid: int = struct.unpack("<i", answer)[0] if len(answer) == 4 else -3
    if pid < 0:
        raise KernelError.of(-pid, "cannot start the first process of a pod")
    return pid


@contextmanager
def _owner(owned: bool) -> Iterator[Descriptor]:
    found = open_process(os.getpid()) if owned else open_path(os.devnull, os.O_RDWR)
    with found:
        yield found
