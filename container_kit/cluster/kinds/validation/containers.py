"""Checks of containers: names, images, ports, variables, mounts, probes, hooks, security.

Source: Kubernetes API reference, Container; recorded answers of a real server.
"""

from collections.abc import Callable, Collection
from typing import Any

from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    duplicate,
    non_negative,
    port_name,
    port_number,
    port_or_name,
    problems,
    required,
)
from container_kit.cluster.kinds.validation.mounts import Volumes, check_devices, check_mounts
from container_kit.cluster.kinds.validation.resources import check_resources
from container_kit.cluster.kinds.validation.security import check_security_context
from container_kit.cluster.kinds.validation.variables import check_variable_sources, check_variables
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["check_containers", "check_ephemeral", "check_init_containers", "image_name"]

Node = dict[str, Any]
_HEADER_CHARACTERS = frozenset("-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def check_containers(field: str, containers: list[Node], volumes: Volumes, grace_s: int | None) -> Errors:
    """The problems of the containers of a pod, of which there must be one."""
    if not containers:
        return [FieldError.required(field)]
    errors: Errors = []
    names: set[str] = set()
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        errors += check_container(path, container, volumes)
        errors += duplicate(f"{path}.name", container.get("name") or "", names)
        errors += _lifecycle(f"{path}.lifecycle", container.get("lifecycle"), grace_s)
        errors += _probes(path, container)
        if container.get("restartPolicy") is not None:
            errors.append(
                FieldError.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")
            )
    return errors + _host_port_conflicts(field, containers)


def check_init_containers(
    field: str, containers: list[Node], others: Collection[str], volumes: Volumes, grace_s: int | None
) -> Errors:
    """The problems of init containers; only those that go on running have hooks and probes."""
    errors: Errors = []
    names = set(others)
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        errors += check_container(path, container, volumes)
        if container.get("restartPolicy") is not None:
            errors += choice(f"{path}.restartPolicy", container["restartPolicy"], ("Always",))
        errors += duplicate(f"{path}.name", container.get("name") or "", names)
        errors += _host_port_conflicts(field, [container])
        if container.get("restartPolicy") == "Always":
            errors += _lifecycle(f"{path}.lifecycle", container.get("lifecycle"), grace_s)
            errors += _probes(path, container)
            continue
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(key) is not None:
                detail = "may not be set for init containers without restartPolicy=Always"
                errors.append(FieldError.forbidden(f"{path}.{key}", detail))
    return errors


_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


def check_ephemeral(field: str, containers: list[Node], spec: Node, volumes: Volumes) -> Errors:
    """The problems of containers that are added to look into a pod."""
    targets = {each.get("name") for key in ("containers", "initContainers") for each in spec.get(key) or ()}
    names = set(targets)
    errors: Errors = []
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        errors += check_container(path, container, volumes)
        errors += image_name(f"{path}.image", container.get("image") or "")
        errors += duplicate(f"{path}.name", container.get("name") or "", names)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(FieldError.not_found(f"{path}.targetContainerName", target))
        errors += _only_to_look(path, container)
    return errors


def _only_to_look(path: str, container: Node) -> Errors:
    """What a pod would come to rely on is not for ephemeral containers."""
    detail = "cannot be set for an Ephemeral Container"
    lists = ("ports", "resources", "resizePolicy")  # of these an empty one is none
    given = [
        key
        for key in _NOT_EPHEMERAL
        if container.get(key) or (container.get(key) is not None and key not in lists)
    ]
    errors = [FieldError.forbidden(f"{path}.{key}", detail) for key in given]
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                errors.append(FieldError.forbidden(f"{path}.volumeMounts[{index}].{key}", detail))
    return errors


def image_name(field: str, image: str) -> Errors:
    """An error when the name of an image has spaces around it, which only templates may."""
    if image == image.strip():
        return []
    return [FieldError.invalid(field, image, "must not have leading or trailing whitespace")]


def check_container(path: str, container: Node, volumes: Volumes) -> Errors:
    """The problems that all kinds of containers can have."""
    name, mounts = container.get("name") or "", container.get("volumeMounts") or ()
    devices = container.get("volumeDevices") or ()
    if name:
        errors = problems(f"{path}.name", name, dns1123_label_problems)
    else:
        errors = [FieldError.required(f"{path}.name")]
    errors += required(f"{path}.image", container.get("image"))
    policies = ("File", "FallbackToLogsOnError")
    errors += choice(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), policies)
    errors += _ports(f"{path}.ports", container.get("ports") or ())
    errors += check_variables(f"{path}.env", container.get("env") or ())
    errors += check_variable_sources(f"{path}.envFrom", container.get("envFrom") or ())
    errors += check_mounts(f"{path}.volumeMounts", mounts, devices, volumes, container)
    errors += check_devices(f"{path}.volumeDevices", devices, mounts, volumes)
    pulls = ("Always", "IfNotPresent", "Never")
    errors += choice(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), pulls)
    errors += check_resources(f"{path}.resources", container.get("resources") or {})
    errors += _resize_policy(f"{path}.resizePolicy", container.get("resizePolicy") or ())
    return errors + check_security_context(f"{path}.securityContext", container.get("securityContext"))


def _resize_policy(field: str, policies: Any) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    known: tuple[tuple[str, ...], ...] = (("cpu", "memory"), ("NotRequired", "RestartContainer"))
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        errors += duplicate(f"{field}[{index}]", name, seen)
        for value, words in zip((name, restart), known, strict=True):
            errors += choice(field, value, words) if value else [FieldError.required(field)]
    return errors


def _ports(field: str, ports: Any) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"{field}[{index}]"
        if port.get("name"):
            wrong = port_name(f"{path}.name", port["name"])
            errors += wrong or duplicate(f"{path}.name", port["name"], names)
        number = port.get("containerPort") or 0
        errors += (
            port_number(f"{path}.containerPort", number)
            if number
            else [FieldError.required(f"{path}.containerPort")]
        )
        if port.get("hostPort"):
            errors += port_number(f"{path}.hostPort", port["hostPort"])
        errors += choice(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    return errors


def _host_port_conflicts(field: str, containers: list[Node]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
                errors += duplicate(f"{field}[{index}].ports[{at}].hostPort", key, seen)
    return errors


def _probes(path: str, container: Node) -> Errors:
    errors: Errors = []
    for key, one_success in (("livenessProbe", True), ("readinessProbe", False), ("startupProbe", True)):
        probe = container.get(key)
        if probe is None:
            continue
        where = f"{path}.{key}"
        errors += _probe(where, probe)
        if one_success and probe.get("successThreshold") != 1:
            errors.append(
                FieldError.invalid(
                    f"{where}.successThreshold", probe.get("successThreshold") or 0, "must be 1"
                )
            )
        if key == "readinessProbe" and probe.get("terminationGracePeriodSeconds") is not None:
            detail = "must not be set for readinessProbes"
            value = probe["terminationGracePeriodSeconds"]
            errors.append(FieldError.invalid(f"{where}.terminationGracePeriodSeconds", value, detail))
    return errors


_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def _probe(path: str, probe: Node) -> Errors:
    errors = _handler(path, probe, ("exec", "httpGet", "tcpSocket", "grpc"), None)
    for key in _PROBE_NUMBERS:
        errors += non_negative(f"{path}.{key}", probe.get(key))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(
            FieldError.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
        )
    return errors


def _lifecycle(path: str, lifecycle: Node | None, grace_s: int | None) -> Errors:
    errors: Errors = []
    for key in ("postStart", "preStop"):
        hook = (lifecycle or {}).get(key)
        if hook is not None:
            errors += _handler(f"{path}.{key}", hook, ("exec", "httpGet", "tcpSocket", "sleep"), grace_s)
    return errors


def _handler(path: str, node: Node, kinds: tuple[str, ...], grace_s: int | None) -> Errors:
    """The problems of what is done by a probe or hook, of which there must be exactly one thing."""
    errors: Errors = []
    given = [kind for kind in kinds if node.get(kind) is not None]
    for index, kind in enumerate(given):
        where = f"{path}.{kind}"
        if index:
            errors.append(FieldError.forbidden(where, "may not specify more than 1 handler type"))
        elif kind == "sleep":
            errors += _sleep(where, node[kind], grace_s)
        else:
            errors += _ACTIONS[kind](where, node[kind])
    if not given:
        errors.append(FieldError.required(path, "must specify a handler type"))
    return errors


def _sleep(path: str, action: Node, grace_s: int | None) -> Errors:
    seconds, grace = action.get("seconds") or 0, 30 if grace_s is None else grace_s
    if 0 < seconds <= grace:
        return []
    detail = (
        f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace}). "
        "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
    )
    return [FieldError.invalid(path, seconds, detail)]


def _http(path: str, action: Node) -> Errors:
    errors = required(f"{path}.path", action.get("path"))
    errors += port_or_name(f"{path}.port", action.get("port"))
    errors += choice(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        if not name or not set(name) <= _HEADER_CHARACTERS:
            rule = (
                "a valid HTTP header must consist of alphanumeric characters or '-' "
                "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            )
            errors.append(FieldError.invalid(f"{path}.httpHeaders", name, rule))
    return errors


_ACTIONS: dict[str, Callable[[str, Node], Errors]] = {
    "exec": lambda path, action: required(f"{path}.command", action.get("command")),
    "httpGet": _http,
    "tcpSocket": lambda path, action: port_or_name(f"{path}.port", action.get("port")),
    "grpc": lambda path, action: port_number(f"{path}.port", action.get("port") or 0),
}
