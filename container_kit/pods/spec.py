"""A pod's specification as values: what its life is decided by, with the defaults of Kubernetes filled in.

Only what concerns the life of containers is read here; what one container is made of is read by `settings`.

Source: Kubernetes API reference v1.32, Pod v1 core.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.pods.seam import Object

__all__ = ["ContainerSpec", "Handler", "Kind", "PodSpec", "Probe", "ProbeKind"]

Kind = Literal["init", "sidecar", "main", "ephemeral"]
ProbeKind = Literal["startup", "liveness", "readiness"]
RestartPolicy = Literal["Always", "OnFailure", "Never"]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_POLICIES = ("Always", "OnFailure", "Never")
_LISTS: tuple[tuple[str, Kind], ...] = (
    ("initContainers", "init"),
    ("containers", "main"),
    ("ephemeralContainers", "ephemeral"),
)
_PROBES: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")
_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


@frozen(kw_only=True)
class Handler:
    """One thing to do to a container: for a probe, or before its end, or after its start."""

    action: Literal["exec", "httpGet", "tcpSocket", "grpc", "sleep"]
    command: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""
    seconds: int = 0


@frozen(kw_only=True)
class Probe:
    """When and how a container is asked whether it is well; times in seconds."""

    handler: Handler
    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    successes: int = 1
    failures: int = 3
    grace_s: float | None = None


@frozen(kw_only=True)
class ContainerSpec:
    """One container of a pod."""

    name: str
    kind: Kind
    image: str
    raw: Object
    probes: Mapping[ProbeKind, Probe]
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    message_path: str = "/dev/termination-log"
    message_from_logs: bool = False


@frozen(kw_only=True)
class PodSpec:
    """A pod: `containers` are all of them, of every kind, in the order in which they are started."""

    name: str
    namespace: str
    uid: str
    raw: Object
    containers: tuple[ContainerSpec, ...]
    restart_policy: RestartPolicy = "Always"
    grace_s: float = 30.0
    deadline_s: float | None = None
    shares_processes: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    hostname: str = ""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> PodSpec:
        """What *manifest*, a ``Pod``, says.

        Raises:
            InvalidInput: It cannot be used; names the field.
        """
        if manifest.get("kind", "Pod") != "Pod":
            raise InvalidInput(f"kind: {manifest['kind']!r} is no Pod")
        metadata, spec = _mapping(manifest, "metadata"), _mapping(manifest, "spec")
        name = _text(metadata, "name", "metadata")
        if not _SUBDOMAIN.match(name):
            raise InvalidInput(f"metadata.name: {name!r} is no lower-case DNS name")
        policy = spec.get("restartPolicy") or "Always"
        if policy not in _POLICIES:
            raise InvalidInput(f"spec.restartPolicy: {policy!r} is none of {', '.join(_POLICIES)}")
        grace, deadline = spec.get("terminationGracePeriodSeconds"), spec.get("activeDeadlineSeconds")
        return cls(
            name=name,
            namespace=metadata.get("namespace") or "default",
            uid=metadata.get("uid") or "",
            raw=cast(Object, manifest),
            containers=_containers(spec),
            restart_policy=cast(RestartPolicy, policy),
            grace_s=30.0 if grace is None else max(float(grace), 0.0),
            deadline_s=None if deadline is None else float(deadline),
            shares_processes=bool(spec.get("shareProcessNamespace")),
            host_network=bool(spec.get("hostNetwork")),
            host_pid=bool(spec.get("hostPID")),
            host_ipc=bool(spec.get("hostIPC")),
            hostname=spec.get("hostname") or name.split(".")[0][:63],
        )

    @property
    def spec(self) -> Object:
        """The manifest's ``spec``."""
        return cast(Object, self.raw["spec"])

    def of_kind(self, *kinds: Kind) -> tuple[ContainerSpec, ...]:
        """The containers of these kinds, in order."""
        return tuple(one for one in self.containers if one.kind in kinds)

    def container(self, name: str) -> ContainerSpec | None:
        """The container of this name."""
        return next((one for one in self.containers if one.name == name), None)

    def default_container(self) -> str:
        """The one that is meant when none is named."""
        annotations = (self.raw.get("metadata") or {}).get("annotations") or {}
        chosen = annotations.get("kubectl.kubernetes.io/default-container", "")
        return chosen if self.container(chosen) is not None else self.of_kind("main")[0].name

    def with_uid(self, uid: str) -> PodSpec:
        """The same pod, whose manifest says no uid."""
        return attrs.evolve(self, uid=uid)


def _containers(spec: Object) -> tuple[ContainerSpec, ...]:
    found: list[ContainerSpec] = []
    for field, kind in _LISTS:
        for index, raw in enumerate(spec.get(field) or ()):
            found.append(_container(raw, f"spec.{field}[{index}]", kind))
    if not any(one.kind == "main" for one in found):
        raise InvalidInput("spec.containers: a pod needs at least one container")
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"spec.containers: the name {name!r} is there twice")
    return tuple(found)


def _container(raw: Object, where: str, kind: Kind) -> ContainerSpec:
    name = _text(raw, "name", where)
    if not _LABEL.match(name):
        raise InvalidInput(f"{where}.name: {name!r} is no lower-case label of at most 63 characters")
    if kind == "init" and raw.get("restartPolicy") == "Always":
        kind = "sidecar"
    ports = {one["name"]: int(one["containerPort"]) for one in raw.get("ports") or () if one.get("name")}
    hooks = raw.get("lifecycle") or {}
    probes: dict[ProbeKind, Probe] = {}
    for word in _PROBES:
        if raw.get(f"{word}Probe"):
            probes[word] = _probe(raw[f"{word}Probe"], f"{where}.{word}Probe", ports)
    return ContainerSpec(
        name=name,
        kind=kind,
        image=raw.get("image") or "",
        raw=raw,
        probes=probes,
        post_start=_handler(hooks.get("postStart"), f"{where}.lifecycle.postStart", ports),
        pre_stop=_handler(hooks.get("preStop"), f"{where}.lifecycle.preStop", ports),
        message_path=raw.get("terminationMessagePath") or "/dev/termination-log",
        message_from_logs=raw.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


def _probe(raw: Object, where: str, ports: Mapping[str, int]) -> Probe:
    handler = _handler(raw, where, ports)
    if handler is None or handler.action == "sleep":
        raise InvalidInput(f"{where}: a probe needs one of exec, httpGet, tcpSocket, grpc")
    grace = raw.get("terminationGracePeriodSeconds")
    return Probe(
        handler=handler,
        initial_delay_s=float(raw.get("initialDelaySeconds") or 0),
        period_s=float(raw.get("periodSeconds") or 10),
        timeout_s=float(raw.get("timeoutSeconds") or 1),
        successes=int(raw.get("successThreshold") or 1),
        failures=int(raw.get("failureThreshold") or 3),
        grace_s=None if grace is None else float(grace),
    )


def _handler(raw: Object | None, where: str, ports: Mapping[str, int]) -> Handler | None:
    if not raw:
        return None
    given = [word for word in _ACTIONS if raw.get(word) is not None]
    if len(given) != 1:
        raise InvalidInput(f"{where}: give one of {', '.join(_ACTIONS)}, not {len(given)}")
    action, about = given[0], raw[given[0]]
    if action == "exec":
        return Handler(action="exec", command=tuple(about.get("command") or ()))
    if action == "sleep":
        return Handler(action="sleep", seconds=int(about.get("seconds") or 0))
    return Handler(
        action=action,  # type: ignore[arg-type]
        host=about.get("host") or "",
        port=_port(about.get("port"), f"{where}.{action}.port", ports),
        path=_path(about.get("path") or "/"),
        scheme=about.get("scheme") or "HTTP",
        headers=tuple((one["name"], one.get("value") or "") for one in about.get("httpHeaders") or ()),
        service=about.get("service") or "",
    )


def _path(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"


def _port(value: Any, where: str, ports: Mapping[str, int]) -> int:
    """A port by its number, or by the name that the container gives it."""
    if isinstance(value, str) and not value.isdigit():
        if value not in ports:
            raise InvalidInput(f"{where}: the container has no port named {value!r}")
        return ports[value]
    if not value or not 0 < int(value) < 65536:
        raise InvalidInput(f"{where}: {value!r} is no port from 1 to 65535")
    return int(value)


def _mapping(raw: Mapping[str, Any], field: str) -> Object:
    found = raw.get(field)
    if not isinstance(found, Mapping):
        raise InvalidInput(f"{field}: a pod needs one")
    return cast(Object, found)


def _text(raw: Mapping[str, Any], field: str, where: str) -> str:
    found = raw.get(field)
    if not isinstance(found, str) or not found:
        raise InvalidInput(f"{where}.{field}: it is missing")
    return found
