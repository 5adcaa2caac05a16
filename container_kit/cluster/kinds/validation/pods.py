"""Checks of pods and pod templates, and of what may change in a pod.

Source: Kubernetes API reference, Pod; recorded answers of a real server.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.metadata import check_annotations, check_labels
from container_kit.cluster.kinds.validation.common import (
    Errors,
    address,
    between,
    choice,
    descending_path,
    problems,
)
from container_kit.cluster.kinds.validation.containers import (
    check_containers,
    check_ephemeral,
    check_init_containers,
    image_name,
)
from container_kit.cluster.kinds.validation.resources import check_resources
from container_kit.cluster.kinds.validation.scheduling import (
    check_affinity,
    check_gates,
    check_narrowed,
    check_spread,
    check_tolerations,
)
from container_kit.cluster.kinds.validation.security import apparmor, seccomp, user_id
from container_kit.cluster.kinds.validation.volumes import check_volumes
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_label_problems,
    dns1123_subdomain_problems,
    qualified_name_problems,
)
from container_kit.cluster.meta.status import go_quoted

__all__ = [
    "check_ephemeral_update",
    "check_pod",
    "check_pod_spec",
    "check_pod_update",
    "check_template",
    "check_template_metadata",
]

Node = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"
_SECCOMP = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/")
_SECCOMP_PROFILES = ("docker/default", "runtime/default", "unconfined")
_MAX_INT32 = 2**31 - 1
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def check_pod(pod: Object) -> Errors:
    """The problems of a new pod."""
    spec = pod.get("spec") or {}
    errors = _pod_as_it_is(pod)
    if spec.get("ephemeralContainers"):
        errors.append(FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        detail = "cannot be set until all schedulingGates have been cleared"
        errors.append(FieldError.forbidden("spec.nodeName", detail))
    return errors


def _pod_as_it_is(pod: Object) -> Errors:
    """The problems of a pod, new or changed."""
    annotations, spec = pod["metadata"].get("annotations") or {}, pod.get("spec") or {}
    errors = _pod_annotations("metadata.annotations", annotations, spec)
    errors += check_pod_spec("spec", spec, name=pod["metadata"].get("name") or "")
    if not spec.get("serviceAccountName"):
        errors += _tokens_of_nobody(spec)
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            errors += image_name(f"spec.{key}[{index}].image", container.get("image") or "")
    return errors


def _tokens_of_nobody(spec: Node) -> Errors:
    detail = "must not be specified when serviceAccountName is not set"
    return [
        FieldError.forbidden(f"spec.volumes[{at}].projected.sources[{index}].serviceAccountToken", detail)
        for at, volume in enumerate(spec.get("volumes") or ())
        for index, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if source.get("serviceAccountToken") is not None
    ]


def _pod_annotations(path: str, annotations: Node, spec: Node) -> Errors:
    """Annotations that mean something to the system."""
    errors: Errors = []
    if _MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(FieldError.invalid(f"{path}[{_MIRROR}]", annotations[_MIRROR], detail))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.append(FieldError.invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key.startswith(_SECCOMP) and value not in _SECCOMP_PROFILES:
            if value.startswith("localhost/"):
                errors += descending_path(f"{path}.{key}", value.removeprefix("localhost/"))
            else:
                errors.append(FieldError.invalid(f"{path}.{key}", value, "must be a valid seccomp profile"))
        elif key.startswith(_APPARMOR):
            errors += _apparmor_annotation(f"{path}[{key}]", key.removeprefix(_APPARMOR), value, spec)
    return errors


def _is_int32(text: str) -> bool:
    """What Go's parser of decimal numbers takes, without a needless plus or zero in front."""
    return re.fullmatch(r"0|-?[1-9]\d{0,9}", text) is not None and -(2**31) <= int(text) < 2**31


def _apparmor_annotation(field: str, container: str, profile: str, spec: Node) -> Errors:
    names = {
        each.get("name")
        for key in ("containers", "initContainers", "ephemeralContainers")
        for each in spec.get(key) or ()
    }
    errors: Errors = []
    if container not in names:
        errors.append(FieldError.invalid(field, container, "container not found"))
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
        problem = f"invalid AppArmor profile name: {go_quoted(profile)}"
        errors.append(FieldError.invalid(field, profile, problem))
    return errors


def check_template_metadata(path: str, template: Node) -> Errors:
    """The problems of the labels and annotations of a template of pods."""
    metadata = template.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    errors = check_labels(metadata.get("labels"), f"{path}.labels")
    errors += check_annotations(annotations, f"{path}.annotations")
    return errors + _pod_annotations(f"{path}.annotations", annotations, template.get("spec") or {})


def check_template(path: str, template: Node) -> Errors:
    """The problems of a template of pods."""
    spec = template.get("spec") or {}
    errors = check_template_metadata(path, template) + check_pod_spec(f"{path}.spec", spec, is_pod=False)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errors.append(FieldError.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return errors


def check_pod_spec(path: str, spec: Node, *, is_pod: bool = True, name: str = "") -> Errors:
    """The problems of what a pod is to be.

    Args:
        path: Where the spec is.
        spec: The spec, with its defaults.
        is_pod: Whether it is that of a pod and not of a template.
        name: The name of the pod, if it is known; claims that are made for the pod are named after it.
    """
    errors, volumes = check_volumes(f"{path}.volumes", spec.get("volumes") or [], name)
    grace_s = spec.get("terminationGracePeriodSeconds")
    containers, init = spec.get("containers") or [], spec.get("initContainers") or []
    own = {container.get("name") for container in containers}
    errors += check_containers(f"{path}.containers", containers, volumes, grace_s)
    errors += check_init_containers(f"{path}.initContainers", init, own, volumes, grace_s)
    errors += check_ephemeral(
        f"{path}.ephemeralContainers", spec.get("ephemeralContainers") or [], spec, volumes
    )
    errors += _host_ports(path, spec, is_pod)
    errors += choice(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    errors += choice(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    errors += check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    errors += _pod_security(f"{path}.securityContext", spec)
    errors += check_affinity(f"{path}.affinity", spec.get("affinity"))
    errors += _dns_config(path, spec)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        errors += problems(f"{path}.readinessGates[{index}].conditionType", kind, qualified_name_problems)
    errors += check_gates(f"{path}.schedulingGates", spec.get("schedulingGates") or ())
    errors += check_spread(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or ())
    errors += _own_users(path, spec)
    return errors + _names_and_numbers(path, spec) + _system(path, spec)


def _own_users(path: str, spec: Node) -> Errors:
    """A pod with users of its own has the other namespaces for itself too."""
    if spec.get("hostUsers") is not False:
        return []
    fields = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    detail = "when `pod.Spec.HostUsers` is false"
    return [FieldError.forbidden(f"{path}.{word}", detail) for key, word in fields if spec.get(key)]


def _names_and_numbers(path: str, spec: Node) -> Errors:
    errors = _name(path, spec, "serviceAccountName") + _name(path, spec, "nodeName")
    if spec.get("activeDeadlineSeconds") is not None:
        errors += between(f"{path}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], 1, _MAX_INT32)
    for key in ("hostname", "subdomain"):
        errors += _name(path, spec, key, dns1123_label_problems)
    errors += check_tolerations(f"{path}.tolerations", spec.get("tolerations") or ())
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{index}]"
        errors += address(f"{where}.ip", alias.get("ip") or "")
        for at, name in enumerate(alias.get("hostnames") or ()):
            errors += problems(f"{where}.hostnames[{at}]", name, dns1123_subdomain_problems)
    errors += _name(path, spec, "priorityClassName")
    if spec.get("runtimeClassName") is not None:
        errors += problems(f"{path}.runtimeClassName", spec["runtimeClassName"], dns1123_subdomain_problems)
    if spec.get("preemptionPolicy") is not None:
        policies = ("PreemptLowerPriority", "Never")
        errors += choice(f"{path}.preemptionPolicy", spec["preemptionPolicy"], policies)
    if spec.get("overhead"):
        errors += check_resources(f"{path}.overhead", {"limits": spec["overhead"]})
    return errors


def _name(
    path: str, spec: Node, key: str, rule: Callable[[str], list[str]] = dns1123_subdomain_problems
) -> Errors:
    return problems(f"{path}.{key}", spec[key], rule) if spec.get(key) else []


# What belongs to one operating system: fields of the pod, and of the security contexts of pod and containers.
_NOT_ON_WINDOWS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_CONTEXT_NOT_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
    "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount",
)  # fmt: skip


def _system(path: str, spec: Node) -> Errors:
    """Whether a pod that says for which system it is asks only for what there is on it."""
    if spec.get("os") is None:
        return []
    name = spec["os"].get("name") or ""
    if not name:
        return [FieldError.required(f"{path}.os.name", "cannot be empty")]
    if name not in ("linux", "windows"):
        return choice(f"{path}.os", name, ("linux", "windows"))
    keys = _CONTEXT_NOT_ON_WINDOWS if name == "windows" else ("windowsOptions",)
    words = "cannot be set for a windows pod"
    detail = words if name == "windows" else "windows options cannot be set for a linux pod"
    errors: Errors = []
    if name == "windows":
        errors += [FieldError.forbidden(f"{path}.{key}", words) for key in _NOT_ON_WINDOWS if spec.get(key)]
    for where, node in ((path, spec), *_each_container(path, spec)):
        context = node.get("securityContext") or {}
        field = f"{where}.securityContext"
        errors += [FieldError.forbidden(f"{field}.{key}", detail) for key in keys if context.get(key)]
    return errors


def _each_container(path: str, spec: Node) -> Iterator[tuple[str, Node]]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield f"{path}.{key}[{index}]", container


def _pod_security(path: str, spec: Node) -> Errors:
    """What all containers run as."""
    context = spec.get("securityContext") or {}
    errors: Errors = []
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        errors += user_id(f"{path}.{key}", context.get(key))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += user_id(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(FieldError.invalid(f"{path}.shareProcessNamespace", True, detail))
    errors += _sysctls(f"{path}.sysctls", context.get("sysctls") or (), spec)
    if context.get("fsGroupChangePolicy") is not None:
        policies = ("Always", "OnRootMismatch")
        errors += choice(f"{path}.fsGroupChangePolicy", context["fsGroupChangePolicy"], policies)
    errors += seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    errors += apparmor(f"{path}.appArmorProfile", context.get("appArmorProfile"))
    if context.get("supplementalGroupsPolicy") is not None:
        policies = ("Merge", "Strict")
        errors += choice(f"{path}.supplementalGroupsPolicy", context["supplementalGroupsPolicy"], policies)
    return errors


def _host_ports(path: str, spec: Node, is_pod: bool) -> Errors:
    """On the network of the host a port is what it is; a template may leave that open."""
    if not spec.get("hostNetwork"):
        return []
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        FieldError.invalid(
            f"{path}.containers[{at}].ports[{index}].hostPort", port.get("hostPort") or 0, detail
        )
        for at, container in enumerate(spec.get("containers") or ())
        for index, port in enumerate(container.get("ports") or ())
        if (is_pod or port.get("hostPort")) and port.get("hostPort") != port.get("containerPort")
    ]


_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_is_sysctl = re.compile(rf"({_SYSCTL_PART}[./])*{_SYSCTL_PART}").fullmatch
_SYSCTLS_OF_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def _sysctls(field: str, sysctls: Any, spec: Node) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, each in enumerate(sysctls):
        name = each.get("name") or ""
        if not name:
            errors.append(FieldError.required(f"{field}[{index}].name"))
        elif len(name) > 253 or not _is_sysctl(name):
            rule = f"must have at most 253 characters and match regex ^({_SYSCTL_PART}[\\./])*{_SYSCTL_PART}$"
            errors.append(FieldError.invalid(f"{field}[{index}].name", name, rule))
        elif name in seen:
            errors.append(FieldError.duplicate(f"{field}[{index}].name", name))
        seen.add(name)
        plain = name.replace("/", ".")
        for key, prefixes in (("hostNetwork", ("net.",)), ("hostIPC", _SYSCTLS_OF_IPC)):
            if spec.get(key) and plain.startswith(prefixes):
                detail = f"may not be specified when '{key}' is true"
                errors.append(FieldError.invalid(f"{field}[{index}].name", name, detail))
    return errors


_MAX_SERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS = 3, 32, 2048


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
        errors.append(invalid_as(f"{where}.nameservers", go_list(servers), detail))
    for index, server in enumerate(servers):
        errors += address(f"{where}.nameservers[{index}]", server)
    if len(searches) > _MAX_SEARCHES:
        detail = f"must not have more than {_MAX_SEARCHES} search paths"
        errors.append(invalid_as(f"{where}.searches", go_list(searches), detail))
    if len(" ".join(searches)) > _MAX_SEARCH_CHARACTERS:
        limit = _MAX_SEARCH_CHARACTERS
        detail = f"must not have more than {limit} characters (including spaces) in the search list"
        errors.append(invalid_as(f"{where}.searches", go_list(searches), detail))
    for index, search in enumerate(searches):
        name = search.removesuffix(".")
        errors += problems(f"{where}.searches[{index}]", name, dns1123_subdomain_problems)
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
    errors = _pod_as_it_is(new) + _fixed_annotations(new, old)
    for key in ("containers", "initContainers"):
        if len(fresh.get(key) or ()) != len(stale.get(key) or ()):
            detail = "pod updates may not add or remove containers"
            return [*errors, FieldError.forbidden(f"spec.{key}", detail)]
    late = _deadline(fresh, stale)
    if late and fresh.get("activeDeadlineSeconds") is not None:
        return errors + late
    errors += late + _added_tolerations(fresh, stale) + _new_gates(fresh, stale)
    if stale.get("schedulingGates"):
        errors += check_narrowed(fresh, stale)
    if _unchangeable(fresh, stale) != _unchangeable(stale, stale):
        errors.append(FieldError.forbidden("spec", _ONLY))
    return errors


def _fixed_annotations(new: Object, old: Object) -> Errors:
    """Annotations that say what a pod is stay as they are."""
    fresh, stale = (each["metadata"].get("annotations") or {} for each in (new, old))
    errors: Errors = []
    kinds = ((_APPARMOR, "AppArmor annotations"), (_MIRROR, "mirror pod annotation"))
    for key in dict.fromkeys((*stale, *fresh)):
        for prefix, words in kinds:
            if key.startswith(prefix) and fresh.get(key) != stale.get(key):
                verb = "remove or update" if key in stale else "add"
                detail = f"may not {verb} {words}"
                errors.append(FieldError.forbidden(f"metadata.annotations[{key}]", detail))
    return errors


def _deadline(new: Node, old: Node) -> Errors:
    """It may be set, and be made shorter."""
    field = "spec.activeDeadlineSeconds"
    wanted, known = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if wanted is None:
        detail = "must not update from a positive integer to nil value"
        return [] if known is None else [FieldError.invalid(field, None, detail)]
    if not 0 <= wanted <= _MAX_INT32:
        return between(field, wanted, 0, _MAX_INT32)
    if known is not None and wanted > known:
        return [FieldError.invalid(field, wanted, "must be less than or equal to previous value")]
    return []


def _added_tolerations(new: Node, old: Node) -> Errors:
    wanted = new.get("tolerations") or []
    lacking = [each for each in old.get("tolerations") or () if _key(each) not in map(_key, wanted)]
    if not lacking:
        return []
    detail = "existing toleration can not be modified except its tolerationSeconds"
    return [FieldError.forbidden("spec.tolerations", detail)]


def _new_gates(new: Node, old: Node) -> Errors:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        FieldError.forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(new.get("schedulingGates") or ())
        if gate.get("name") not in known
    ]


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
        kept.pop("nodeSelector", None)
        affinity = {k: v for k, v in (kept.pop("affinity", None) or {}).items() if k != "nodeAffinity"}
        kept |= {"affinity": affinity} if affinity else {}
    return copy.deepcopy(kept)


def check_ephemeral_update(new: Object, old: Object) -> Errors:
    """The problems of adding ephemeral containers: none of those that are there may change or go."""
    if _MIRROR in (old["metadata"].get("annotations") or {}):
        return [FieldError.forbidden("[]", "static pods do not support ephemeral containers")]
    fresh = {each.get("name"): each for each in new["spec"].get("ephemeralContainers") or ()}
    field, errors = "spec.ephemeralContainers", _pod_as_it_is(new)
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container["name"]
        if name not in fresh:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(FieldError.forbidden(field, detail))
        elif fresh[name] != container:
            detail = f'existing ephemeral containers "{name}" may not be changed\n'
            errors.append(FieldError.forbidden(field, detail))
    return errors
