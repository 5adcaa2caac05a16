"""Making a container from a bundle, up to the point where only its program is missing.

Order: keep the configuration, make the cgroup, start the process, run the hooks beside it while it waits at
its meeting point.  What fails half-way is undone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from datetime import UTC, datetime
from pwd import getpwuid

import attrs

from container_kit.containers.bundle import Bundle, cgroup_place, with_home
from container_kit.containers.bundle_hooks import run_hooks, run_hooks_leniently
from container_kit.containers.bundle_process import CONFIG_COPY, forget_parent, seccomp_filter, send_signal
from container_kit.containers.bundle_state import Place, Record, process_start_ticks
from container_kit.errors import WrongState
from container_kit.runtime.cgroups import Cgroup, Cgroups
from container_kit.runtime.compile import compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.launch import Launched, launch
from container_kit.runtime.plan import Op, Plan
from container_kit.runtime.resources import device_rules, limits_of

__all__ = ["Birth"]

_PATIENCE_S = 10.0


class Birth:
    """One create: what has been made so far, so that it can be undone."""

    def __init__(self, place: Place, bundle: Bundle, *, keyring: bool, systemd_cgroup: bool) -> None:
        self._place, self._bundle, self._keyring = place, bundle, keyring
        spec = bundle.spec
        parent, name = cgroup_place(spec, place.id, systemd=systemd_cgroup)
        self._cgroup: Cgroup | None = None
        self._record = Record(
            id=place.id,
            bundle=bundle.path,
            root=bundle.root,
            created=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            owner=_user_name(),
            oci_version=spec.oci_version,
            cgroup_parent=parent,
            cgroup_name=name,
            annotations=spec.annotations,
        )

    def launch(self, preserve_fds: int) -> Launched:
        """Start the process that waits; its record is complete when this returns."""
        spec = self._bundle.spec
        self._place.keep(CONFIG_COPY, self._bundle.document)
        self._place.write(self._record)
        cgroups = Cgroups(Host.probe().cgroups, self._record.cgroup_parent)
        limits = limits_of(spec.linux.resources)
        self._cgroup = cgroups.create(self._record.cgroup_name, limits, device_rules(spec.linux.resources))
        with self._place.listen() as listener:
            launched = launch(
                self._plan(self._cgroup),
                stdin=0,
                stdout=1,
                stderr=2,
                slots=(listener.fileno(),),
                preserve_fds=tuple(range(3, 3 + preserve_fds)),
                cgroup_fd=self._cgroup.v2_fd if self._cgroup.v2 else -1,
                on_sync=self._meet,
            )
        launched.let_go()  # it is the container's now: what fails from here on is undone by `undo`
        self._born(launched.pid)
        return launched

    def _plan(self, cgroup: Cgroup) -> Plan:
        spec = self._bundle.spec
        assert spec.process is not None
        program, flags = seccomp_filter(spec)
        plan = compile_plan(
            attrs.evolve(spec, process=with_home(spec.process, self._bundle.root)),
            self._bundle.rootfs,
            host=Host.probe(),
            cgroup_tasks=cgroup.tasks_files,
            seccomp=program,
            seccomp_flags=flags,
            wait_for_start=True,
        )
        if self._keyring:
            return plan
        return attrs.evolve(plan, steps=tuple(step for step in plan.steps if step.op != Op.KEYRING))

    def _meet(self, number: int, pid: int) -> bytes:
        """The namespaces exist and the root is not entered yet: the hooks beside the container run."""
        if self._record.pid == 0:
            self._born(pid)
            state = self._record.state("creating")
            hooks = self._bundle.spec.hooks
            run_hooks("prestart", hooks.prestart, state)
            run_hooks("createRuntime", hooks.create_runtime, state)
        return json.dumps(self._record.state("creating")).encode()

    def _born(self, pid: int) -> None:
        self._record = attrs.evolve(self._record, pid=pid, start_ticks=process_start_ticks(pid))
        self._place.write(self._record)

    def undo(self) -> list[str]:
        """Leave nothing of what could not be created; returns what its poststop hooks got wrong."""
        if self._record.is_alive():
            with contextlib.suppress(WrongState):
                send_signal(self._record, signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.kill()
            self._cgroup.try_remove(timeout_s=_PATIENCE_S)
            forget_parent(self._record)
        self._place.remove()
        if not self._record.pid:
            return []
        hooks = self._bundle.spec.hooks.poststop
        return run_hooks_leniently("poststop", hooks, self._record.state("stopped"))


def _user_name() -> str:
    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
