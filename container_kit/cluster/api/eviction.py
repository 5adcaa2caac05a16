"""eviction: a deletion that asks the pod's disruption budget first.

Source: policy/v1 Eviction; kubernetes pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

import msgspec

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.deleting import remove
from container_kit.cluster.api.encoding import json_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import delete_options, write_options
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.objects import Object, condition_of, labels_of, set_condition
from container_kit.cluster.meta.status import (
    FieldError,
    StatusError,
    bad_request,
    conflict,
    forbidden,
    success,
    too_many_requests,
)
from container_kit.cluster.store import Changed, Record

__all__ = ["evict"]

_KIND = ("policy", "v1", "Eviction")
_BUDGETS = "poddisruptionbudgets.policy"
_TRIES = 8
_MOST_DISRUPTED = 2000
_RETRY_S = 10
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO_BUDGETS = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
)


def evict(call: Call) -> Response:
    """Delete the pod if its budget allows it."""
    asked = write_options(call.request, "CreateOptions")
    eviction = _read(call)
    if (eviction.get("metadata") or {}).get("name") not in (None, "", call.route.name):
        raise bad_request("name in URL does not match name in Eviction object")
    given = eviction.get("deleteOptions") or {"kind": "DeleteOptions"}
    if asked.dry_run and not given.get("dryRun"):
        given = {**given, "dryRun": ["All"]}
    options = delete_options(call.request, given)
    record = call.record()
    if _needs_budget(record.object):
        _spend(call, record.object, options.dry_run)
    if not options.dry_run:
        record = _noted(call, record)
    uid = options.uid or record.object["metadata"]["uid"]
    remove(call, msgspec.structs.replace(options, uid=uid))
    return json_response(success(code=201), 201, call.warnings)


def _read(call: Call) -> Object:
    """The eviction; the version that came before is the same."""
    body = call.request.body
    if isinstance(body, bytes):
        body = body.replace(b'"policy/v1beta1"', b'"policy/v1"')
    request = msgspec.structs.replace(call.request, body=body)
    return read_object(Call(call.core, request, call.route, call.resource, call.user), _KIND, "Ignore")


def _needs_budget(pod: Object) -> bool:
    """Pods that do not run yet, or no more, disturb nobody when they go."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Pending", "Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def _spend(call: Call, pod: Object, dry_run: bool) -> None:
    """Take one from the budget of *pod*.

    Raises:
        StatusError: 429: there is none left; 500: there are two budgets.
    """
    for _ in range(_TRIES):
        budgets = _budgets_of(call, pod)
        if not budgets:
            return
        if len(budgets) > 1:
            raise StatusError(500, "", _TWO_BUDGETS)
        new = _spent(budgets[0].object, pod, call.core.clock.stamp())
        if new is None or dry_run:
            return
        try:
            call.core.store.replace(budgets[0], new)
            return
        except Changed:
            continue
    raise conflict("poddisruptionbudgets", budgets[0].name, "policy")


def _budgets_of(call: Call, pod: Object) -> list[Record]:
    records = call.core.store.list(_BUDGETS, call.route.namespace).records
    labels = labels_of(pod)
    return [
        record
        for record in records
        if LabelSelector.from_spec(record.object["spec"].get("selector")).matches(labels)
    ]


def _spent(budget: Object, pod: Object, now: str) -> Object | None:
    """The budget after this pod; None if it costs nothing."""
    metadata, status = budget["metadata"], budget.get("status") or {}
    name = metadata["name"]
    if not _is_ready(pod) and _spares_unhealthy(budget):
        return None
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _RETRY_S)
    allowed: int = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise forbidden("poddisruptionbudgets", name, "pdb disruptions allowed is negative", "policy")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > _MOST_DISRUPTED:
        raise forbidden(
            "poddisruptionbudgets",
            name,
            "DisruptedPods map too big - too many evictions not confirmed",
            "policy",
        )
    if allowed == 0:
        desired, healthy = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _refused(
            f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )
    left = allowed - 1
    changed = {
        **status,
        "disruptionsAllowed": left,
        "disruptedPods": {**disrupted, pod["metadata"]["name"]: now},
    }
    if left == 0:
        conditions = [dict(condition) for condition in status.get("conditions") or ()]
        exhausted = {
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "observedGeneration": status.get("observedGeneration"),
            "message": "",
        }
        set_condition(conditions, exhausted, now)
        changed["conditions"] = conditions
    return {**budget, "status": changed}


def _is_ready(pod: Object) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def _spares_unhealthy(budget: Object) -> bool:
    """Whether a pod that is not ready may go without being counted."""
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy") or 0
    return desired > 0 and (status.get("currentHealthy") or 0) >= desired


def _refused(detail: str, retry_after_s: int | None = None) -> StatusError:
    return too_many_requests(_REFUSED, retry_after_s, [FieldError("", "DisruptionBudget", detail)])


def _noted(call: Call, record: Record) -> Record:
    """The pod says why it goes, for those who decide whether its end counts as a failure."""
    for _ in range(_TRIES):
        pod = record.object
        status = pod.get("status") or {}
        conditions = [dict(condition) for condition in status.get("conditions") or ()]
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
        }
        set_condition(conditions, target, call.core.clock.stamp())
        try:
            return call.core.store.replace(record, {**pod, "status": {**status, "conditions": conditions}})
        except Changed:
            record = call.record()
    raise conflict("pods", record.name)
