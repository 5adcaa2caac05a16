"""Rows of what governs a cluster: rights, certificates, admission, priorities, flow control."""

from typing import Any

from container_kit.cluster.kinds.tables.cells import NONE, UNSET, Row, age, spec_of, status_of
from container_kit.cluster.meta import Object, condition_of, name_of
from container_kit.cluster.meta.times import short_age

__all__ = ["ROWS"]


def binding(obj: Object, now: str) -> list[Any]:
    role = obj.get("roleRef") or {}
    shown: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        account = subject.get("kind") == "ServiceAccount"
        name = f"{subject.get('namespace', '')}/{subject.get('name')}" if account else subject.get("name", "")
        shown.setdefault(subject.get("kind", ""), []).append(name)
    subjects = [", ".join(shown[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [name_of(obj), f"{role.get('kind')}/{role.get('name')}", age(obj, now), *subjects]


def signing_request(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    duration = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if duration is None else short_age(duration),
        _signing_state(obj),
    ]


def _signing_state(obj: Object) -> str:
    """Denied before approved; whether it was issued or failed comes after."""
    if condition_of(obj, "Denied"):
        state = "Denied"
    elif condition_of(obj, "Approved"):
        state = "Approved"
    else:
        state = "Pending"
    if condition_of(obj, "Failed"):
        state += ",Failed"
    return state + (",Issued" if status_of(obj).get("certificate") else "")


def webhook_configuration(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def admission_policy(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    kind = spec.get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [name_of(obj), len(spec.get("validations") or ()), shown, age(obj, now)]


def admission_binding(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    reference = spec.get("paramRef")
    shown = UNSET
    if reference:
        shown = "/".join(filter(None, (reference.get("namespace"), reference.get("name")))) or "*"
    return [name_of(obj), spec.get("policyName", ""), shown, age(obj, now)]


def api_service(obj: Object, now: str) -> list[Any]:
    service = spec_of(obj).get("service")
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    available = condition_of(obj, "Available") or {}
    state = available.get("status") or "Unknown"
    if state != "True" and available.get("reason"):
        state = f"{state} ({available['reason']})"
    return [name_of(obj), shown, state, age(obj, now)]


def priority_class(obj: Object, now: str) -> list[Any]:
    policy = obj.get("preemptionPolicy") or "PreemptLowerPriority"
    return [name_of(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), policy]


def runtime_class(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), obj.get("handler", ""), age(obj, now)]


def flow_schema(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    missing = (condition_of(obj, "Dangling") or {}).get("status") or "?"
    return [
        name_of(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age(obj, now),
        missing,
    ]


def priority_level(obj: Object, now: str) -> list[Any]:
    limited = spec_of(obj).get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shares = limited.get("nominalConcurrencyShares", NONE)
    queues = [queuing.get(key, NONE) for key in ("queues", "handSize", "queueLengthLimit")]
    return [name_of(obj), spec_of(obj).get("type", ""), shares, *queues, age(obj, now)]


ADMISSION, RBAC, FLOW = (
    "admissionregistration.k8s.io",
    "rbac.authorization.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)

ROWS: dict[str, Row] = {
    f"{ADMISSION}/MutatingWebhookConfiguration": webhook_configuration,
    f"{ADMISSION}/ValidatingAdmissionPolicy": admission_policy,
    f"{ADMISSION}/ValidatingAdmissionPolicyBinding": admission_binding,
    f"{ADMISSION}/ValidatingWebhookConfiguration": webhook_configuration,
    f"{FLOW}/FlowSchema": flow_schema,
    f"{FLOW}/PriorityLevelConfiguration": priority_level,
    f"{RBAC}/ClusterRoleBinding": binding,
    f"{RBAC}/RoleBinding": binding,
    "apiregistration.k8s.io/APIService": api_service,
    "certificates.k8s.io/CertificateSigningRequest": signing_request,
    "node.k8s.io/RuntimeClass": runtime_class,
    "scheduling.k8s.io/PriorityClass": priority_class,
}
