"""From a container's part of a pod to the options of a container: pure, so that it is tested anywhere.

Walls are never lower than those of a container by itself unless the pod asks for it in so many words: without
``allowPrivilegeEscalation: true`` set-user-id programs stay powerless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from container_kit.errors import InvalidInput
from container_kit.pods.seam import NotReady, Object

if TYPE_CHECKING:
    from container_kit.images import RunDefaults
    from container_kit.pods.spec import ContainerSpec, PodSpec
    from container_kit.runtime.limits import Limits

__all__ = ["check_user", "command_of", "expand", "limits_of", "pod_limits", "quantity", "settings_of"]

_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([a-zA-Z]{0,2})(?:[eE]([+-]?[0-9]+))?\Z")
_UNITS: Mapping[str, Decimal | int] = {
    "": 1, "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": 10**3, "M": 10**6,
    "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
    "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_SMALLEST_MEMORY = 6 << 20
_FEWEST_SHARES, _MOST_SHARES = 2, 262_144
_SHORTEST_QUOTA_US, _PERIOD_US = 1000, 100_000


def quantity(text: str | float) -> Decimal:
    """The number that a Kubernetes quantity means: ``100m``, ``1.5Gi``, ``1e3``.

    Raises:
        InvalidInput: It is none.
    """
    match = _QUANTITY.match(str(text))
    if match is None or match[2] not in _UNITS:
        raise InvalidInput(f"{text!r} is no quantity such as 100m or 64Mi")
    return Decimal(match[1]) * _UNITS[match[2]] * Decimal(10) ** int(match[3] or 0)


def expand(text: str, env: Mapping[str, str]) -> str:
    """*text* with ``$(NAME)`` replaced; what has no value stays as it is, ``$$`` is one dollar."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return env.get(match[1], match[0])

    return _REFERENCE.sub(replaced, text)


def command_of(raw: Object, env: Mapping[str, str]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Entrypoint and command; None for the image's."""
    command, args = raw.get("command"), raw.get("args")
    entrypoint = tuple(expand(word, env) for word in command) if command else None
    return entrypoint, tuple(expand(word, env) for word in args) if args else None


def settings_of(pod: PodSpec, one: ContainerSpec, env: Mapping[str, str]) -> dict[str, Any]:
    """The keywords of `ContainerOptions` for a container with these variables, without its mounts."""
    raw = one.raw
    entrypoint, _ = command_of(raw, env)
    found: dict[str, Any] = {
        "entrypoint": entrypoint,
        "env": dict(env),
        "working_dir": raw.get("workingDir") or "",
        "tty": bool(raw.get("tty")),
        "stdin_open": bool(raw.get("stdin")),
        "limits": limits_of(raw.get("resources") or {}),
        "network": "host" if pod.host_network else "none",
        "stop_timeout_s": pod.grace_s,
        "sysctls": {s["name"]: s["value"] for s in _security(pod.spec).get("sysctls") or ()},
        "labels": _labels(pod, one),
    }
    if pod.host_pid:
        found["pid"] = "host"
    if pod.host_ipc:
        found["ipc"] = "host"
    return found | _walls(_security(pod.spec), _security(raw))


def _labels(pod: PodSpec, one: ContainerSpec) -> dict[str, str]:
    return {
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
        "io.kubernetes.container.name": one.name,
    }


def _security(raw: Object) -> Object:
    return raw.get("securityContext") or {}


def _walls(of_pod: Object, own: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    user, group = _either("runAsUser", of_pod, own), _either("runAsGroup", of_pod, own)
    if user is not None:
        found["user"] = f"{user}" if group is None else f"{user}:{group}"
    extra = [*(of_pod.get("supplementalGroups") or ()), *_listed(of_pod.get("fsGroup"))]
    if extra:
        found["group_add"] = [str(one) for one in extra]
    if own.get("privileged"):
        found["profile"] = "privileged"
    capabilities = own.get("capabilities") or {}
    found["cap_add"], found["cap_drop"] = capabilities.get("add") or (), capabilities.get("drop") or ()
    if own.get("readOnlyRootFilesystem"):
        found["read_only"] = True
    if own.get("allowPrivilegeEscalation") is not None:
        found["no_new_privs"] = not own["allowPrivilegeEscalation"]
    if own.get("procMount") == "Unmasked":
        found["masked_paths"] = found["readonly_paths"] = ()
    return found | _seccomp(_either("seccompProfile", of_pod, own) or {})


def _seccomp(profile: Object) -> dict[str, Any]:
    """The filter: none only when that is said; a file of the node's is nothing that we can apply.

    A missing name must not come to mean no filter (CVE-2023-2431).
    """
    kind = profile.get("type", "RuntimeDefault")
    if kind == "Unconfined":
        return {"seccomp": "unconfined"}
    if kind == "Localhost":
        name = profile.get("localhostProfile")
        raise NotReady(
            "CreateContainerConfigError",
            f"the seccomp profile {name!r} of this node cannot be applied: only RuntimeDefault and "
            "Unconfined are known here",
        )
    return {}


def _either(field: str, of_pod: Object, own: Object) -> Any:
    return own[field] if own.get(field) is not None else of_pod.get(field)


def _listed(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,)


def check_user(pod: PodSpec, one: ContainerSpec, defaults: RunDefaults) -> None:
    """Refuse a container that must not be root and is, or whose image does not say a number.

    Raises:
        NotReady: With the words of the kubelet.
    """
    of_pod, own = _security(pod.spec), _security(one.raw)
    if not _either("runAsNonRoot", of_pod, own):
        return
    user = _either("runAsUser", of_pod, own)
    if user is not None:
        if int(user) == 0:
            raise NotReady(
                "CreateContainerConfigError", "container's runAsUser breaks non-root policy (user is 0)"
            )
        return
    name = defaults.user.partition(":")[0]
    if name in ("", "0", "root") or (name.isascii() and name.isdigit() and int(name) == 0):
        raise NotReady("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")
    if not (name.isascii() and name.isdigit()):
        raise NotReady(
            "CreateContainerConfigError",
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is "
            "non-root",
        )


def limits_of(resources: Object) -> Limits | None:
    """A container's limits; None when it has none."""
    from container_kit.runtime.limits import Limits

    found = _figures(resources.get("requests") or {}, resources.get("limits") or {})
    return Limits(**found) if found else None


def _figures(requests: Object, limits: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cpu = requests.get("cpu", limits.get("cpu"))
    if cpu is not None:
        shares = int(quantity(cpu) * 1024)
        found["cpu_shares"] = min(max(shares, _FEWEST_SHARES), _MOST_SHARES)
    if limits.get("cpu") is not None:
        quota = int(quantity(limits["cpu"]) * _PERIOD_US)
        found["cpu_quota_us"], found["cpu_period_us"] = max(quota, _SHORTEST_QUOTA_US), _PERIOD_US
    if limits.get("memory") is not None:
        found["memory"] = found["memory_swap"] = max(int(quantity(limits["memory"])), _SMALLEST_MEMORY)
    return found


def pod_limits(spec: Object) -> Limits | None:
    """What all containers of a pod may use together: only what each of them has a limit of."""
    from container_kit.runtime.limits import Limits

    running = [*(spec.get("containers") or ()), *_sidecars(spec)]
    found: dict[str, Any] = {}
    for name in ("cpu", "memory"):
        together = [_limit(one, name) for one in running]
        alone = [_limit(one, name) for one in _initial(spec)]
        if all(value is not None for value in (*together, *alone)):
            found[name] = max(sum(filter(None, together), Decimal(0)), *filter(None, alone), Decimal(0))
    figures = _figures({}, {name: str(value) for name, value in found.items()})
    return Limits(**figures) if figures else None


def _limit(one: Object, name: str) -> Decimal | None:
    value = ((one.get("resources") or {}).get("limits") or {}).get(name)
    return None if value is None else quantity(value)


def _sidecars(spec: Object) -> list[Object]:
    return [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]


def _initial(spec: Object) -> list[Object]:
    return [one for one in spec.get("initContainers") or () if one.get("restartPolicy") != "Always"]
