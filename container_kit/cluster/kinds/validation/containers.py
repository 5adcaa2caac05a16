"""Checks of containers: names, images, ports, variables, mounts, probes, hooks, security.

Source: Kubernetes API reference, Container; recorded answers of a real server.
"""

from collections.abc import Callable, Collection
from typing import Any

from container_kit.cluster.kinds.go import go_security_context, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    between,
    choice,
    duplicate,
    non_negative,
    path_without_backsteps,
    port_name,
    port_number,
    port_or_name,
    problems,
    required,
    required_fields,
)
from container_kit.cluster.kinds.validation.resources import check_resources
from container_kit.cluster.kinds.validation.volumes import pod_field, resource_field
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = [
    "check_containers",
    "check_ephemeral",
    "check_init_containers",
    "config_key",
    "seccomp",
    "user_id",
]

Node = dict[str, Any]
_MAX_ID = 2**31 - 1
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_KEY_CHARACTERS = frozenset("-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def check_containers(
    field: str, containers: list[Node], volumes: Collection[str], grace_s: int | None
) -> Errors:
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
    field: str, containers: list[Node], others: Collection[str], volumes: Collection[str], grace_s: int | None
) -> Errors:
    """The problems of init containers; only those that go on running have hooks and probes."""
    errors: Errors = []
    names = set(others)
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        errors += check_container(path, container, volumes)
        errors += duplicate(f"{path}.name", container.get("name") or "", names)
        if container.get("restartPolicy") == "Always":
            errors += _lifecycle(f"{path}.lifecycle", container.get("lifecycle"), grace_s)
            errors += _probes(path, container)
            continue
        if container.get("restartPolicy") is not None:
            errors += choice(f"{path}.restartPolicy", container["restartPolicy"], ("Always",))
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(key) is not None:
                detail = "may not be set for init containers without restartPolicy=Always"
                errors.append(FieldError.forbidden(f"{path}.{key}", detail))
    return errors


_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "resizePolicy",
)


def check_ephemeral(field: str, containers: list[Node], spec: Node, volumes: Collection[str]) -> Errors:
    """The problems of containers that are added to look into a pod."""
    targets = {each.get("name") for key in ("containers", "initContainers") for each in spec.get(key) or ()}
    names = set(targets)
    errors: Errors = []
    for index, container in enumerate(containers):
        path = f"{field}[{index}]"
        errors += check_container(path, container, volumes)
        errors += duplicate(f"{path}.name", container.get("name") or "", names)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(FieldError.not_found(f"{path}.targetContainerName", target))
        for key in _NOT_EPHEMERAL:
            if container.get(key) not in (None, {}, []) or (
                key == "lifecycle" and container.get(key) is not None
            ):
                errors.append(
                    FieldError.forbidden(f"{path}.{key}", "cannot be set for an Ephemeral Container")
                )
        for at, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("subPath") or mount.get("subPathExpr"):
                key = "subPath" if mount.get("subPath") else "subPathExpr"
                where = f"{path}.volumeMounts[{at}].{key}"
                errors.append(FieldError.forbidden(where, "cannot be set for an Ephemeral Container"))
    return errors


def check_container(path: str, container: Node, volumes: Collection[str]) -> Errors:
    """The problems that all kinds of containers can have."""
    errors: Errors = []
    name, image = container.get("name") or "", container.get("image") or ""
    if name:
        errors += problems(f"{path}.name", name, dns1123_label_problems)
    else:
        errors.append(FieldError.required(f"{path}.name"))
    if not image:
        errors.append(FieldError.required(f"{path}.image"))
    elif image != image.strip():
        errors.append(
            FieldError.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
        )
    policies = ("FallbackToLogsOnError", "File")
    errors += choice(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), policies)
    errors += _ports(f"{path}.ports", container.get("ports") or ())
    errors += _variables(f"{path}.env", container.get("env") or ())
    errors += _variable_sources(f"{path}.envFrom", container.get("envFrom") or ())
    errors += _mounts(f"{path}.volumeMounts", container.get("volumeMounts") or (), volumes)
    errors += _devices(f"{path}.volumeDevices", container.get("volumeDevices") or (), volumes)
    errors += choice(
        f"{path}.imagePullPolicy", container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never")
    )
    errors += check_resources(f"{path}.resources", container.get("resources") or {})
    return errors + _security(f"{path}.securityContext", container.get("securityContext"))


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


_NAME_OF_VARIABLE = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)


def _variable_name(field: str, name: str) -> Errors:
    if all(" " <= char <= "~" and char != "=" for char in name):
        return []
    return [FieldError.invalid(field, name, _NAME_OF_VARIABLE)]


def _variables(field: str, variables: Any) -> Errors:
    errors: Errors = []
    for index, variable in enumerate(variables):
        path = f"{field}[{index}]"
        name = variable.get("name") or ""
        errors += _variable_name(f"{path}.name", name) if name else [FieldError.required(f"{path}.name")]
        if variable.get("valueFrom") is not None:
            errors += _value_from(f"{path}.valueFrom", variable)
    return errors


def _value_from(path: str, variable: Node) -> Errors:
    source = variable["valueFrom"]
    given = [key for key in _VALUES if source.get(key) is not None]
    errors = [error for key in given for error in _VALUES[key](f"{path}.{key}", source[key])]
    if not given:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(FieldError.invalid(path, "", f"must specify one of: {listed}"))
    elif variable.get("value"):
        errors.append(FieldError.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(FieldError.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def config_key(field: str, key: str) -> Errors:
    """The problems of a key of a ConfigMap or Secret."""
    found = ["must be no more than 253 characters"] if len(key) > 253 else []
    if not key or not set(key) <= _KEY_CHARACTERS:
        found.append(_KEY_RULE)
    elif key in (".", ".."):
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return [FieldError.invalid(field, key, problem) for problem in found]


def _key_reference(path: str, reference: Node) -> Errors:
    errors = required(f"{path}.name", reference.get("name"))
    key = reference.get("key") or ""
    return errors + (config_key(f"{path}.key", key) if key else [FieldError.required(f"{path}.key")])


_VALUES: dict[str, Callable[[str, Node], Errors]] = {
    "fieldRef": lambda path, reference: pod_field(path, reference, files=False),
    "resourceFieldRef": resource_field,
    "configMapKeyRef": _key_reference,
    "secretKeyRef": _key_reference,
}


def _variable_sources(field: str, sources: Any) -> Errors:
    errors: Errors = []
    for index, source in enumerate(sources):
        path = f"{field}[{index}]"
        if source.get("prefix"):
            errors += _variable_name(f"{path}.prefix", source["prefix"])
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        errors += [
            error for key in given for error in required(f"{path}.{key}.name", source[key].get("name"))
        ]
        if not given:
            errors.append(FieldError.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(
                FieldError.invalid(path, "", "may not have more than one field specified at a time")
            )
    return errors


def _mounts(field: str, mounts: Any, volumes: Collection[str]) -> Errors:
    errors: Errors = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        path = f"{field}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(FieldError.required(f"{path}.name"))
        elif name not in volumes:
            errors.append(FieldError.not_found(f"{path}.name", name))
        errors += required(f"{path}.mountPath", target)
        if target in paths:
            errors.append(FieldError.invalid(f"{path}.mountPath", target, "must be unique"))
        paths.add(target)
        errors += _sub_path(path, mount)
        if mount.get("mountPropagation") is not None:
            kinds = ("Bidirectional", "HostToContainer", "None")
            errors += choice(f"{path}.mountPropagation", mount["mountPropagation"], kinds)
    return errors


def _sub_path(path: str, mount: Node) -> Errors:
    errors: Errors = []
    for key in ("subPath", "subPathExpr"):
        value = mount.get(key)
        if value and value.startswith("/"):
            errors.append(FieldError.invalid(f"{path}.{key}", value, "must be a relative path"))
        elif value:
            errors += path_without_backsteps(f"{path}.{key}", value)
    if mount.get("subPath") and mount.get("subPathExpr"):
        detail = "subPathExpr and subPath are mutually exclusive"
        errors.append(FieldError.invalid(f"{path}.subPathExpr", mount["subPathExpr"], detail))
    return errors


def _devices(field: str, devices: Any, volumes: Collection[str]) -> Errors:
    errors: Errors = []
    for index, device in enumerate(devices):
        path = f"{field}[{index}]"
        errors += required_fields(path, device, "name", "devicePath")
        if device.get("name") and device["name"] not in volumes:
            errors.append(FieldError.not_found(f"{path}.name", device["name"]))
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
    detail = f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace})"
    return [FieldError.invalid(path, seconds, detail)]


def _http(path: str, action: Node) -> Errors:
    errors = required(f"{path}.path", action.get("path"))
    errors += port_or_name(f"{path}.port", action.get("port"))
    errors += choice(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for index, header in enumerate(action.get("httpHeaders") or ()):
        name = header.get("name") or ""
        if not name or not all(char.isalnum() or char == "-" for char in name):
            rule = (
                "a valid HTTP header must consist of alphanumeric characters or '-' "
                "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            )
            errors.append(FieldError.invalid(f"{path}.httpHeaders[{index}].name", name, rule))
    return errors


_ACTIONS: dict[str, Callable[[str, Node], Errors]] = {
    "exec": lambda path, action: required(f"{path}.command", action.get("command")),
    "httpGet": _http,
    "tcpSocket": lambda path, action: port_or_name(f"{path}.port", action.get("port")),
    "grpc": lambda path, action: port_number(f"{path}.port", action.get("port") or 0),
}


def user_id(field: str, value: int | None) -> Errors:
    """The problems of the number of a user or group."""
    return [] if value is None else between(field, value, 0, _MAX_ID)


def seccomp(path: str, profile: Node | None) -> Errors:
    """The problems of a seccomp profile: a local one must say where it is, others must not."""
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        return [FieldError.required(f"{path}.type", "type is required when seccompProfile is set")]
    errors = choice(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    if kind == "Localhost" and local is None:
        detail = "must be set when seccomp type is Localhost"
        errors.append(FieldError.required(f"{path}.localhostProfile", detail))
    elif kind != "Localhost" and local is not None:
        detail = "can only be set when seccomp type is Localhost"
        errors.append(FieldError.invalid(f"{path}.localhostProfile", local, detail))
    return errors


def _security(path: str, context: Node | None) -> Errors:
    if context is None:
        return []
    errors = user_id(f"{path}.runAsUser", context.get("runAsUser"))
    errors += user_id(f"{path}.runAsGroup", context.get("runAsGroup"))
    if context.get("procMount") is not None:
        errors += choice(f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
    errors += seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        added = (context.get("capabilities") or {}).get("add") or ()
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid_as(path, go_security_context(context), detail))
        if "CAP_SYS_ADMIN" in added:
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid_as(path, go_security_context(context), detail))
    return errors
