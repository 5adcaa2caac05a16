"""Pod: one object for the whole life of a pod.

What happens in its life is decided by `deciding`, done by `running`; here is what a caller can ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from container_kit.pods.seam import Object, Observer, Provider

if TYPE_CHECKING:
    import builtins
    import socket

    from container_kit.containers import Container, Engine
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.logs import LogLine
    from container_kit.containers.monitor_client import Attachment
    from container_kit.containers.results import ExecResult
    from container_kit.containers.statistics import Stats

__all__ = ["Pod"]


class Pod:
    """A pod of an :class:`Engine`: start it, look at it, execute in it, stop it.

    Attributes:
        id: 64 hexadecimal digits, drawn when it was made.
        name, namespace, uid: As its manifest says; a uid is drawn when it says none.
        engine: Whose images it uses, below whose root it lives.
    """

    engine: Engine
    id: str
    name: str
    namespace: str
    uid: str

    @classmethod
    def start(
        cls,
        manifest: Mapping[str, Any],
        *,
        engine: Engine | None = None,
        provider: Provider | None = None,
        observer: Observer | None = None,
        owned: bool = True,
        network: str = "bridge",
        ip: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Pod:
        """A new pod, supervised by this process from now on; returns when it is being started.

        Args:
            manifest: A ``Pod`` as Kubernetes writes it; what is left out has its default.
            owned: It ends with this process, however that ends. Otherwise its containers go on, and a later
                process takes it over with :meth:`adopt`.
            network: Of the engine; ``host`` and ``none`` as for containers. ``spec.hostNetwork`` wins.
            ip: Its address there; empty for a free one.
            labels: For its containers, beside those of Kubernetes (``io.kubernetes.pod.name`` and so on).

        Raises:
            InvalidInput: The manifest cannot be used; names the field.
            NotFound, Conflict, LimitExceeded: Of its network.
        """
        raise NotImplementedError

    @classmethod
    def adopt(
        cls,
        pod_id: str,
        *,
        engine: Engine | None = None,
        provider: Provider | None = None,
        observer: Observer | None = None,
    ) -> Pod:
        """Go on supervising a pod that another process left: its containers have gone on meanwhile.

        Where nothing of it runs any more, its namespaces are made anew (with another address).
        """
        raise NotImplementedError

    @classmethod
    def list(cls, *, engine: Engine | None = None) -> builtins.list[Pod]:
        """All pods of the engine's root, newest first; also those that nobody supervises."""
        raise NotImplementedError

    @property
    def manifest(self) -> Object:
        """As it was given, or updated last; not to be changed."""
        raise NotImplementedError

    @property
    def ips(self) -> tuple[str, ...]:
        """Its addresses; empty on the host's network."""
        raise NotImplementedError

    def status(self) -> Object:
        """``PodStatus``: phase, conditions, podIP(s), startTime, (init|ephemeral) containerStatuses.

        ``PodScheduled``, ``hostIP`` and ``qosClass`` are the cluster's to add.
        """
        raise NotImplementedError

    def update(self, manifest: Mapping[str, Any]) -> None:
        """Take over what may change in a running pod: ephemeral containers are started, resources resized,
        a container with another image is started again, deadlines and grace periods count from now on.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError

    def remove(self, *, force: bool = False) -> None:
        """Remove it with its containers, logs, volumes of its own, and place on the network.

        Raises:
            WrongState: It runs, and *force* was not given.
        """
        raise NotImplementedError

    def wait(self, condition: Literal["Ready", "Ended"] = "Ready", timeout: float | None = None) -> Object:
        """Wait until it is ready, or has ended for good; returns its status.

        Raises:
            TimedOut: It was not in time.
            WrongState: It has ended, and cannot become ready.
        """
        raise NotImplementedError

    # One container; *container* may be left out where there is one, or one is meant by
    # the annotation ``kubectl.kubernetes.io/default-container``.

    def container(self, container: str = "", *, previous: bool = False) -> Container:
        """The container of this name as it is now, or the one before its last restart.

        Raises:
            NotFound: There is none of this name, or it has not been started (again).
        """
        raise NotImplementedError

    def logs(self, container: str = "", *, previous: bool = False, **options: Any) -> Iterator[LogLine]:
        """As :meth:`Container.logs`."""
        raise NotImplementedError

    def exec(self, command: Sequence[str] | str, container: str = "", **options: Any) -> ExecResult:
        """As :meth:`Container.exec`."""
        raise NotImplementedError

    def popen(
        self,
        command: Sequence[str] | str,
        container: str = "",
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        **options: Any,
    ) -> ExecProcess:
        """As :meth:`Container.popen`."""
        raise NotImplementedError

    def attach(self, container: str = "", **options: Any) -> Attachment:
        """As :meth:`Container.attach`."""
        raise NotImplementedError

    def connect(self, port: int, host: str = "localhost", timeout: float | None = 10.0) -> socket.socket:
        """A TCP connection to a port inside of the pod's network, as port-forward needs it.

        Raises:
            ConnectionRefusedError: Nobody listens.
            WrongState: It does not run.
        """
        raise NotImplementedError

    def stats(self) -> Mapping[str, Stats]:
        """What its running containers use, by name."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop (without grace) and remove it if this process owns it; else only stop supervising."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
