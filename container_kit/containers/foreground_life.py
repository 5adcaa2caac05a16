"""One container of a `run` call, from its directory to its removal, as a context manager.

Only what the program needs is done before it starts; record, state and events are written while it runs.
Leaving the block kills what still runs and hands everything else to the janitor.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from container_kit.containers import names
from container_kit.containers.events import format_time
from container_kit.containers.kept_layers import KeptRoot
from container_kit.containers.networking import HeldNetwork, own_names
from container_kit.containers.own_etc import write_etc
from container_kit.containers.record import write_record
from container_kit.containers.removal import remove_directory
from container_kit.containers.state_file import (
    ContainerState,
    HeldLock,
    boot_id,
    make_locked,
    start_ticks,
    write_state,
)
from container_kit.containers.volume_users import (
    make_own_volumes,
    mounted_disks,
    release_volumes,
    take_volumes,
)
from container_kit.errors import ContainerKitError, KernelError
from container_kit.native.interrupts import working_for
from container_kit.native.process import send_signal, wait
from container_kit.runtime.launch import Launched, launch
from container_kit.runtime.parking import Parked

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.recipes import Plans, Recipe
    from container_kit.containers.record import Record
    from container_kit.containers.streams import Streams
    from container_kit.native.descriptors import Descriptor
    from container_kit.network.values import PublishedPort
    from container_kit.oci.rootfs import RootFs
    from container_kit.runtime.cgroups import Cgroup
    from container_kit.store import Lease

__all__ = ["ForegroundContainer"]

_KILLED = 137


class ForegroundContainer:
    """A container that this call is the parent of.

    Attributes:
        id: 64 hex digits.
        launched: The running program, after :meth:`launch`.
        was_spare: It had been made ahead.
        oom_killed: Whether the kernel killed a process for the memory limit, after :meth:`ended`.
    """

    launched: Launched
    _is_submitted = True  # until there is something to clear away

    def __init__(self, engine: Engine, recipe: Recipe) -> None:
        self.engine, self.recipe = engine, recipe
        self.id = names.new_id()
        self.oom_killed = False
        self.was_spare = False
        self._directory = engine.catalogue.directory(self.id)
        self._record: Record | None = None
        self._lease: Lease | None = None
        self._cgroup: Cgroup | None = None
        self._lock: HeldLock | None = None
        self._root: RootFs | None = None
        self._network: HeldNetwork | None = None
        self._kept: KeptRoot | None = None
        self._plans: Plans | None = None
        self._parked: Parked | None = None
        self._is_running = self._is_made = False
        self._process = os.getpid()
        self._is_submitted = False

    @property
    def directory(self) -> str:
        """Its own directory, removed with it."""
        return self._directory

    @property
    def root(self) -> RootFs:
        """What its root is made of, once it is made."""
        assert self._root is not None
        return self._root

    @property
    def layers(self) -> tuple[str, ...]:
        """Where its layers can be looked at, uppermost first, as long as it lives; none of a plain copy."""
        return self._layers().directories

    def __enter__(self) -> Self:
        if not self._is_made:
            self.make()
        return self

    def make(self) -> Self:
        """Make everything that the program needs; a spare one has this done ahead."""
        try:
            self._make()
        except BaseException:
            self._leave()
            raise
        self._is_made = True
        return self

    def _make(self) -> None:
        engine, recipe = self.engine, self.recipe
        self._lease = recipe.lease(engine.store)
        self._lock = make_locked(self._directory)
        if recipe.options.name:
            names.claim(engine.catalogue.names_fd, recipe.options.name, self.id, self._directory)
        engine.check_layers(recipe.image.layers)
        self._root = engine.snapshotter.prepare(self._directory, recipe.image.layers, volatile=True)
        if recipe.mounts:
            make_own_volumes(engine, recipe.claim(self.id, self._directory))
        self._cgroup = engine.cgroups.create(self.id, recipe.limits, recipe.device_rules)
        engine.own(self.id)
        engine.guardian.add(
            self.id,
            self._directory,
            cgroup2=self._cgroup.v2,
            cgroups=self._cgroup.paths,
            name_file=engine.name_file(recipe.options.name),
        )
        self._make_network()

    def _make_network(self) -> None:
        """Bring it onto its networks, if it has any, and write what programs inside read about that."""
        engine, recipe, options = self.engine, self.recipe, self.recipe.options
        if recipe.network is not None:
            self._network = HeldNetwork(engine, self.id, owned=True)
            name = options.name or names.generated_name(self.id)
            found = own_names(self.id, name, options.hostname)
            self._network.open(recipe.network, found, user_namespace=recipe.walls.user_namespace)
        held = self._network
        if held is None:
            write_etc(engine, self.id, options)
        else:
            write_etc(engine, self.id, options, held.endpoints, held.hosts)

    def park(self) -> None:
        """Have a process wait in the container's world for its program.

        Raises:
            StartFailed, KernelError: The world cannot be made.
        """
        self._plans = self._plans_of(self.recipe)
        self._parked = Parked(self._plans.world, cgroup_fd=self._cgroup_fd, slots=self._slots)
        self._guard_process(self._parked.pidfd)

    def _guard_process(self, pidfd: int) -> None:
        """Without a cgroup, by which its processes are found, the guardian has to know the first of them."""
        if self._cgroup is not None and not self._cgroup.paths:
            self.engine.guardian.add_process(self.id, pidfd)

    def can_be(self, recipe: Recipe, surroundings: bytes) -> bool:
        """Whether it is what a thread with these `surroundings` would make for *recipe* now."""
        if self._parked is not None and not self._parked.suits(surroundings):
            return False
        if recipe is self.recipe:
            return True
        if self._plans is None or not recipe.has_pattern or recipe.kind != self.recipe.kind:
            return False
        return recipe.is_parkable and self._plans_of(recipe).world == self._plans.world

    def become(self, recipe: Recipe) -> bool:
        """Be the container of *recipe*, which it can be; False when its process is no more."""
        if self._parked is not None and not self._parked.is_alive():
            return False
        if recipe is not self.recipe:
            self.recipe, self._plans = recipe, self._plans_of(recipe)
        self.was_spare = True
        return True

    def _plans_of(self, recipe: Recipe) -> Plans:
        assert self._cgroup is not None
        return recipe.plans_for(self.engine, self.id, self._layers(), self._cgroup)

    def _layers(self) -> KeptRoot:
        """The root with mounts of its layers, which it holds for as long as it lives."""
        if self._kept is None:
            # A user namespace shows the layers with other owners, by mounts of their own.
            whole = self.root
            alone = self.recipe.walls.user_namespace
            self._kept = KeptRoot(whole, whole) if alone else self.engine.kept_layers.of(whole)
        return self._kept

    @property
    def _slots(self) -> list[int]:
        """The descriptors that its plan is passed."""
        return [*self._layers().slots, *(self._network.slots if self._network is not None else ())]

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What is published of it."""
        return () if self._network is None else self._network.ports

    @property
    def _cgroup_fd(self) -> int:
        assert self._cgroup is not None
        return -1 if self._cgroup.v2 is None else self._cgroup.v2_fd

    def launch(self, streams: Streams) -> None:
        """Start the program, and write down that it runs.

        Raises:
            StartFailed: 127 when it is not in the image, 126 when it cannot be executed, else 125.
            StoreFull: Its record cannot be written; it has been killed.
        """
        if self._parked is None:
            self._launch(streams, self._take_volumes())
        else:
            self._let_go(self._parked, streams)
        assert self._record is not None
        self.engine.note("create", self._record)
        self.engine.note("start", self._record)

    def _take_volumes(self) -> list[Descriptor]:
        """Hold the volumes with names; of those with a size, the mounts, to be passed on."""
        recipe = self.recipe
        if not recipe.mounts:
            return []
        claim = recipe.claim(self.id, self._directory)
        take_volumes(self.engine, claim)
        return mounted_disks(self.engine, claim, recipe.options)

    def _launch(self, streams: Streams, disks: list[Descriptor]) -> None:
        self.launched = launch(
            self._plans_of(self.recipe).whole,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            slots=[*self._slots, *(disk.fileno() for disk in disks)],
            cgroup_fd=self._cgroup_fd,
        )
        self._is_running = True
        self._guard_process(self.launched.pidfd)
        for disk in disks:
            disk.close()
        streams.started()
        streams.talkative()
        self._record = self._write_down(self.launched.pid)

    def _let_go(self, parked: Parked, streams: Streams) -> None:
        """The parked process goes on; while it does, it is written down that it runs."""
        assert self._plans is not None
        parked.go(self._plans.process, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr)
        streams.started()
        streams.talkative()
        record = self._write_down(parked.pid)
        self.launched = parked.follow()
        self._is_running = True
        self._parked = None
        self._record = record

    def _write_down(self, pid: int) -> Record:
        state = ContainerState(
            status="running",
            pid=pid,
            start_ticks=start_ticks(pid),
            boot_id=self.engine.kept("boot_id", boot_id),
            started_at=format_time(time.time_ns()),
        )
        record = self.recipe.record_for(self.id, self.engine.owner_token.token)
        write_state(self._directory, state)
        write_record(self._directory, record)
        return record

    def ended(self, exit_code: int) -> None:
        """The program has ended and been reaped."""
        self._is_running = False
        if exit_code == _KILLED and self._cgroup is not None:
            self.oom_killed = self._cgroup.oom_kills() > 0
        if self._record is not None:
            if self.oom_killed:
                self.engine.note("oom", self._record)
            self.engine.note("die", self._record, exit_code=str(exit_code))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process != os.getpid():
            return  # forked in the middle: it is the parent's
        try:
            if self._is_running:
                self._kill()
        finally:
            self._leave()

    def _kill(self) -> None:
        send_signal(self.launched.pidfd, 9)
        # ECHILD: it has been reaped already.  And whoever is interrupted waits for this end all the same.
        with contextlib.suppress(KernelError), working_for(None):
            self.ended(wait(self.launched.pidfd))

    def _leave(self) -> None:
        """Free name and volumes, for whoever comes next, and have the rest cleared away."""
        if self.recipe.options.name:
            names.release(self.engine.catalogue.names_fd, self.recipe.options.name, self.id)
        release_volumes(self.engine, self.id, self.recipe.mounts)
        if self._network is not None and self.engine.janitor.is_behind:
            # A network has so many addresses: those of ended ones are given back before they run out.
            with contextlib.suppress(Exception):
                self._is_submitted = self._clear()
        if not self._is_submitted:
            self._submit()

    def discard(self) -> None:
        """Clear away one whose program was never started, at once; the janitor does what fails."""
        self._is_submitted, is_clear = True, False
        with contextlib.suppress(Exception):
            is_clear = self._clear()
        if not is_clear:
            self._submit()

    def _submit(self) -> None:
        self.engine.janitor.submit(f"container {self.id[:12]}", self._clear)
        self._is_submitted = True

    def __del__(self) -> None:
        # A signal handler may raise at any step, in the steps of leaving too; this is what is left then.
        if not self._is_submitted and self._process == os.getpid():
            self._submit()

    def _clear(self) -> bool:
        """Free everything; False when the cgroup is still busy. In the janitor's thread; may be repeated."""
        if self._is_running:
            self._kill()
        was_parked = self._parked is not None
        if self._parked is not None:
            self._parked.abandon()
        has_ended = was_parked or self._launched_fds() is not None
        if self._cgroup is not None and (self.recipe.shares_processes or not has_ended):
            # Only the end of an own pid namespace takes all processes along; and one that was cut off in the
            # middle of its start may have some.
            with contextlib.suppress(ContainerKitError):
                self._cgroup.kill()
        if self.recipe.options.name:
            names.release(self.engine.catalogue.names_fd, self.recipe.options.name, self.id)
        if self._record is not None:
            self.engine.note("destroy", self._record)
            self._record = None
        self._close_fds()
        if self._network is not None:
            self._network.close()
        if self._cgroup is not None and not self._cgroup.try_remove():
            return False
        remove_directory(self.engine.catalogue.containers, self.id)
        release_volumes(self.engine, self.id, self.recipe.mounts)
        if self._lock is not None:
            self._lock.close()
        if self._lease is not None:
            self._lease.close()
        self.engine.disown(self.id)
        return True

    def _launched_fds(self) -> Launched | None:
        return getattr(self, "launched", None)

    def _close_fds(self) -> None:
        launched = self._launched_fds()
        if launched is not None:
            launched.close()
