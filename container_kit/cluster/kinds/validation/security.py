"""Checks of what processes run as, and of the profiles that confine them.

Source: Kubernetes API reference, SecurityContext, PodSecurityContext.
"""

from typing import Any

from container_kit.cluster.kinds.go import go_pointer, go_security_context, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, between, choice, descending_path
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.status import go_quoted

__all__ = ["apparmor", "check_security_context", "seccomp", "user_id"]

Node = dict[str, Any]
_MAX_ID = 2**31 - 1
_MAX_PROFILE = 4095
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def user_id(field: str, value: int | None) -> Errors:
    """The problems of the number of a user or group."""
    return [] if value is None else between(field, value, 0, _MAX_ID)


def seccomp(path: str, profile: Node | None) -> Errors:
    """The problems of a seccomp profile: a local one must say where it is, others must not."""
    if profile is None:
        return []
    kind, local, field = (
        profile.get("type") or "",
        profile.get("localhostProfile"),
        f"{path}.localhostProfile",
    )
    if kind:
        errors = choice(f"{path}.type", kind, _PROFILES)
    else:
        errors = [FieldError.required(f"{path}.type", "type is required when seccompProfile is set")]
    if kind == "Localhost" and local is None:
        errors.append(FieldError.required(field, "must be set when seccomp type is Localhost"))
    elif kind == "Localhost":
        errors += descending_path(field, local or "")
    elif local is not None:
        pointer = go_pointer("string", local)
        shown = f"core.SeccompProfile{{Type:{go_quoted(kind)}, LocalhostProfile:{pointer}}}"
        errors.append(invalid_as(field, shown, "can only be set when seccomp type is Localhost"))
    return errors


def apparmor(path: str, profile: Node | None) -> Errors:
    """The problems of an AppArmor profile, likewise."""
    if profile is None:
        return []
    kind, local, field = (
        profile.get("type") or "",
        profile.get("localhostProfile"),
        f"{path}.localhostProfile",
    )
    if not kind:
        return [FieldError.required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return choice(f"{path}.type", kind, _PROFILES)
    if kind != "Localhost":
        detail = "can only be set when AppArmor type is Localhost"
        return [] if local is None else [FieldError.invalid(field, local, detail)]
    if not (local or "").strip() and local == (local or "").strip():
        return [FieldError.required(field, "must be set when AppArmor type is Localhost")]
    if local is None:
        return [FieldError.required(field, "must be set when AppArmor type is Localhost")]
    errors: Errors = []
    if local != local.strip():
        errors.append(FieldError.invalid(field, local, "must not be padded with whitespace"))
    if len(local) > _MAX_PROFILE:
        errors.append(FieldError.too_long(field, _MAX_PROFILE))
    return errors


def check_security_context(path: str, context: Node | None) -> Errors:
    """The problems of the security context of a container."""
    if context is None:
        return []
    errors = user_id(f"{path}.runAsUser", context.get("runAsUser"))
    errors += user_id(f"{path}.runAsGroup", context.get("runAsGroup"))
    if context.get("procMount") is not None:
        errors += choice(f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
    errors += seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        errors += _without_escalation(path, context)
    return errors + apparmor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _without_escalation(path: str, context: Node) -> Errors:
    """Who has all powers already cannot be kept from gaining them."""
    added = (context.get("capabilities") or {}).get("add") or ()
    words = ["`privileged` to true"] if context.get("privileged") else []
    words += ["`capabilities.Add` CAP_SYS_ADMIN" for each in added if each == "CAP_SYS_ADMIN"]
    shown = go_security_context(context)
    return [
        invalid_as(path, shown, f"cannot set `allowPrivilegeEscalation` to false and {word}")
        for word in words
    ]
