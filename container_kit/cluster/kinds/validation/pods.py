"""Checks of pods and pod templates, and of what may change in a pod.

Source: Kubernetes API reference, Pod; recorded answers of a real server.
"""

import copy
from typing import Any

from container_kit.cluster.kinds.metadata import check_labels
from container_kit.cluster.kinds.validation.common import (
    Errors,
    address,
    between,
    choice,
    problems,
)
from container_kit.cluster.kinds.validation.containers import (
    check_containers,
    check_ephemeral,
    check_init_containers,
    seccomp,
    user_id,
)
from container_kit.cluster.kinds.validation.resources import amount, resource_name
from container_kit.cluster.kinds.validation.scheduling import (
    check_affinity,
    check_gates,
    check_spread,
    check_tolerations,
)
from container_kit.cluster.kinds.validation.volumes import check_volumes
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_label_problems,
    dns1123_subdomain_problems,
    qualified_name_problems,
)

__all__ = [
    "check_ephemeral_update",
    "check_pod",
    "check_pod_spec",
    "check_pod_update",
    "check_resize",
    "check_template",
]

Node = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"
_SECCOMP = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/")
_SECCOMP_PROFILES = ("docker/default", "runtime/default", "unconfined")
_MAX_INT32 = 2**31 - 1
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def check_pod(pod: Object) -> Errors:
    """The problems of a new pod."""
    annotations, spec = pod["metadata"].get("annotations") or {}, pod.get("spec") or {}
    errors: Errors = []
    if _MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(FieldError.invalid(f"metadata.annotations[{_MIRROR}]", annotations[_MIRROR], detail))
    errors += _seccomp_annotations(annotations)
    errors += check_pod_spec("spec", spec)
    if spec.get("ephemeralContainers"):
        errors.append(FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        detail = "cannot be set until all schedulingGates have been cleared"
        errors.append(FieldError.forbidden("spec.nodeName", detail))
    return errors


def _seccomp_annotations(annotations: Node) -> Errors:
    """Old names of seccomp profiles, which are only looked at."""
    return [
        FieldError.invalid(f"metadata.annotations.{key}", value, "must be a valid seccomp profile")
        for key, value in annotations.items()
        if key.startswith(_SECCOMP) and value not in _SECCOMP_PROFILES and not value.startswith("localhost/")
    ]


def check_template(path: str, template: Node) -> Errors:
    """The problems of a template of pods."""
    spec = template.get("spec") or {}
    errors = check_template_metadata(path, template) + check_pod_spec(f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errors.append(FieldError.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return errors


def check_template_metadata(path: str, template: Node) -> Errors:
    """The problems of what its pods are called."""
    metadata = template.get("metadata") or {}
    errors = check_labels(metadata.get("labels"), f"{path}.labels")
    for key in metadata.get("annotations") or {}:
        errors += problems(f"{path}.annotations", key, lambda text: qualified_name_problems(text.lower()))
    return errors


def check_pod_spec(path: str, spec: Node) -> Errors:
    """The problems of what a pod is to be."""
    errors, names = check_volumes(f"{path}.volumes", spec.get("volumes") or [])
    grace_s = spec.get("terminationGracePeriodSeconds")
    containers, init = spec.get("containers") or [], spec.get("initContainers") or []
    own = {container.get("name") for container in containers}
    errors += check_containers(f"{path}.containers", containers, names, grace_s)
    errors += check_init_containers(f"{path}.initContainers", init, own, names, grace_s)
    errors += check_ephemeral(
        f"{path}.ephemeralContainers", spec.get("ephemeralContainers") or [], spec, names
    )
    errors += choice(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    errors += choice(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    errors += check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    errors += _pod_security(path, spec)
    errors += check_affinity(f"{path}.affinity", spec.get("affinity"))
    errors += _dns_config(path, spec)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        errors += problems(f"{path}.readinessGates[{index}].conditionType", kind, qualified_name_problems)
    errors += check_gates(f"{path}.schedulingGates", spec.get("schedulingGates") or ())
    errors += check_spread(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or ())
    return errors + _names(path, spec) + _numbers_and_lists(path, spec)


_NAMED = {
    "serviceAccountName": dns1123_subdomain_problems,
    "nodeName": dns1123_subdomain_problems,
    "hostname": dns1123_label_problems,
    "subdomain": dns1123_label_problems,
    "priorityClassName": dns1123_subdomain_problems,
    "runtimeClassName": dns1123_subdomain_problems,
}


def _names(path: str, spec: Node) -> Errors:
    errors: Errors = []
    for key, rule in _NAMED.items():
        if spec.get(key):
            errors += problems(f"{path}.{key}", spec[key], rule)
    return errors


def _numbers_and_lists(path: str, spec: Node) -> Errors:
    errors: Errors = []
    if spec.get("activeDeadlineSeconds") is not None:
        errors += between(f"{path}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], 1, _MAX_INT32)
    errors += check_tolerations(f"{path}.tolerations", spec.get("tolerations") or ())
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        errors += address(f"{path}.hostAliases[{index}].ip", alias.get("ip") or "")
        for at, name in enumerate(alias.get("hostnames") or ()):
            errors += problems(
                f"{path}.hostAliases[{index}].hostnames[{at}]", name, dns1123_subdomain_problems
            )
    if spec.get("preemptionPolicy") is not None:
        errors += choice(
            f"{path}.preemptionPolicy", spec["preemptionPolicy"], ("PreemptLowerPriority", "Never")
        )
    for name, value in (spec.get("overhead") or {}).items():
        where = f"{path}.overhead[{name}]"
        errors += resource_name(where, name) + amount(where, name, value)
    system = spec.get("os")
    if system is not None:
        name = system.get("name") or ""
        errors += (
            choice(f"{path}.os.name", name, ("linux", "windows"))
            if name
            else [FieldError.required(f"{path}.os.name")]
        )
    return errors


def _pod_security(path: str, spec: Node) -> Errors:
    """Namespaces of the host, and what all containers run as."""
    errors: Errors = []
    where, context = f"{path}.securityContext", spec.get("securityContext") or {}
    if spec.get("hostNetwork"):
        for key in ("containers", "initContainers"):
            for index, container in enumerate(spec.get(key) or ()):
                errors += _host_ports(f"{path}.{key}[{index}]", container)
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        errors += user_id(f"{where}.{key}", context.get(key))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += user_id(f"{where}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(FieldError.invalid(f"{path}.shareProcessNamespace", True, detail))
    errors += _sysctls(f"{where}.sysctls", context.get("sysctls") or ())
    if context.get("fsGroupChangePolicy") is not None:
        errors += choice(
            f"{where}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ("OnRootMismatch", "Always")
        )
    return errors + seccomp(f"{where}.seccompProfile", context.get("seccompProfile"))


def _host_ports(path: str, container: Node) -> Errors:
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        FieldError.invalid(f"{path}.ports[{index}].hostPort", port.get("hostPort") or 0, detail)
        for index, port in enumerate(container.get("ports") or ())
        if port.get("hostPort") != port.get("containerPort")
    ]


def _sysctls(field: str, sysctls: Any) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, each in enumerate(sysctls):
        name = each.get("name") or ""
        if not name:
            errors.append(FieldError.required(f"{field}[{index}].name"))
        elif not all(char.isalnum() or char in "-_./" for char in name) or len(name) > 253:
            part = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
            rule = f"must have at most 253 characters and match regex ^({part}[\\./])*{part}$"
            errors.append(FieldError.invalid(f"{field}[{index}].name", name, rule))
        elif name in seen:
            errors.append(FieldError.duplicate(f"{field}[{index}].name", name))
        seen.add(name)
    return errors


_MAX_SERVERS, _MAX_SEARCHES = 3, 32


def _dns_config(path: str, spec: Node) -> Errors:
    where, config = f"{path}.dnsConfig", spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [FieldError.required(where, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [FieldError.required(f"{where}.nameservers", detail)]
    if config is None:
        return []
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    errors: Errors = []
    if len(servers) > _MAX_SERVERS:
        detail = f"must not have more than {_MAX_SERVERS} nameservers"
        errors.append(FieldError.invalid(f"{where}.nameservers", list(servers), detail))
    for index, server in enumerate(servers):
        errors += address(f"{where}.nameservers[{index}]", server)
    if len(searches) > _MAX_SEARCHES:
        detail = f"must not have more than {_MAX_SEARCHES} search paths"
        errors.append(FieldError.invalid(f"{where}.searches", list(searches), detail))
    for index, search in enumerate(searches):
        errors += problems(
            f"{where}.searches[{index}]", search.removesuffix(".") or "a", dns1123_subdomain_problems
        )
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(FieldError.required(f"{where}.options[{index}]", "must not be empty"))
    return errors


_ONLY = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


def check_pod_update(new: Object, old: Object) -> Errors:
    """The problems of a change of a pod: hardly anything may change."""
    fresh, stale = new["spec"], old["spec"]
    errors: Errors = []
    for key in ("containers", "initContainers"):
        errors += _images(f"spec.{key}", fresh.get(key) or (), stale.get(key) or (), key == "containers")
    errors += _deadline(fresh, stale)
    errors += _added_tolerations(fresh, stale)
    if not errors and _unchangeable(fresh, stale) != _unchangeable(stale, stale):
        errors.append(FieldError.forbidden("spec", _ONLY))
    return errors


def _images(field: str, new: Any, old: Any, must_be_there: bool) -> Errors:
    if len(new) != len(old):
        detail = "pod updates may not add or remove containers"
        return [FieldError.forbidden(field, detail)]
    if not must_be_there:
        return []
    return [
        FieldError.required(f"{field}[{index}].image")
        for index, each in enumerate(new)
        if not each.get("image")
    ]


def _deadline(new: Node, old: Node) -> Errors:
    """It may be set, and be made shorter."""
    field = "spec.activeDeadlineSeconds"
    wanted, known = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if wanted is None:
        detail = "must not update from a positive integer to nil value"
        return [] if known is None else [FieldError.invalid(field, "null", detail)]
    if known is not None and wanted > known:
        return [FieldError.invalid(field, wanted, f"must be less than or equal to previous value {known}")]
    return []


def _added_tolerations(new: Node, old: Node) -> Errors:
    wanted = new.get("tolerations") or []
    lacking = [each for each in old.get("tolerations") or () if _key(each) not in map(_key, wanted)]
    if not lacking:
        return []
    detail = "existing toleration can not be modified except its tolerationSeconds"
    return [FieldError.forbidden("spec.tolerations", detail)]


def _key(toleration: Node) -> tuple[Any, ...]:
    return tuple(toleration.get(key) or "" for key in ("key", "operator", "value", "effect"))


def _unchangeable(spec: Node, old: Node) -> Node:
    """What must be equal before and after; gates may go, and while there are some more may be narrowed."""
    kept = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    }
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [
                {name: value for name, value in each.items() if name != "image"} for each in kept[key]
            ]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        kept["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    if old.get("schedulingGates"):
        for key in ("nodeSelector", "affinity"):
            kept.pop(key, None)
    return copy.deepcopy(kept)


def check_ephemeral_update(new: Object, old: Object) -> Errors:
    """The problems of adding ephemeral containers: none of those that are there may change or go."""
    fresh = {each.get("name"): each for each in new["spec"].get("ephemeralContainers") or ()}
    field, errors = "spec.ephemeralContainers", check_pod_spec("spec", new["spec"])
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container["name"]
        if name not in fresh:
            errors.append(
                FieldError.forbidden(field, f'existing ephemeral containers "{name}" may not be removed\n')
            )
        elif fresh[name] != container:
            errors.append(
                FieldError.forbidden(field, f'existing ephemeral containers "{name}" may not be changed\n')
            )
    return errors


def check_resize(new: Object, old: Object) -> Errors:
    """The problems of other resources for a running pod: its quality of service must stay."""
    from container_kit.cluster.kinds.pods import qos_class

    errors = check_pod_spec("spec", new["spec"])
    if not errors and qos_class(new["spec"]) != qos_class(old["spec"]):
        shown = qos_class(new["spec"])
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(FieldError.invalid("spec", shown, detail))
    return errors
