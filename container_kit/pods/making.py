"""What a pod has besides its containers: its directory, namespaces, places on networks, files and cgroup.

Made before the first container, held while this process supervises the pod, taken back after the last one.
What has to go should this process be killed is announced to the guardian before it is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from container_kit.containers import etc_files
from container_kit.containers.networking import HeldNetwork, network_wish
from container_kit.containers.options import ContainerOptions
from container_kit.containers.own_etc import etc_of
from container_kit.containers.pod_places import PodPlaces, member_ids
from container_kit.containers.pod_sweeping import remove_pod_directory
from container_kit.containers.shared_world import SharedWorld, start_reaper
from container_kit.containers.state_file import (
    HeldLock,
    hold_lock,
    make_locked,
    read_state,
    start_ticks,
    wait_released,
)
from container_kit.errors import ContainerKitError, KernelError
from container_kit.images import RunDefaults
from container_kit.native.descriptors import open_process
from container_kit.native.process import send_signal
from container_kit.pods.seam import Object
from container_kit.pods.settings import pod_limits
from container_kit.runtime.devices import ALLOW_ALL

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.native.namespaces import NetworkNamespace
    from container_kit.pods.record import PodRecord
    from container_kit.pods.spec import PodSpec
    from container_kit.runtime.cgroups import Cgroup

__all__ = ["PodWorld"]

_LONGEST_HOSTNAME = 63
_MOMENT_S = 0.3


class PodWorld:
    """The place in which the containers of one pod live.

    Attributes:
        shared: Its namespaces.
        ips: Its addresses.
        reaper: Pid and start ticks of its first process; zeros for a pod that needs none.
        is_new: It was made here and now, so nothing of an earlier life runs in it.
    """

    def __init__(self, engine: Engine, record: PodRecord, spec: PodSpec) -> None:
        self.engine, self.record, self.spec = engine, record, spec
        self.places = PodPlaces(engine.root, record.id)
        self.shared: SharedWorld | None = None
        self.ips: tuple[str, ...] = ()
        self.reaper = record.reaper
        self.is_new = False
        self._network: HeldNetwork | None = None
        self._lone: NetworkNamespace | None = None
        self._lock: HeldLock | None = None

    # The directory and its lock.

    def make_directory(self) -> None:
        """Make the pod's directory and take its lock."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(self.places.directory), 0o700)
        self._lock = make_locked(self.places.directory)
        os.mkdir(self.places.members, 0o700)
        if self.record.owned:
            os.symlink(self.engine.owner_token.token, self.places.owner)
            groups = [path for path in self._cgroup.paths if path != self._cgroup.v2]
            self.engine.guardian.add(
                self.record.id, self.places.directory, cgroup2=self._cgroup.v2, cgroups=groups
            )

    def take_lock(self) -> None:
        """Be the one that supervises the pod.

        A process that the last one was just starting when it was killed may have the lock for a moment.

        Raises:
            WrongState: Another process does.
        """
        wait_released(self.places.directory, _MOMENT_S)
        self._lock = hold_lock(self.places.directory)

    def let_go_of_lock(self) -> None:
        """Others may supervise the pod from now on."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # The namespaces.

    def make(self) -> None:
        """Make its cgroup, network, namespaces and files.

        Raises:
            NotFound, Conflict, LimitExceeded: Of its network.
            KernelError, PermissionMissing, UnsupportedFeature: This host does not allow it.
        """
        self.is_new = True
        self._make_cgroup()
        options = self._options()
        network = self._open_network(options)
        self.shared = SharedWorld.make(self.record.id, network, ipc=not self.spec.host_ipc)
        if not self.record.owned:
            self.shared.network = self._network
        self._register()
        if self.spec.shares_processes and not self.spec.host_pid:
            self._start_reaper()

    def join_living(self) -> bool:
        """Hold the namespaces in which containers of the pod still live; False when none does."""
        for container_id in member_ids(self.engine, self.record.id):
            state = read_state(self.engine.catalogue.directory(container_id))
            if state.status not in ("running", "paused"):
                continue
            with contextlib.suppress(KernelError):
                self.shared = SharedWorld.of_process(self.record.id, state.pid, self._kinds())
                self.ips = self._endpoint_addresses()
                self._register()
                return True
        return False

    def _kinds(self) -> tuple[str, ...]:
        kinds = [] if self.spec.host_network else ["network"]
        kinds += [] if self.spec.host_ipc else ["ipc"]
        return (*kinds, "uts", *(["pid"] if self.spec.shares_processes and not self.spec.host_pid else []))

    def _register(self) -> None:
        worlds: dict[str, SharedWorld] = self.engine.kept("pod_worlds", dict)
        assert self.shared is not None
        worlds[self.record.id] = self.shared

    def _make_cgroup(self) -> None:
        below = self.engine.cgroups_below(self.record.cgroup)
        # Devices are each container's own affair: what the pod's cgroup refused, none of them could have.
        below.create(self.places.cgroup, pod_limits(self.spec.spec), ALLOW_ALL).close()

    @property
    def _cgroup(self) -> Cgroup:
        return self.engine.cgroups_below(self.record.cgroup).open(self.places.cgroup)

    @property
    def cgroup_path(self) -> str:
        """Of the pod's cgroup below that of all containers."""
        above = self.record.cgroup
        return f"{above}/{self.places.cgroup}" if above else self.places.cgroup

    def _options(self) -> ContainerOptions:
        """The pod as if it were one container: what its network and its files are made from."""
        spec, config = self.spec.spec, self.spec.spec.get("dnsConfig") or {}
        aliases = [(name, one["ip"]) for one in spec.get("hostAliases") or () for name in one["hostnames"]]
        words = [_option(one) for one in config.get("options") or ()]
        dns = self.record.dns
        return ContainerOptions(
            hostname=self.hostname,
            network=self._network_name(),
            ports=() if self.spec.host_network else _host_ports(spec),
            ip="" if self.spec.host_network else self.record.ip,
            extra_hosts=aliases,
            dns=[*dns.get("servers", ()), *(config.get("nameservers") or ())][:3],
            dns_search=[*dns.get("search", ()), *(config.get("searches") or ())],
            dns_options=[*dns.get("options", ()), *words],
        )

    def _network_name(self) -> str:
        return "host" if self.spec.host_network else self.record.network or "bridge"

    @property
    def hostname(self) -> str:
        """What the pod's containers are called; on the host's network, what the host is."""
        name = socket.gethostname() if self.spec.host_network else self.spec.hostname
        return name[:_LONGEST_HOSTNAME]

    def _open_network(self, options: ContainerOptions) -> int | None:
        wish = network_wish(options, RunDefaults())
        files = etc_files.write_files
        if wish is None:
            files(self.places.directory, etc_of(self.record.id, options, (), ()))
            return None if self.spec.host_network else self._lone_network()
        held = self._network = HeldNetwork(self.engine, self.record.id, owned=self.record.owned)
        held.open(wish, (self.hostname,), user_namespace=False)
        servers = () if options.dns else held.sandbox.dns
        self.ips = tuple(address for one in held.endpoints for address in one.addresses)
        files(self.places.directory, etc_of(self.record.id, options, held.endpoints, servers, held.hosts))
        return held.sandbox.namespace.held.fileno()

    def _lone_network(self) -> int:
        """A namespace with a loopback alone."""
        from container_kit.native.namespaces import new_network
        from container_kit.native.user_namespace import enter_fd

        self._lone = new_network(enter_fd() or None)
        return self._lone.held.fileno()

    def _start_reaper(self) -> None:
        assert self.shared is not None
        pid = start_reaper(self.shared, owned=self.record.owned)
        self.reaper = pid, start_ticks(pid)
        self.shared.share_processes(pid)

    def _endpoint_addresses(self) -> tuple[str, ...]:
        endpoints = self.engine.networks.endpoints_of(self.record.id) if self.engine.has_networks else []
        return tuple(address for one in endpoints for address in one.addresses)

    # Letting go, and taking back.

    def hand_over(self) -> None:
        """Let go in this process only: monitors hold the namespaces, and what is in the network stays."""
        if self._network is not None:
            self._network.hand_over()
            self._network = None
        self._forget_shared()
        self.let_go_of_lock()

    def take_back(self) -> None:
        """End what the pod shares: its first process, network, cgroup.  May be repeated."""
        self._kill_reaper()
        if self._network is not None:
            self._network.close()
            self._network = None
        else:
            self._leave_networks()
        self._forget_shared()
        if not self._is_without_cgroup():
            self.engine.janitor.submit(f"cgroup of pod {self.record.id[:12]}", self._is_without_cgroup)

    def remove(self) -> None:
        """Take back everything, and the directory with it."""
        self.take_back()
        remove_pod_directory(self.engine, self.record.id)
        self.let_go_of_lock()
        if self.record.owned:
            self.engine.guardian.remove(self.record.id)

    def _is_without_cgroup(self) -> bool:
        """Remove its cgroup, and those around it that were made for pods, if nothing is in them."""
        with contextlib.suppress(ContainerKitError, OSError):
            if not self._cgroup.try_remove():
                return False
            above = self.record.cgroup
            while above:
                self.engine.cgroups_below(above).remove_parent()
                above = above.rpartition("/")[0]
        return True

    def _forget_shared(self) -> None:
        worlds: dict[str, SharedWorld] = self.engine.kept("pod_worlds", dict)
        worlds.pop(self.record.id, None)
        if self.shared is not None:
            self.shared.close()
            self.shared = None
        if self._lone is not None:
            self._lone.close()
            self._lone = None

    def _leave_networks(self) -> None:
        """For a pod whose network another process made."""
        if self.spec.host_network or not self.engine.has_networks:
            return
        from container_kit.network.joining import Joining

        networks = self.engine.networks
        for endpoint in networks.endpoints_of(self.record.id):
            with contextlib.suppress(ContainerKitError, FileNotFoundError):
                Joining.of(networks, endpoint).leave(None)

    def _kill_reaper(self) -> None:
        pid, ticks = self.reaper
        with contextlib.suppress(OSError):
            if pid and start_ticks(pid) == ticks:
                with open_process(pid) as process:
                    send_signal(process.fileno(), signal.SIGKILL)
        self.reaper = (0, 0)


def _option(one: Mapping[str, str]) -> str:
    return f"{one['name']}:{one['value']}" if one.get("value") else one["name"]


def _host_ports(spec: Object) -> list[str]:
    """The ports that a pod's containers publish on the host, in docker's words."""
    found = []
    for one in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        for port in one.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or "0.0.0.0"  # noqa: S104
                protocol = (port.get("protocol") or "TCP").lower()
                host = f"[{address}]" if ":" in address else address
                found.append(f"{host}:{port['hostPort']}:{port['containerPort']}/{protocol}")
    return found
