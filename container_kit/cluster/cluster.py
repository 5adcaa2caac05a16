"""`Cluster`: a Kubernetes as an object, whether it runs in this process or anywhere else.

Every verb is made of calls of one `Client`, so that nothing above it can tell which cluster it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from container_kit._collector import collection_paused
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiNotFound
from container_kit.cluster.verbs.targets import Target, pods_of, target_of
from container_kit.errors import InvalidInput, WrongState

if TYPE_CHECKING:
    from container_kit.cluster.client.client import PatchKind
    from container_kit.cluster.client.watch import Watch
    from container_kit.cluster.embedded import Embedded
    from container_kit.cluster.verbs.attaching import Input, Output
    from container_kit.cluster.verbs.forwarding import PortForward
    from container_kit.cluster.verbs.manifests import Manifest
    from container_kit.cluster.verbs.rollouts import Rollout
    from container_kit.containers.engine import Engine
    from container_kit.containers.results import ExecResult
    from container_kit.images import Image

__all__ = ["Cluster"]

Object = dict[str, Any]
Objects = list[Object]  # `Cluster.list` hides what these are made of
Names = list[str]
Named = str | Mapping[str, Any]


class Cluster:
    """A Kubernetes cluster; a context manager that ends it, if it is one of our own.

    ``Cluster()`` starts a control plane and nodes in this process; `connect` speaks to any other.  Objects
    are named as for kubectl: ``"deployment/web"``.

    Args:
        nodes: How many nodes run pods on this machine.
        simulated_nodes: How many more only play theirs, to try schedulers and controllers.
        path: A folder that keeps the cluster: what is there is found again. In memory if not given.
        listen: Where the API server listens: ``host:port`` of this machine's loopback (port 0: any free one),
            or the path of a socket.
        name: Of the cluster, in kubeconfig files and in names of what it makes on this machine.
        engine: Whose images the pods use; the default store if not given.
        anonymous: Whether requests without credentials are answered at all. They may then see what they may
            of a real server: its version and whether it is well.

    Raises:
        Conflict: There is a cluster at *path*, and a *snapshot* to begin with.
        PermissionMissing: This user cannot run containers here (with *nodes* above 0).
    """

    _is_view = False

    def __init__(
        self,
        *,
        nodes: int = 1,
        simulated_nodes: int = 0,
        path: str | os.PathLike[str] | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        listen: str = "127.0.0.1:0",
        name: str = "container-kit",
        engine: Engine | None = None,
        anonymous: bool = True,
    ) -> None:
        with collection_paused():
            from container_kit.cluster.embedded import ClusterOptions, Embedded

            options = ClusterOptions(
                nodes=nodes,
                simulated_nodes=simulated_nodes,
                path="" if path is None else os.fspath(path),
                snapshot="" if snapshot is None else os.fspath(snapshot),
                listen=listen,
                name=name,
                anonymous=anonymous,
            )
            self._embedded: Embedded | None = Embedded(options, engine)
        self.client: Client = self._embedded.client

    @classmethod
    def connect(
        cls, kubeconfig: str | os.PathLike[str] | None = None, context: str = "", *, namespace: str = ""
    ) -> Cluster:
        """A cluster that runs elsewhere.

        Args:
            kubeconfig: A file; ``KUBECONFIG``, then ``~/.kube/config`` if not given.
            context: Of the file; the current one if not given.
            namespace: What is meant when a call gives none; the context's own if not given.

        Raises:
            NotFound: There is no such file or context.
        """
        from container_kit.cluster.client.http import Http
        from container_kit.cluster.client.kubeconfig import read_access

        access = read_access(kubeconfig, context)
        self = cls.__new__(cls)
        self._embedded = None
        self.client = Client(Http(access), namespace=namespace or access.namespace)
        return self

    def using(self, namespace: str) -> Cluster:
        """The same cluster, with *namespace* meant where a call names none; ends with this one."""
        view = type(self).__new__(type(self))
        view._embedded, view._is_view = self._embedded, True
        view.client = Client(self.client.transport, namespace=namespace)
        return view

    def stop(self) -> None:
        """End the control plane, the nodes and all pods; of another cluster only the connections."""
        if self._is_view:
            return
        if self._embedded is not None:
            self._embedded.stop()
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where the API server of this process listens, ``https://host:port``."""
        return self._own("has an address in its kubeconfig").address

    def kubeconfig(self, path: str | os.PathLike[str] | None = None) -> str:
        """The kubeconfig of an administrator, also written to *path* (mode 0600) if one is given.

        Other contexts that a file there has are kept; this cluster's becomes the current one.

        Raises:
            InvalidInput: The file is there, and is no kubeconfig.
        """
        return self._own("has a kubeconfig already").kubeconfig(None if path is None else os.fspath(path))

    def load(self, image: Image | str) -> None:
        """Let the nodes have an image; those of this process see all that are in the engine's store."""
        self._own("gets its images from a registry").load(image)

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write all objects to a new file (mode 0600: secrets are among them), as they are at one moment.

        Raises:
            NameInUse: There is a file at *path*.
        """
        self._own("has tools of its own for that").snapshot(os.fspath(path))

    # -- objects ----------------------------------------------------------------------------------------

    def apply(
        self,
        manifest: Manifest,
        *,
        namespace: str = "",
        force: bool = False,
        dry_run: bool = False,
        field_manager: str = "container-kit",
    ) -> Objects:
        """Make objects be as written, by server-side apply; new ones are created.

        Args:
            manifest: A path, text, a dict, a typed object, or several of these.
            force: Take over fields that another manager owns.

        Returns:
            The objects as they are now, in the order of *manifest*.

        Raises:
            ApiConflict: Others own fields that are written; the message names them.
            ApiInvalid: An object is not valid; the message names the fields.
        """
        from container_kit.cluster.verbs.manifests import objects_of

        made = []
        for obj in objects_of(manifest):
            target = target_of(self.client, obj, namespace)
            made.append(
                target.patch(
                    self.client,
                    obj,
                    kind="apply",
                    force=force,
                    dry_run=dry_run,
                    field_manager=field_manager,
                    field_validation="Strict",
                )
            )
        return made

    def create(self, manifest: Manifest, *, namespace: str = "", dry_run: bool = False) -> Objects:
        """Store new objects.

        Raises:
            ApiExists: One is there already.
        """
        from container_kit.cluster.verbs.manifests import objects_of

        return [
            self.client.create(obj, namespace=namespace, dry_run=dry_run, field_validation="Strict")
            for obj in objects_of(manifest)
        ]

    def get(self, what: Named, namespace: str = "") -> Object:
        """One object, such as ``get("pod/web-0")``.

        Raises:
            ApiNotFound: There is none.
        """
        return target_of(self.client, what, namespace).get(self.client)

    def list(self, kind: str, namespace: str | None = "", *, labels: str = "", fields: str = "") -> Objects:
        """The objects of a kind in one namespace, or in all with ``namespace=None``."""
        return self.client.list(kind, namespace, labels=labels, fields=fields).items

    def watch(
        self,
        kind: str,
        namespace: str | None = "",
        *,
        labels: str = "",
        fields: str = "",
        since: str = "",
        timeout: float | None = None,
    ) -> Watch:
        """Changes of the objects of a kind; what is there already comes first, unless *since* is given."""
        return self.client.watch(
            kind, namespace, labels=labels, fields=fields, since=since, timeout_s=timeout
        )

    def delete(
        self,
        what: Manifest,
        namespace: str = "",
        *,
        wait: bool = True,
        timeout: float = 60,
        grace: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        missing_ok: bool = False,
    ) -> None:
        """Delete an object, or all of a manifest; returns when they are gone, unless *wait* is False.

        Raises:
            ApiNotFound: There is none, and *missing_ok* is False.
            TimedOut: It was still there after *timeout* seconds.
        """
        for target in self._targets(what, namespace):
            try:
                self.client.delete(
                    target.info.full_name,
                    target.name,
                    target.namespace,
                    grace_s=grace,
                    propagation=propagation,
                )
            except ApiNotFound:
                if not missing_ok:
                    raise
                continue
            if wait:
                self._wait(target, "delete", timeout)

    def patch(self, what: Named, patch: Any, namespace: str = "", *, kind: PatchKind = "strategic") -> Object:
        """Change a part of an object; see `Client.patch`."""
        return target_of(self.client, what, namespace).patch(self.client, patch, kind=kind)

    def label(
        self, /, what: Named, namespace: str = "", *, overwrite: bool = False, **labels: str | None
    ) -> Object:
        """Set labels; None takes one away. Names that are no Python names go by ``**{"a/b": "c"}``."""
        from container_kit.cluster.verbs.labels import mark

        return mark(self.client, target_of(self.client, what, namespace), "labels", labels, overwrite)

    def annotate(
        self, /, what: Named, namespace: str = "", *, overwrite: bool = True, **annotations: str | None
    ) -> Object:
        """Set annotations; None takes one away."""
        from container_kit.cluster.verbs.labels import mark

        target = target_of(self.client, what, namespace)
        return mark(self.client, target, "annotations", annotations, overwrite)

    def wait(
        self, what: Named, condition: str = "Ready", timeout: float = 30, *, namespace: str = ""
    ) -> Object | None:
        """Wait until an object is as wanted, and return it.

        Args:
            condition: A condition (``Available``, ``Ready=False``), ``create``, ``delete``, or
                ``jsonpath={.status.phase}=Running``.

        Raises:
            TimedOut: It was not within *timeout* seconds; the message says what it is instead.
        """
        return self._wait(target_of(self.client, what, namespace), condition, timeout)

    # -- workloads and pods -----------------------------------------------------------------------------

    def scale(self, what: Named, replicas: int, namespace: str = "") -> None:
        """Ask for a number of replicas."""
        if replicas < 0:
            raise InvalidInput(f"{replicas} replicas cannot be: 0 or more")
        target = target_of(self.client, what, namespace)
        if "scale" not in target.info.subresources:
            raise InvalidInput(f"{target} cannot be scaled: its kind has no replicas")
        target.patch(self.client, {"spec": {"replicas": replicas}}, kind="merge", subresource="scale")

    def rollout(self, what: Named, namespace: str = "") -> Rollout:
        """The rollout of a deployment, stateful set or daemon set: status, wait, restart, undo, history."""
        from container_kit.cluster.verbs.rollouts import Rollout

        return Rollout(self.client, target_of(self.client, what, namespace))

    def logs(
        self,
        what: Named,
        namespace: str = "",
        *,
        container: str = "",
        tail: int | None = None,
        since: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> str:
        """What the pods of *what* have written until now.

        Args:
            container: One of the pod's; ``*`` means all.
            tail: At most so many last lines of each container.
            since: Only what is younger than so many seconds.
            previous: Of the container before its last restart.
        """
        from container_kit.cluster.verbs.logs import LogWish, read_logs

        wish = LogWish(
            container=container, tail=tail, since_s=since, previous=previous, timestamps=timestamps
        )
        return read_logs(self.client, target_of(self.client, what, namespace), wish)

    def follow_logs(
        self, what: Named, namespace: str = "", *, container: str = "", tail: int | None = None
    ) -> Iterator[str]:
        """Lines as they are written, until the pods that are there now have ended."""
        from container_kit.cluster.verbs.logs import LogWish, follow_logs

        wish = LogWish(container=container, tail=tail)
        return follow_logs(self.client, target_of(self.client, what, namespace), wish)

    def exec(
        self,
        what: Named,
        command: Sequence[str],
        namespace: str = "",
        *,
        container: str = "",
        input: str | bytes | None = None,
        text: bool = True,
        check: bool = False,
    ) -> ExecResult:
        """Run a program in a container of a pod, to its end; see `Container.exec`."""
        from container_kit.cluster.verbs.execution import execute

        target = target_of(self.client, what, namespace)
        return execute(self.client, target, command, container=container, input=input, text=text, check=check)

    def attach(
        self, what: Named, namespace: str = "", *, container: str = "", input: Input = None
    ) -> Iterator[Output]:
        """Connect to a container's own process: what it writes from now on, as ``("stdout", data)``.

        Args:
            input: What it reads: text, bytes, or pieces that are sent as they come (``stdin: true`` only).

        Raises:
            ApiError: The server could not attach, or the process failed before it began.
        """
        from container_kit.cluster.verbs.attaching import attach

        return attach(self.client, target_of(self.client, what, namespace), container, input)

    def cp(self, source: str, destination: str, namespace: str = "", *, container: str = "") -> None:
        """Copy as ``kubectl cp``: one of the two is in a pod, ``"pod/web:/path"``; see `copy_in`."""
        from container_kit.cluster.verbs.copying import places

        what, path, here, goes_in = places(source, destination)
        if goes_in:
            self.copy_in(what, here, path, namespace, container=container)
        else:
            self.copy_out(what, path, here, namespace, container=container)

    def copy_in(
        self, what: Named, source: str, path: str, namespace: str = "", *, container: str = ""
    ) -> None:
        """Put a file or folder of this machine into a container (which needs ``tar``)."""
        from container_kit.cluster.verbs.copying import copy_in

        copy_in(self.client, target_of(self.client, what, namespace), source, path, container)

    def copy_out(
        self, what: Named, path: str, destination: str, namespace: str = "", *, container: str = ""
    ) -> None:
        """Get a file or folder out of a container (which needs ``tar``)."""
        from container_kit.cluster.verbs.copying import copy_out

        copy_out(self.client, target_of(self.client, what, namespace), path, destination, container)

    def port_forward(
        self, what: Named, port: int, namespace: str = "", *, local_port: int = 0, host: str = "127.0.0.1"
    ) -> PortForward:
        """A local port that leads to *port* of a pod; use it in a ``with`` block."""
        from container_kit.cluster.verbs.execution import pod_of
        from container_kit.cluster.verbs.forwarding import PortForward

        pod = pod_of(self.client, target_of(self.client, what, namespace))
        return PortForward(self.client, pod, port, host=host, local_port=local_port)

    def pods(self, what: Named, namespace: str = "") -> Objects:
        """The pods of a workload or service."""
        return pods_of(self.client, target_of(self.client, what, namespace))

    def top(self, kind: Literal["pods", "nodes"] = "pods", namespace: str | None = "") -> Objects:
        """What pods, or nodes, use at the moment, as ``metrics.k8s.io`` says."""
        return self.client.list(f"{kind}.metrics.k8s.io", namespace).items

    def describe(self, what: Named, namespace: str = "") -> str:
        """An object with the events about it, for somebody to read."""
        from container_kit.cluster.verbs.describing import describe

        return describe(self.client, target_of(self.client, what, namespace))

    def events(self, what: Named | None = None, namespace: str | None = "") -> Objects:
        """Events of a namespace, or about one object, in the order in which they last happened."""
        from container_kit.cluster.verbs.describing import event_time, events_about

        if what is None:
            return sorted(self.client.list("events", namespace).items, key=event_time)
        target = target_of(self.client, what, namespace or "")
        return events_about(self.client, target, target.get(self.client))

    # -- nodes ------------------------------------------------------------------------------------------

    def cordon(self, node: str) -> None:
        """Let no new pods come to a node."""
        from container_kit.cluster.verbs.nodes import cordon

        cordon(self.client, node)

    def uncordon(self, node: str) -> None:
        """Let pods come again."""
        from container_kit.cluster.verbs.nodes import cordon

        cordon(self.client, node, False)

    def drain(
        self,
        node: str,
        timeout: float = 60,
        *,
        grace: int | None = None,
        force: bool = False,
        delete_empty_dir: bool = False,
    ) -> Names:
        """Cordon a node and evict its pods, within their disruption budgets; returns their names."""
        from container_kit.cluster.verbs.nodes import drain

        return drain(
            self.client,
            node,
            timeout_s=timeout,
            grace_s=grace,
            force=force,
            delete_empty_dir=delete_empty_dir,
        )

    # -- inside -----------------------------------------------------------------------------------------

    def _wait(self, target: Target, condition: str, timeout: float) -> Object | None:
        from container_kit.cluster.verbs.waiting import wait_for, wish_of

        wish, words = wish_of(condition)
        return wait_for(self.client, target, wish, timeout, words)

    def _targets(self, what: Manifest, namespace: str) -> Iterator[Target]:
        from container_kit.cluster.verbs.manifests import SUFFIXES, objects_of

        if isinstance(what, str) and not ("\n" in what or what.endswith(SUFFIXES) or os.path.exists(what)):
            yield target_of(self.client, what, namespace)
            return
        for obj in objects_of(what):
            yield target_of(self.client, obj, namespace)

    def _own(self, else_words: str) -> Embedded:
        if self._embedded is None:
            raise WrongState(f"this cluster runs elsewhere: it {else_words}")
        return self._embedded
