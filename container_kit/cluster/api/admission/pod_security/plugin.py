"""Admission by Pod Security Standards: refuses pods, and warns about pods and about what makes them.

Source: Kubernetes, "Pod Security Admission", "Enforce Pod Security Standards with Namespace Labels".
"""

import re
from typing import Any, NamedTuple

from container_kit.cluster.api.admission.pod_security.checks import Violation, violations
from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.meta import FieldError, Object, controller_of, labels_of, name_of
from container_kit.cluster.meta.status import invalid

__all__ = ["PodSecurity"]

_PREFIX = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"latest|v1\.(0|[1-9]\d*)")
_MAX_PODS = 3000

# Where kinds that make pods keep their template.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}


class Policy(NamedTuple):
    """A level, and the version of the standards that it means."""

    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f'"{self.level}:{self.version}"'


def _policy(labels: dict[str, str], mode: str) -> Policy:
    """What a namespace wants; a level that is none counts as the strictest."""
    level = labels.get(_PREFIX + mode, "privileged")
    version = labels.get(f"{_PREFIX}{mode}-version", "latest")
    return Policy(
        level if level in _LEVELS else "restricted", version if _VERSION.fullmatch(version) else "latest"
    )


class PodSecurity(Plugin):
    """Judges pods by the labels of their namespace, and the labels themselves."""

    name = "PodSecurity"

    def handles(self, attributes: Attributes) -> bool:
        key = attributes.resource.key
        if attributes.operation not in (CREATE, UPDATE):
            return False
        if attributes.subresource:
            return key == "pods" and attributes.subresource == "ephemeralcontainers"
        return key in ("pods", "namespaces") or key in _TEMPLATES

    def validate(self, attributes: Attributes) -> None:
        if attributes.resource.key == "namespaces":
            _judge_namespace(attributes)
            return
        namespace = attributes.world.get("namespaces", "", attributes.namespace)
        labels = labels_of(namespace) if namespace else {}
        if not any(key.startswith(_PREFIX) for key in labels) or attributes.obj is None:
            return
        if attributes.resource.key == "pods":
            self._judge_pod(attributes, attributes.obj, labels)
        else:
            template = _template(attributes.obj, _TEMPLATES[attributes.resource.key])
            _warn(attributes, template, labels)

    def _judge_pod(self, attributes: Attributes, pod: Object, labels: dict[str, str]) -> None:
        if attributes.old is not None and not _matters(pod, attributes.old):
            return
        policy = _policy(labels, "enforce")
        found = violations(policy.level, pod["metadata"], pod["spec"])
        if found:
            raise refused(attributes, f"violates PodSecurity {policy}: {_listed(found)}")
        _warn(attributes, pod, labels)


def _listed(found: list[Violation]) -> str:
    return ", ".join(map(str, found))


def _warn(attributes: Attributes, pod: dict[str, Any], labels: dict[str, str]) -> None:
    policy = _policy(labels, "warn")
    found = violations(policy.level, pod.get("metadata") or {}, pod.get("spec") or {})
    if found:
        attributes.warn(f"would violate PodSecurity {policy}: {_listed(found)}")


def _template(obj: Object, path: tuple[str, ...]) -> dict[str, Any]:
    found: Any = obj
    for key in path:
        found = (found or {}).get(key)
    return found or {}


def _matters(new: Object, old: Object) -> bool:
    """Whether a change of a pod can bring it against a policy: not by metadata, tolerations or deadline."""
    if (new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {}):
        return True
    ignored = ("tolerations", "activeDeadlineSeconds", "nodeName", "schedulingGates")
    specs = [{key: value for key, value in each["spec"].items() if key not in ignored} for each in (new, old)]
    return specs[0] != specs[1]


def _judge_namespace(attributes: Attributes) -> None:
    """Refuse labels that mean nothing; warn about pods that a new level would not have let in."""
    assert attributes.obj is not None
    labels = labels_of(attributes.obj)
    errors = _label_problems(labels)
    before = labels_of(attributes.old) if attributes.old else {}
    if errors and errors != _label_problems(before):
        raise invalid("Namespace", name_of(attributes.obj), errors)
    policy, old = _policy(labels, "enforce"), _policy(before, "enforce")
    if attributes.operation == UPDATE and policy != old and policy.level != "privileged":
        _warn_of_pods(attributes, policy)


def _label_problems(labels: dict[str, str]) -> list[FieldError]:
    errors = []
    for mode in _MODES:
        level, version = labels.get(_PREFIX + mode), labels.get(f"{_PREFIX}{mode}-version")
        if level is not None and level not in _LEVELS:
            field = f"metadata.labels[{_PREFIX}{mode}]"
            errors.append(FieldError.invalid(field, level, f"must be one of {', '.join(_LEVELS)}"))
        if version is not None and not _VERSION.fullmatch(version):
            field = f"metadata.labels[{_PREFIX}{mode}-version]"
            errors.append(FieldError.invalid(field, version, 'must be "latest" or "v1.x"'))
    return errors


def _warn_of_pods(attributes: Attributes, policy: Policy) -> None:
    """Name one pod for each set of reasons; pods of one controller are alike."""
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    for pod in list(attributes.world.list("pods", attributes.name))[:_MAX_PODS]:
        owner = (controller_of(pod) or {}).get("uid")
        if owner in seen:
            continue
        if owner:
            seen.add(owner)
        found = violations(policy.level, pod["metadata"], pod["spec"])
        if found:
            groups.setdefault(", ".join(each.reason for each in found), []).append(name_of(pod))
    if not groups:
        return
    attributes.warn(
        f'existing pods in namespace "{attributes.name}" violate the new PodSecurity enforce level {policy}'
    )
    for line in sorted(f"{_and_others(names)}: {reasons}" for reasons, names in groups.items()):
        attributes.warn(line)


def _and_others(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{names[0]} (and {others} other pod{'s' if others > 1 else ''})"
