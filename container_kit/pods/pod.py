"""Pod: one object for the whole life of a pod.

What happens in its life is decided by `deciding`, done by `running`; here is what a caller can ask.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from container_kit.containers import names
from container_kit.containers.container import Container
from container_kit.containers.lifecycle import close_all
from container_kit.containers.pod_places import PodPlaces, forget_member, member_ids
from container_kit.containers.state_file import read_state
from container_kit.errors import (
    ContainerKitError,
    InvalidInput,
    KernelError,
    NameInUse,
    NotFound,
    TimedOut,
    WrongState,
)
from container_kit.native import interrupts
from container_kit.pods.backoff import BackOffTimes
from container_kit.pods.making import PodWorld
from container_kit.pods.providing import LocalProvider
from container_kit.pods.record import PodRecord, read_pod_record, write_pod_record
from container_kit.pods.running import Runner
from container_kit.pods.seam import Handling, Object, Observer, Provider, Silent
from container_kit.pods.spec import PodSpec
from container_kit.pods.supervisor import supervisor_of

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.logs import LogLine
    from container_kit.containers.monitor_client import Attachment
    from container_kit.containers.options import Command
    from container_kit.containers.results import ExecResult
    from container_kit.containers.statistics import Stats

__all__ = ["Pod"]


class Pod:
    """A pod of an :class:`Engine`: start it, look at it, execute in it, stop it.

    As a context manager, it is ended and removed at the end of the block.

    Attributes:
        id: 64 hexadecimal digits, drawn when it was made.
        engine: Whose images it uses, below whose root it lives.
        name, namespace, uid: As its manifest says; a uid is drawn when it says none.
    """

    def __init__(self, engine: Engine, pod_id: str, spec: PodSpec | None = None) -> None:
        self.engine, self.id = engine, pod_id
        spec = spec or PodSpec.of(self._record().manifest)
        self.name, self.namespace, self.uid = spec.name, spec.namespace, spec.uid

    @classmethod
    def start(
        cls,
        manifest: Mapping[str, Any],
        *,
        engine: Engine | None = None,
        provider: Provider | None = None,
        observer: Observer | None = None,
        owned: bool = True,
        network: str = "",
        ip: str = "",
        cgroup: str = "",
        dns: Mapping[str, tuple[str, ...]] | None = None,
        labels: Mapping[str, str] | None = None,
        times: BackOffTimes | None = None,
    ) -> Pod:
        """A new pod, supervised by this process from now on; returns when it is being started.

        Args:
            manifest: A ``Pod`` as Kubernetes writes it; what is left out has its default.
            provider: Where images, variables and volumes come from; None means this machine.
            observer: Who hears of its life; None for nobody.
            owned: It ends with this process, however that ends. Otherwise its containers go on, and a later
                process takes it over with :meth:`adopt`.
            network: Of the engine; empty means the default one. ``host`` and ``none`` as for containers;
                ``spec.hostNetwork`` wins.
            ip: Its address there; empty for a free one.
            cgroup: Path below the engine's cgroup in which the pod's is made; empty for right there.
            dns: ``servers``, ``search`` and ``options`` for its ``/etc/resolv.conf``, before those of its
                ``dnsConfig``; None means those of its network.
            labels: For its containers, beside those of Kubernetes (``io.kubernetes.pod.name`` and so on).
            times: How long restarts wait; None means as in Kubernetes.

        Raises:
            InvalidInput: The manifest cannot be used; names the field.
            NotFound, Conflict, LimitExceeded: Of its network.
        """
        engine = _engine(engine)
        engine.check_open()
        spec = _with_uid(manifest)
        record = PodRecord(
            id=names.new_id(),
            manifest=spec.raw,
            created_ns=time.time_ns(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            owned=owned,
            network=network,
            ip=ip,
            cgroup=cgroup,
            labels=dict(labels or {}),
            dns=dict(dns or {}),
        )
        world = PodWorld(engine, record, spec)
        try:
            world.make_directory()
            write_pod_record(world.places.directory, record)
            world.make()
            return cls._supervised(world, provider, observer, times)
        except BaseException:
            world.remove()
            raise

    @classmethod
    def create(
        cls,
        manifest: Mapping[str, Any],
        *,
        engine: Engine | None = None,
        network: str = "",
        ip: str = "",
        labels: Mapping[str, str] | None = None,
        data: Iterable[Mapping[str, Any]] = (),
    ) -> Pod:
        """A new pod that nobody supervises; :meth:`run` starts it, and it stays until it is removed.

        Args:
            manifest, engine, network, ip, labels: As for :meth:`start`.
            data: ConfigMaps and Secrets that it refers to.

        Its monitors follow the restart policy, and a liveness probe that is a command; probes of other
        kinds and hooks are not carried out.

        Raises:
            InvalidInput: The manifest cannot be used; names the field.
            NameInUse: There is a pod of this name.
        """
        engine, spec = _engine(engine), _with_uid(manifest)
        if any(pod.name == spec.name for pod in cls.list(engine=engine)):
            raise NameInUse("pod", spec.name, "another pod")
        wishes = {"network": network, "ip": ip, "labels": dict(labels or {}), "data": tuple(map(dict, data))}
        from container_kit.pods.detached import create_detached

        record = create_detached(engine, spec, **wishes)
        return cls(engine, record.id)

    def run(self) -> Self:
        """Start the containers of a pod that nobody supervises; returns when they run.

        Raises:
            CommandFailed: An init container failed, and the pod never restarts.
            NotReady: A container lacks what it needs: an image, a ConfigMap.
            StartFailed: A program could not be executed.
        """
        record = self._record()
        if not record.detached:
            raise WrongState(f"pod {self.name} is supervised: it starts its containers by itself")
        from container_kit.pods.detached import start_detached

        start_detached(self, record, LocalProvider(record.data))
        return self

    @classmethod
    def adopt(
        cls,
        pod_id: str,
        *,
        engine: Engine | None = None,
        provider: Provider | None = None,
        observer: Observer | None = None,
        times: BackOffTimes | None = None,
    ) -> Pod:
        """Go on supervising a pod that another process left: its containers have gone on meanwhile.

        Where nothing of it runs any more, its namespaces are made anew (with another address).

        Raises:
            NotFound: There is no such pod.
            WrongState: Another process supervises it, or nobody is to.
        """
        engine = _engine(engine)
        record = read_pod_record(PodPlaces(engine.root, pod_id).directory)
        spec = PodSpec.of(record.manifest)
        if record.detached:
            raise WrongState(f"pod {spec.name} was made to be supervised by nobody: start it with Pod.run")
        world = PodWorld(engine, record, spec)
        world.take_lock()
        try:
            if not record.outcome and not world.join_living():
                world.take_back()
                world.make()
            _remove_strays(engine, record)
            return cls._supervised(world, provider, observer, times)
        except BaseException:
            world.let_go_of_lock()
            raise

    @classmethod
    def _supervised(
        cls,
        world: PodWorld,
        provider: Provider | None,
        observer: Observer | None,
        times: BackOffTimes | None,
    ) -> Pod:
        pod = cls(world.engine, world.record.id, world.spec)
        supervisor = supervisor_of(world.engine)
        handling = Handling(provider or LocalProvider(), observer or Silent(), times or BackOffTimes())
        supervisor.add(Runner(pod, world, supervisor, handling))
        return pod

    @classmethod
    def get(cls, name: str, *, engine: Engine | None = None) -> Pod:
        """The pod with this name, uid, id or unique beginning of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: Several are meant.
        """
        pods = cls.list(engine=engine)
        found = [pod for pod in pods if name in (pod.name, pod.uid, pod.id)]
        found = found or [pod for pod in pods if pod.id.startswith(name)]
        if not found:
            raise NotFound("pod", name)
        if len(found) > 1:
            raise InvalidInput(f"pod {name!r} is the name, or the beginning of the id, of {len(found)} pods")
        return found[0]

    @classmethod
    def list(cls, *, engine: Engine | None = None) -> builtins.list[Pod]:
        """All pods of the engine's root, newest first; also those that nobody supervises."""
        engine = _engine(engine)
        folder = f"{engine.root}/pods"
        records = []
        for pod_id in os.listdir(folder) if os.path.isdir(folder) else ():
            with contextlib.suppress(ContainerKitError):
                records.append(read_pod_record(f"{folder}/{pod_id}"))
        records.sort(key=lambda record: record.created_ns, reverse=True)
        return [cls(engine, record.id) for record in records]

    # Looking.

    def _record(self) -> PodRecord:
        runner = self._runner()
        if runner is not None:
            return runner.record
        return read_pod_record(PodPlaces(self.engine.root, self.id).directory)

    def _runner(self) -> Runner | None:
        return supervisor_of(self.engine).find(self.id)

    def _own_runner(self) -> Runner:
        runner = self._runner()
        if runner is None:
            raise WrongState(
                f"pod {self.name} is not supervised by this process: take it over with Pod.adopt first"
            )
        return runner

    @property
    def manifest(self) -> Object:
        """As it was given, or updated last; not to be changed."""
        return self._record().manifest

    @property
    def phase(self) -> str:
        """``Pending``, ``Running``, ``Succeeded`` or ``Failed``; ``Unknown`` where another process knows."""
        if self._runner() is None and not self._record().detached:
            return "Unknown"
        return str(self.status()["phase"])

    @property
    def created_ns(self) -> int:
        """When it was made, nanoseconds since the epoch."""
        return self._record().created_ns

    @property
    def ips(self) -> tuple[str, ...]:
        """Its addresses; empty on the host's network."""
        runner = self._runner()
        if runner is not None:
            return runner.world.ips
        endpoints = self.engine.networks.endpoints_of(self.id) if self.engine.has_networks else []
        return tuple(address for one in endpoints for address in one.addresses)

    def status(self) -> Object:
        """``PodStatus``: phase, conditions, podIP(s), startTime, (init|ephemeral) containerStatuses.

        ``PodScheduled``, ``hostIP`` and ``qosClass`` are the cluster's to add.  Not to be changed.

        Raises:
            WrongState: Another process supervises it.
        """
        record = self._record()
        if record.detached:
            from container_kit.pods.detached import detached_status

            return detached_status(self, record)
        runner = self._own_runner()
        if not runner.snapshot:
            supervisor_of(self.engine).loop.ask(runner.publish)
        return runner.snapshot

    # Changing.

    def update(self, manifest: Mapping[str, Any]) -> None:
        """Take over what may change in a running pod: ephemeral containers are started, resources resized,
        a container with another image is started again, deadlines and grace periods count from now on.

        Raises:
            InvalidInput: The manifest cannot be used.
        """
        runner, spec = self._own_runner(), PodSpec.of(manifest)
        supervisor_of(self.engine).loop.ask(lambda: runner.update(spec))

    def stop(
        self,
        grace_s: float | None = None,
        *,
        reason: str = "",
        message: str = "",
        wait: bool = True,
        timeout: float | None = None,
    ) -> None:
        """End it in good order: hooks, stop signals, sidecars last, SIGKILL after the grace period.

        Args:
            grace_s: None means ``terminationGracePeriodSeconds``; may be called again to shorten it.
            reason, message: For a pod that is made to fail (``Evicted``, ``DeadlineExceeded``): its phase is
                ``Failed`` then.
            wait: Return when all has ended; else at once, and the observer hears of it.
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            TimedOut: It has not ended in time.
        """
        record = self._record()
        if record.detached:
            from container_kit.pods.detached import stop_detached

            stop_detached(self, record, grace_s)
            return
        runner = self._own_runner()
        supervisor_of(self.engine).loop.ask(lambda: runner.stop(grace_s, reason, message))
        if wait and not _await(runner, lambda: runner.outcome is not None, timeout):
            raise TimedOut(f"pod {self.name} has not ended within {timeout} s")

    def wait(self, condition: Literal["Ready", "Ended"] = "Ready", timeout: float | None = None) -> Object:
        """Wait until it is ready, or has ended for good; returns its status.

        Raises:
            TimedOut: It was not in time.
            WrongState: It has ended, and cannot become ready.
        """
        runner = self._own_runner()
        if not _await(runner, lambda: runner.outcome is not None or _is(runner, condition), timeout):
            raise TimedOut(f"pod {self.name} is not {condition.lower()} after {timeout} s: {_why(runner)}")
        if condition == "Ready" and runner.outcome is not None:
            raise WrongState(f"pod {self.name} will not become ready: it has {runner.outcome.lower()}")
        return runner.snapshot

    def remove(self, *, force: bool = False) -> None:
        """Remove it with its containers, logs, volumes of its own, and place on the network.

        Raises:
            WrongState: It runs, and *force* was not given; or another process supervises it.
        """
        runner = self._runner()
        runs = runner.outcome is None if runner is not None else self._runs_by_itself()
        if runs and not force:
            raise WrongState(
                f"cannot remove pod {self.name}: it runs; stop it first, or remove it with force"
            )
        if runner is not None:
            supervisor_of(self.engine).drop(runner)
            world = runner.world
        else:
            try:
                record = self._record()
            except NotFound:
                return
            world = PodWorld(self.engine, record, PodSpec.of(record.manifest))
            world.take_lock()
        self._remove_containers()
        world.remove()

    def _runs_by_itself(self) -> bool:
        directories = (self.engine.catalogue.directory(one) for one in member_ids(self.engine, self.id))
        return any(read_state(one).is_live for one in directories)

    def _remove_containers(self) -> None:
        while ids := [*member_ids(self.engine, self.id)]:
            close_all(self.engine, ids)
            for container_id in ids:  # one that was never whole
                forget_member(self.engine, self.id, container_id)

    # One container; *container* may be left out where there is one, or one is meant by the annotation
    # ``kubectl.kubernetes.io/default-container``.

    def container(self, container: str = "", *, previous: bool = False) -> Container:
        """The container of this name as it is now, or the one before its last restart.

        Raises:
            NotFound: There is none of this name, or it has not been started (again).
        """
        record = self._record()
        name = container or PodSpec.of(record.manifest).default_container()
        note = record.containers.get(name)
        found = "" if note is None else note.previous if previous else note.id
        if not found:
            which = "previous terminated container" if previous else "container"
            raise NotFound(which, f"{self.name}/{name}")
        return Container(self.engine, found)

    def containers(self) -> builtins.list[Container]:
        """Its containers as they are now, in the order in which they are started."""
        return [Container(self.engine, note.id) for note in self._record().containers.values() if note.id]

    def logs(self, container: str = "", *, previous: bool = False, **options: Any) -> Iterator[LogLine]:
        """As :meth:`Container.logs`."""
        return self.container(container, previous=previous).logs(**options)

    def exec(self, command: Command, container: str = "", **options: Any) -> ExecResult:
        """As :meth:`Container.exec`."""
        return self.container(container).exec(command, **options)

    def popen(
        self,
        command: Command,
        container: str = "",
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        **options: Any,
    ) -> ExecProcess:
        """As :meth:`Container.popen`."""
        return self.container(container).popen(command, stdin=stdin, stdout=stdout, stderr=stderr, **options)

    def attach(self, container: str = "", **options: Any) -> Attachment:
        """As :meth:`Container.attach`."""
        return self.container(container).attach(**options)

    def connect(self, port: int, host: str = "127.0.0.1", timeout: float | None = 10.0) -> socket.socket:
        """A TCP connection to a port inside of the pod's network, as port-forward needs it.

        Raises:
            ConnectionRefusedError: Nobody listens.
            WrongState: It does not run.
        """
        shared = self._own_runner().shared
        if shared is None:
            raise WrongState(f"cannot connect to pod {self.name}: it does not run")
        connection = shared.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect((host, port))
            return connection
        except BaseException:
            connection.close()
            raise

    def stats(self) -> Mapping[str, Stats]:
        """What its running containers use, by name."""
        found = {}
        for name, note in self._record().containers.items():
            with contextlib.suppress(WrongState, NotFound, KernelError):
                found[name] = Container(self.engine, note.id).stats()
        return found

    def close(self) -> None:
        """End and remove it if this process owns it; else only stop supervising.  May be repeated."""
        runner = self._runner()
        if runner is None:
            return
        if runner.record.owned:
            self.remove(force=True)
            return
        supervisor_of(self.engine).drop(runner)
        runner.world.hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pod) and (self.id, self.engine.root) == (other.id, other.engine.root)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Pod({self.name!r})"


def _engine(engine: Engine | None) -> Engine:
    if engine is not None:
        return engine
    from container_kit.containers.engine import Engine

    return Engine.default()


def _with_uid(manifest: Mapping[str, Any]) -> PodSpec:
    """What the manifest says, with a uid."""
    spec = PodSpec.of(manifest)
    if spec.uid:
        return spec
    return PodSpec.of({**manifest, "metadata": {**manifest["metadata"], "uid": str(uuid.uuid4())}})


def _remove_strays(engine: Engine, record: PodRecord) -> None:
    """Remove containers that were being started when the pod's supervisor was killed."""
    notes = record.containers.values()
    known = {note.id for note in notes} | {note.previous for note in notes}
    strays = [one for one in member_ids(engine, record.id) if one not in known]
    close_all(engine, strays)
    for container_id in strays:  # one that was never whole
        forget_member(engine, record.id, container_id)


def _is(runner: Runner, condition: str) -> bool:
    conditions = runner.snapshot.get("conditions", ())
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def _why(runner: Runner) -> str:
    """What its containers are doing, for a message."""
    statuses = [
        one
        for field in ("initContainerStatuses", "containerStatuses")
        for one in runner.snapshot.get(field, ())
    ]
    states = [f"{one['name']} {next(iter(one['state'].items()))}" for one in statuses if one["state"]]
    return "; ".join(states)


def _await(runner: Runner, is_so: Callable[[], bool], timeout: float | None) -> bool:
    """Wait until it is so; False when time is up first."""

    def wake() -> None:
        with runner.changed:
            runner.changed.notify_all()

    deadline = None if timeout is None else time.monotonic() + timeout
    with interrupts.hooked(wake), runner.changed:
        while not is_so():
            interrupts.check()
            left = None if deadline is None else deadline - time.monotonic()
            if runner.is_gone or (left is not None and left <= 0):
                return is_so()
            runner.changed.wait(left)
    return True
