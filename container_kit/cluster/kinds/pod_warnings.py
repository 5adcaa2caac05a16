"""Warnings of pods and of templates of pods, in the order of the original.

Source: Kubernetes, "Warning: Helpful Warnings Ahead", deprecation notes of the API reference; recorded
answers of a real server.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.meta import Object, annotations_of, quantity

__all__ = ["fraction", "old_volumes", "warnings_of_pod", "warnings_of_terms"]

Node = dict[str, Any]

_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_OLD_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": ("v1.16+", "priorityClassName"),
    "security.alpha.kubernetes.io/sysctls": ("v1.11+", "sysctls"),
    "security.alpha.kubernetes.io/unsafe-sysctls": ("v1.11+", "sysctls"),
}
_SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
# The original has a backslash before each of these quotation marks.
_USE_SECCOMP = r"non-functional in v1.27+; use the \"seccompProfile\" field instead"
_USE_APPARMOR = r"deprecated since v1.30; use the \"appArmorProfile\" field instead"
_NO_POD = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")
_REQUIRED, _PREFERRED = (
    f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
)


def warnings_of_pod(path: str, pod: Object) -> Iterator[str]:
    """Warnings of a pod, or of the template of pods at *path*."""
    before = f"{path}." if path else ""
    spec, at, notes = pod.get("spec") or {}, f"{before}spec", f"{before}metadata.annotations"
    annotations = annotations_of(pod)
    yield from _places(at, spec)
    for key, (version, better) in _OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f'{notes}[{key}]: non-functional in {version}; use the "{better}" field instead'
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(f"{at}.volumes[{index}]", volume)
    yield from _aliases(at, spec.get("hostAliases") or ())
    yield from _pull_secrets(f"{at}.imagePullSecrets", spec.get("imagePullSecrets") or ())
    yield from _fractions(f"{at}.overhead", spec.get("overhead") or {})
    security = spec.get("securityContext") or {}
    if security.get("seccompProfile") is None and _SECCOMP_OF_POD in annotations:
        yield f"{notes}[{_SECCOMP_OF_POD}]: {_USE_SECCOMP}"
    is_guarded = not path or security.get("appArmorProfile") is not None
    containers = list(_containers(at, spec))
    for field, container in containers:
        own = container.get("securityContext") or {}
        key = f"{_SECCOMP}{container.get('name')}"
        if own.get("seccompProfile") is None and key in annotations:
            yield f"{notes}[{key}]: {_USE_SECCOMP}"
        key = f"{_APPARMOR}{container.get('name')}"
        if not is_guarded and own.get("appArmorProfile") is None and key in annotations:
            yield f"{notes}[{key}]: {_USE_APPARMOR}"
        yield from _resources(f"{field}.resources", container.get("resources") or {})
        yield from _variables(f"{field}.env", container.get("env") or ())
    yield from _ports(containers)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield (
            f"{at}.terminationGracePeriodSeconds: must be >= 0; "
            "negative values are invalid and will be treated as 1"
        )
    yield from _affinity(f"{at}.affinity", spec.get("affinity") or {})


def _containers(path: str, spec: Node) -> Iterator[tuple[str, Node]]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield f"{path}.{key}[{index}]", container


def _places(path: str, spec: Node) -> Iterator[str]:
    """Old labels of nodes, and spread over no pods."""
    selector = spec.get("nodeSelector") or {}
    yield from (f"{path}.nodeSelector[{key}]: {_old_label(key)}" for key in _OLD_LABELS if key in selector)
    wishes = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    field = f"{path}.affinity.nodeAffinity"
    yield from warnings_of_terms(f"{field}.{_REQUIRED}", wishes.get(_REQUIRED) or {})
    for index, wish in enumerate(wishes.get(_PREFERRED) or ()):
        yield from _term(f"{field}.{_PREFERRED}[{index}].preference", wish.get("preference") or {})
    for index, each in enumerate(spec.get("topologySpreadConstraints") or ()):
        field = f"{path}.topologySpreadConstraints[{index}]"
        if each.get("topologyKey") in _OLD_LABELS:
            yield f"{field}.topologyKey: {each['topologyKey']} is {_old_label(each['topologyKey'])}"
        if each.get("labelSelector") is None:
            yield f"{field}.labelSelector: {_NO_POD}"


def warnings_of_terms(path: str, selector: Node) -> Iterator[str]:
    """Old labels in the terms of a selector of nodes."""
    for index, term in enumerate(selector.get("nodeSelectorTerms") or ()):
        yield from _term(f"{path}.nodeSelectorTerms[{index}]", term)


def _term(path: str, term: Node) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        if expression.get("key") in _OLD_LABELS:
            key = expression["key"]
            yield f"{path}.matchExpressions[{index}].key: {key} is {_old_label(key)}"


def _old_label(key: str) -> str:
    version, better = _OLD_LABELS[key]
    return f'deprecated since {version}; use "{better}" instead'


def _affinity(path: str, affinity: Node) -> Iterator[str]:
    for key in ("podAffinity", "podAntiAffinity"):
        wishes = affinity.get(key) or {}
        for index, term in enumerate(wishes.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{key}.{_REQUIRED}[{index}].labelSelector: {_NO_POD}"
        for index, wish in enumerate(wishes.get(_PREFERRED) or ()):
            if (wish.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{key}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_POD}"


def old_volumes(path: str, volume: Node) -> Iterator[str]:
    """Kinds of volumes that have gone, or will."""
    for key, note in _OLD_VOLUMES.items():
        if volume.get(key) is not None:
            yield f"{path}.{'storageOS' if key == 'storageos' else key}: {note}"


def _volume(path: str, volume: Node) -> Iterator[str]:
    yield from old_volumes(path, volume)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
    size = (((template.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None and quantity(size).denominator != 1:
        yield f"{path}.ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: {fraction(size)}"
    if volume.get("projected") is not None:
        yield from _overlaps(volume["name"], volume["projected"].get("sources") or ())


def _overlaps(name: str, sources: Any) -> Iterator[str]:
    """Files of two sources at one path, or one below the other.

    A source that names no files is taken for the one before it, as in the original, which so warns of a
    token that is followed by a whole ConfigMap.
    """
    seen: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    found: dict[str, None] = {}
    for source in sources:
        files = list(_files(source)) or files
        for path, what in files:
            for other, that in seen:
                if path == other or other.startswith(f"{path}/") or path.startswith(f"{other}/"):
                    found[f'overlapping paths: "{path}" ({what}) with "{other}" ({that})'] = None
        seen += files
    yield from (f'volume "{name}" (Projected): {text}' for text in found)


def _files(source: Node) -> Iterator[tuple[str, str]]:
    """The paths that a source surely fills, and what it is."""
    for key, what in (("secret", "Secret"), ("configMap", "ConfigMap")):
        part = source.get(key) or {}
        for item in part.get("items") or ():
            yield item.get("path", ""), f'{what} "{part.get("name", "")}"'
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        yield item.get("path", ""), "DownwardAPI"
    if source.get("serviceAccountToken") is not None:
        yield source["serviceAccountToken"].get("path", ""), "ServiceAccountToken"


def _aliases(path: str, aliases: Any) -> Iterator[str]:
    seen: set[str] = set()
    for index, alias in enumerate(aliases):
        if alias.get("ip") in seen:
            yield f'{path}.hostAliases[{index}].ip: duplicate ip "{alias["ip"]}"'
        seen.add(alias.get("ip", ""))


def _pull_secrets(field: str, secrets: Any) -> Iterator[str]:
    names = [secret.get("name") or "" for secret in secrets]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f'{field}[{index}].name: duplicate name "{name}"'
    for index, name in enumerate(names):
        if not name:
            yield f'{field}[{index}].name: invalid empty name ""'


def _fractions(field: str, amounts: Mapping[str, Any]) -> Iterator[str]:
    for name in _BYTES:
        if name in amounts and quantity(amounts[name]).denominator != 1:
            yield f"{field}[{name}]: {fraction(amounts[name])}"


def _resources(path: str, resources: Node) -> Iterator[str]:
    for name in _BYTES:
        for key in ("limits", "requests"):
            amounts = resources.get(key) or {}
            if name in amounts:
                yield from _fractions(f"{path}.{key}", {name: amounts[name]})


def fraction(value: Any) -> str:
    """What is wrong with a number of bytes that is none."""
    return f'fractional byte value "{value}" is invalid, must be an integer'


def _variables(field: str, variables: Any) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name") or "", variable.get("value") or ""
        itself = f"$({name})"
        is_kept = variable.get("valueFrom") is None and value != itself and itself in value
        if name in seen and not is_kept:
            hidden = f'hides previous definition of "{name}"'
            yield f"{field}[{index}]: {hidden}, which may be dropped when using apply"
        seen.add(name)


def _ports(containers: list[tuple[str, Node]]) -> Iterator[str]:
    """Ports of all containers that are those of others, as pods have one network."""
    seen: dict[tuple[Any, Any], list[tuple[str, str, int]]] = {}
    for path, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            field, ip, outside = f"{path}.ports[{index}]", port.get("hostIP") or "", port.get("hostPort") or 0
            if ip and not outside:
                yield f"{field}: hostIP set without hostPort: {_printed(port)}"
            others = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, its_ip, its_outside in others:
                if how := _conflict((ip, outside), (its_ip, its_outside)):
                    yield f"{field}: {how} port definition with {other}"
            others.append((field, ip, outside))


def _conflict(one: tuple[str, int], other: tuple[str, int]) -> str:
    if one == other:
        return "duplicate"
    if not one[1] or not other[1]:
        return "overlapping"
    return "dangerously ambiguous" if one[1] == other[1] and not (one[0] and other[0]) else ""


def _printed(port: Node) -> str:
    """A port as Go prints it."""
    names = ("name", "hostPort", "containerPort", "protocol", "hostIP")
    values = (port.get(name) or (0 if name.endswith("Port") else "") for name in names)
    shown = (f"{name[0].upper()}{name[1:]}:{value}" for name, value in zip(names, values, strict=True))
    return f"{{{' '.join(shown)}}}"
