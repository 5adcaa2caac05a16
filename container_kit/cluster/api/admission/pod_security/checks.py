"""The checks of the Pod Security Standards: what a pod asks for that a level does not allow.

Each check gives what is wrong and the details, in the words of Kubernetes, or nothing. Pure functions of
a pod's metadata and spec.

Source: Kubernetes, "Pod Security Standards".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["BASELINE", "RESTRICTED", "Check", "Violation", "violations"]

Node = dict[str, Any]

_DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SAFE_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ]
)
_SAFE_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


class Violation(NamedTuple):
    """What is wrong, in short, and where."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Check = Callable[[Node, Node], "Violation | None"]


def _containers(spec: Node) -> Iterator[Node]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or ()


def _security(node: Node) -> Node:
    return node.get("securityContext") or {}


def _named(noun: str, names: Iterable[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    listed = list(names)
    plural = "s" if len(listed) != 1 else ""
    return f"{noun}{plural} {_quoted(listed)}"


def _quoted(words: Iterable[Any]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _sorted(words: Iterable[str]) -> list[str]:
    return sorted(set(words))


def host_namespaces(metadata: Node, spec: Node) -> Violation | None:
    used = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return Violation("host namespaces", ", ".join(used)) if used else None


def privileged(metadata: Node, spec: Node) -> Violation | None:
    bad = [each["name"] for each in _containers(spec) if _security(each).get("privileged")]
    return (
        Violation("privileged", f"{_named('container', bad)} must not set securityContext.privileged=true")
        if bad
        else None
    )


def baseline_capabilities(metadata: Node, spec: Node) -> Violation | None:
    detail = _added_capabilities(spec, _DEFAULT_CAPABILITIES)
    return Violation("non-default capabilities", detail) if detail else None


def _added_capabilities(spec: Node, allowed: frozenset[str]) -> str:
    bad: dict[str, list[str]] = {}
    for container in _containers(spec):
        added = (_security(container).get("capabilities") or {}).get("add") or ()
        foreign = [each for each in added if each not in allowed]
        if foreign:
            bad[container["name"]] = foreign
    if not bad:
        return ""
    foreign = _sorted(each for found in bad.values() for each in found)
    return (
        f"{_named('container', bad)} must not include {_quoted(foreign)} in securityContext.capabilities.add"
    )


def restricted_capabilities(metadata: Node, spec: Node) -> Violation | None:
    keeping = [
        each["name"]
        for each in _containers(spec)
        if "ALL" not in ((_security(each).get("capabilities") or {}).get("drop") or ())
    ]
    details = []
    if keeping:
        details.append(f'{_named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    added = _added_capabilities(spec, frozenset(("NET_BIND_SERVICE",)))
    details += [added] if added else []
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def host_path_volumes(metadata: Node, spec: Node) -> Violation | None:
    bad = [each["name"] for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    return Violation("hostPath volumes", _named("volume", bad)) if bad else None


def restricted_volumes(metadata: Node, spec: Node) -> Violation | None:
    bad = {
        each["name"]: kind
        for each in spec.get("volumes") or ()
        for kind in each
        if kind != "name" and kind not in _SAFE_VOLUMES
    }
    if not bad:
        return None
    verb, plural = ("uses", "") if len(bad) == 1 else ("use", "s")
    kinds = _sorted(bad.values())
    plural = "s" if len(kinds) > 1 else ""
    detail = f"{_named('volume', bad)} {verb} restricted volume type{plural} {_quoted(kinds)}"
    return Violation("restricted volume types", detail)


def host_ports(metadata: Node, spec: Node) -> Violation | None:
    bad = {
        container["name"]: [port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")]
        for container in _containers(spec)
    }
    bad = {name: ports for name, ports in bad.items() if ports}
    if not bad:
        return None
    ports = _sorted(str(port) for found in bad.values() for port in found)
    verb, plural = "uses" if len(bad) == 1 else "use", "s" if len(ports) > 1 else ""
    return Violation("hostPort", f"{_named('container', bad)} {verb} hostPort{plural} {', '.join(ports)}")


def proc_mount(metadata: Node, spec: Node) -> Violation | None:
    bad = {
        each["name"]: _security(each)["procMount"]
        for each in _containers(spec)
        if _security(each).get("procMount") not in (None, "", "Default")
    }
    if not bad:
        return None
    kinds = _quoted(_sorted(bad.values()))
    return Violation(
        "procMount", f"{_named('container', bad)} must not set securityContext.procMount to {kinds}"
    )


def sysctls(metadata: Node, spec: Node) -> Violation | None:
    bad = [each["name"] for each in _security(spec).get("sysctls") or () if each["name"] not in _SAFE_SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _setters(pod: bool, containers: list[str]) -> str:
    """``pod``, ``container "a"``, or both, as who sets something."""
    return " and ".join((["pod"] if pod else []) + ([_named("container", containers)] if containers else []))


def se_linux(metadata: Node, spec: Node) -> Violation | None:
    def problems(options: Node) -> list[str]:
        found = [f'type "{options["type"]}"'] if options.get("type", "") not in _SELINUX_TYPES else []
        return found + [f"{key} may not be set" for key in ("user", "role") if options.get(key)]

    pod = problems(_security(spec).get("seLinuxOptions") or {})
    bad = {each["name"]: problems(_security(each).get("seLinuxOptions") or {}) for each in _containers(spec)}
    bad = {name: found for name, found in bad.items() if found}
    if not pod and not bad:
        return None
    listed = dict.fromkeys([*pod, *(each for found in bad.values() for each in found)])
    detail = (
        f"{_setters(bool(pod), list(bad))} set forbidden securityContext.seLinuxOptions: {'; '.join(listed)}"
    )
    return Violation("seLinuxOptions", detail)


def app_armor(metadata: Node, spec: Node) -> Violation | None:
    def is_bad(node: Node) -> bool:
        kind = (_security(node).get("appArmorProfile") or {}).get("type")
        return kind not in (None, "RuntimeDefault", "Localhost")

    annotations = metadata.get("annotations") or {}
    forbidden = [
        f'annotation[{key}]="{value}"'
        for key, value in sorted(annotations.items())
        if key.startswith(_APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    ]
    names = [each["name"] for each in _containers(spec) if is_bad(each)]
    if not is_bad(spec) and not names and not forbidden:
        return None
    setters = _setters(is_bad(spec), names)
    details = [f'{setters} must not set AppArmor profile type to "Unconfined"'] if setters else []
    plural = "s" if len(names) + len(forbidden) + is_bad(spec) > 1 else ""
    return Violation(f"forbidden AppArmor profile{plural}", "; ".join(details + forbidden))


def windows_host_process(metadata: Node, spec: Node) -> Violation | None:
    def uses(node: Node) -> bool:
        return bool((_security(node).get("windowsOptions") or {}).get("hostProcess"))

    names = [each["name"] for each in _containers(spec) if uses(each)]
    if not uses(spec) and not names:
        return None
    detail = f"{_setters(uses(spec), names)} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail)


def _seccomp(node: Node) -> str | None:
    kind: str | None = (_security(node).get("seccompProfile") or {}).get("type")
    return kind


def baseline_seccomp(metadata: Node, spec: Node) -> Violation | None:
    return _forbidden_seccomp(spec)


def _forbidden_seccomp(spec: Node) -> Violation | None:
    """Who names a profile that is none of the allowed ones."""
    allowed = (None, "RuntimeDefault", "Localhost")
    pod = _seccomp(spec)
    bad = {each["name"]: _seccomp(each) for each in _containers(spec) if _seccomp(each) not in allowed}
    if pod in allowed and not bad:
        return None
    kinds = _sorted([str(kind) for kind in (pod, *bad.values()) if kind not in allowed])
    setters = _setters(pod not in allowed, list(bad))
    detail = f"{setters} must not set securityContext.seccompProfile.type to {_quoted(kinds)}"
    return Violation("seccompProfile", detail)


def restricted_seccomp(metadata: Node, spec: Node) -> Violation | None:
    found = _forbidden_seccomp(spec)
    if found is not None or _seccomp(spec) is not None:
        return found
    silent = [each["name"] for each in _containers(spec) if _seccomp(each) is None]
    if not silent:
        return None
    wish = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_named('container', silent)} {wish}")


def privilege_escalation(metadata: Node, spec: Node) -> Violation | None:
    bad = [
        each["name"]
        for each in _containers(spec)
        if _security(each).get("allowPrivilegeEscalation") is not False
    ]
    if not bad:
        return None
    detail = f"{_named('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def run_as_non_root(metadata: Node, spec: Node) -> Violation | None:
    pod = _security(spec).get("runAsNonRoot")
    wishes = {each["name"]: _security(each).get("runAsNonRoot") for each in _containers(spec)}
    refusing = [name for name, wish in wishes.items() if wish is False]
    if pod is False or refusing:
        detail = f"{_setters(pod is False, refusing)} must not set securityContext.runAsNonRoot=false"
        return Violation("runAsNonRoot != true", detail)
    silent = [name for name, wish in wishes.items() if wish is None]
    if pod or not silent:
        return None
    detail = f"pod or {_named('container', silent)} must set securityContext.runAsNonRoot=true"
    return Violation("runAsNonRoot != true", detail)


def run_as_user(metadata: Node, spec: Node) -> Violation | None:
    pod = _security(spec).get("runAsUser") == 0
    names = [each["name"] for each in _containers(spec) if _security(each).get("runAsUser") == 0]
    return (
        Violation("runAsUser=0", f"{_setters(pod, names)} must not set runAsUser=0") if pod or names else None
    )


BASELINE: tuple[Check, ...] = (
    app_armor,
    baseline_capabilities,
    host_namespaces,
    host_path_volumes,
    host_ports,
    privileged,
    proc_mount,
    se_linux,
    baseline_seccomp,
    sysctls,
    windows_host_process,
)
# The stricter forms of three checks replace the looser ones.
RESTRICTED: tuple[Check, ...] = (
    *(
        check
        for check in BASELINE
        if check not in (baseline_capabilities, host_path_volumes, baseline_seccomp)
    ),
    privilege_escalation,
    restricted_capabilities,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    restricted_seccomp,
)

_LEVELS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}


def violations(level: str, metadata: Node, spec: Node) -> list[Violation]:
    """Everything that *level* does not allow."""
    return [found for check in _LEVELS[level] if (found := check(metadata, spec)) is not None]
