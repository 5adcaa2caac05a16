"""The autoscaler: every 15 seconds it measures, decides, and writes the scale of its target.

Metrics of resources come from ``metrics.k8s.io``. Of other metrics it says that it cannot get them.

Source: kubernetes.io, "Horizontal Pod Autoscaling"; API reference, autoscaling/v2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from container_kit._values import frozen
from container_kit.cluster.client import ApiError, ApiNotFound
from container_kit.cluster.controllers.autoscaling.behavior import IN_RANGE, Past, limited
from container_kit.cluster.controllers.autoscaling.usage import Proposal, Sample, Target, propose
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    format_quantity,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    parse_time,
    quantity,
    set_condition,
    split_group_version,
)
from container_kit.cluster.meta.times import parse_duration
from container_kit.errors import ContainerKitError, NotFound

__all__ = ["HorizontalPodAutoscaler"]

_AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
_PERIOD_S = 15.0
_METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"
_FROM_API = "unable to get metrics for resource {}: unable to fetch metrics from resource metrics API: {}"


class _NoMetric(Exception):
    """A metric cannot be had; the reason of the condition, and what to say."""

    def __init__(self, reason: str, text: str, detail: str) -> None:
        super().__init__(text)
        self.reason, self.text, self.detail = reason, text, detail


class _NoScale(Exception):
    """The target has no scale that can be read."""


@frozen
class _Found:
    """What one metric asks for, its current value for the status, and its name for people."""

    replicas: int
    status: Object
    title: str


class HorizontalPodAutoscaler:
    """Scales what HorizontalPodAutoscalers point at.

    Args:
        period_s: How often each is looked at.
    """

    name = "horizontal-pod-autoscaler"

    def __init__(self, manager: Manager, *, period_s: float = _PERIOD_S) -> None:
        self._client, self._clock, self._period_s = manager.client_of(self.name), manager.clock, period_s
        self._events = manager.recorder(self.name)
        self._autoscalers, self._pods = manager.informer(_AUTOSCALERS), manager.informer("pods")
        self._due_s: dict[Key, float] = {}
        self._pasts: dict[Key, Past] = {}
        self._selectors: dict[Key, str] = {}  # of the pods that each has scaled when it was last looked at

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _AUTOSCALERS: keys_of(lambda found: (key_of(_AUTOSCALERS, found),)),
            "pods": lambda old, new: (),  # only to have seen them
        }

    def reconcile(self, key: Key) -> float | None:
        autoscaler = self._autoscalers.get(key.namespace, key.name)
        if autoscaler is None:
            self._due_s.pop(key, None)
            self._pasts.pop(key, None)
            self._selectors.pop(key, None)
            return None
        now_s = self._clock.monotonic()
        left_s = self._due_s.setdefault(key, now_s + self._period_s) - now_s
        if left_s > 0:
            return left_s
        self._due_s[key] = now_s + self._period_s
        _Look(self, autoscaler, self._pasts.setdefault(key, Past())).take()
        return self._period_s

    def rivals(self, pods: Iterable[Object], namespace: str) -> list[str]:
        """The names of all that scale some of *pods*."""
        found = ((key, LabelSelector.parse(text)) for key, text in self._selectors.items())
        here = [(key.name, selector) for key, selector in found if key.namespace == namespace]
        return sorted({name for pod in pods for name, selector in here if selector.matches(labels_of(pod))})

    def note_selector(self, key: Key, selector: str) -> None:
        """Remember whom the autoscaler of this key scales."""
        self._selectors[key] = selector


class _Look:
    """One look at one autoscaler."""

    def __init__(self, owner: HorizontalPodAutoscaler, autoscaler: Object, past: Past) -> None:
        self._owner = owner
        self._client, self._clock, self._events = owner._client, owner._clock, owner._events
        self._pods, self._autoscaler, self._past = owner._pods, autoscaler, past
        self._spec, self._namespace = autoscaler["spec"], namespace_of(autoscaler)
        self._status: Object = dict(autoscaler.get("status") or {})
        self._conditions = [dict(each) for each in self._status.get("conditions") or ()]

    def take(self) -> None:
        """Look, scale if need be, and write down what was seen."""
        try:
            resource, scale = self._scale()
        except _NoScale as error:
            text = str(error)
            self._say("Warning", "FailedGetScale", text)
            prefix = "the HPA controller was unable to get the target's current scale"
            self._condition("AbleToScale", False, "FailedGetScale", f"{prefix}: {text}")
        else:
            self._decide(resource, scale)
        self._write()

    def _scale(self) -> tuple[str, Object]:
        target = self._spec["scaleTargetRef"]
        group, _ = split_group_version(target["apiVersion"])
        kind = target["kind"].lower()
        try:
            info = self._client.resource(f"{kind}.{group}" if group else kind)
        except NotFound as error:
            raise _NoScale(f"no matches for kind {target['kind']!r} in group {group!r}") from error
        try:
            return info.full_name, self._client.get(
                info.full_name, target["name"], self._namespace, subresource="scale"
            )
        except ApiNotFound:
            where = f"{info.plural}/scale" + (f".{group}" if group else "")
            raise _NoScale(f'{where} "{target["name"]}" not found') from None

    def _decide(self, resource: str, scale: Object) -> None:
        current = (scale.get("spec") or {}).get("replicas", 0)
        least, most = self._spec.get("minReplicas", 1), self._spec["maxReplicas"]
        self._status["currentReplicas"] = (scale.get("status") or {}).get("replicas", 0)
        text = "the HPA controller was able to get the target's current scale"
        self._condition("AbleToScale", True, "SucceededGetScale", text)
        if current == 0 and least != 0:
            why = "scaling is disabled since the replica count of the target is zero"
            self._condition("ScalingActive", False, "ScalingDisabled", why)
            self._status["desiredReplicas"] = 0
        elif current > most:
            self._rescale(resource, current, most, "Current number of replicas above Spec.MaxReplicas")
        elif current < least:
            self._rescale(resource, current, least, "Current number of replicas below Spec.MinReplicas")
        else:
            self._follow_metrics(resource, scale, current)

    def _follow_metrics(self, resource: str, scale: Object, current: int) -> None:
        pods = self._selected(scale)
        if pods is None:
            return
        found, failures = self._measure(scale, pods, current)
        metrics = self._spec.get("metrics") or ()
        self._status["currentMetrics"] = [each.status for each in found] + [{"type": ""}] * len(failures)
        wanted = max((each.replicas for each in found), default=current)
        if failures and (not found or wanted < current):
            self._give_up(failures, len(metrics))
            self._status["desiredReplicas"] = current
            return
        best = max(found, key=lambda each: each.replicas)
        why = f"the HPA was able to successfully calculate a replica count from {best.title}"
        self._condition("ScalingActive", True, "ValidMetricFound", why)
        allowed = limited(self._spec, current, wanted, self._past, self._clock.monotonic())
        self._condition("AbleToScale", True, *allowed.able)
        self._condition("ScalingLimited", allowed.limit != IN_RANGE, *allowed.limit)
        if allowed.replicas == current:
            self._status["desiredReplicas"] = current
            return
        above = allowed.replicas > current
        self._rescale(
            resource,
            current,
            allowed.replicas,
            f"{best.title} above target" if above else "All metrics below target",
        )

    def _selected(self, scale: Object) -> list[Object] | None:
        """The pods of the target; None after telling that nobody knows whose they are."""
        text = (scale.get("status") or {}).get("selector") or ""
        if not text:
            missing = "the HPA target's scale is missing a selector"
            self._refuse("SelectorRequired", "selector is required", "InvalidSelector", missing)
            return None
        selector = LabelSelector.parse(text)
        pods = [pod for pod in self._pods.in_namespace(self._namespace) if selector.matches(labels_of(pod))]
        self._owner.note_selector(key_of(_AUTOSCALERS, self._autoscaler), text)
        rivals = self._owner.rivals(pods, self._namespace)
        if len(rivals) > 1:
            names = " ".join(f"{{{name} {self._namespace}}}" for name in rivals)
            why = f"pods by selector {text} are controlled by multiple HPAs: [{names}]"
            self._refuse("AmbiguousSelector", why, "AmbiguousSelector", why)
            return None
        return pods

    def _refuse(self, event: str, text: str, reason: str, why: str) -> None:
        self._say("Warning", event, text)
        self._say("Warning", "FailedComputeMetricsReplicas", text)
        self._condition("ScalingActive", False, reason, why)

    def _give_up(self, failures: list[_NoMetric], metrics: int) -> None:
        first = failures[0]
        self._say("Warning", first.reason, first.text)
        text = f"invalid metrics ({len(failures)} invalid out of {metrics}), first error is: {first.detail}"
        self._say("Warning", "FailedComputeMetricsReplicas", text)
        why = f"the HPA was unable to compute the replica count: {first.text}"
        self._condition("ScalingActive", False, first.reason, why)

    def _rescale(self, resource: str, current: int, wanted: int, why: str) -> None:
        name = self._spec["scaleTargetRef"]["name"]
        patch = {"spec": {"replicas": wanted}}
        try:
            self._client.patch(resource, name, patch, self._namespace, kind="merge", subresource="scale")
        except ApiError as error:
            self._say("Warning", "FailedRescale", f"New size: {wanted}; reason: {why}; error: {error}")
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._condition("AbleToScale", False, "FailedUpdateScale", text)
            return
        self._past.changes.append((self._clock.monotonic(), wanted - current))
        self._say("Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._condition("AbleToScale", True, "SucceededRescale", text)
        self._status |= {"lastScaleTime": self._clock.stamp(), "desiredReplicas": wanted}

    # Metrics.

    def _measure(
        self, scale: Object, pods: list[Object], current: int
    ) -> tuple[list[_Found], list[_NoMetric]]:
        selector: str = scale["status"]["selector"]
        found: list[_Found] = []
        failures: list[_NoMetric] = []
        for metric in self._spec.get("metrics") or ():
            try:
                found.append(self._one(metric, pods, selector, current))
            except _NoMetric as error:
                failures.append(error)
        return found, failures

    def _one(self, metric: Object, pods: list[Object], selector: str, current: int) -> _Found:
        kind = metric["type"]
        if kind not in ("Resource", "ContainerResource"):
            text = f"unable to get metric of type {kind}: no metrics API serves it"
            raise _NoMetric(f"FailedGet{kind}Metric", text, text)
        wish = metric["resource" if kind == "Resource" else "containerResource"]
        resource, container = wish["name"], wish.get("container", "")
        target = Target(
            resource, wish["target"].get("averageUtilization"), _amount(wish["target"].get("averageValue"))
        )
        try:
            samples = self._samples(selector, resource, container)
            requests = _requests(pods, resource, container) if target.utilization is not None else {}
            proposal = propose(target, pods, samples, requests, current, self._clock.now())
        except (ContainerKitError, LookupError) as error:
            raise _unavailable(kind, target, resource, error) from error
        return _Found(proposal.replicas, _as_status(metric, proposal), _title(target))

    def _samples(self, selector: str, resource: str, container: str) -> dict[str, Sample]:
        reply = self._client.request("GET", _METRICS.format(self._namespace), {"labelSelector": selector})
        document: dict[str, Any] = msgspec.json.decode(reply.body)
        found = {}
        for item in document.get("items") or ():
            parts = [each for each in item.get("containers") or () if container in ("", each["name"])]
            if parts and all(resource in each.get("usage", {}) for each in parts):
                value = sum(float(quantity(each["usage"][resource])) for each in parts)
                taken: datetime = parse_time(item["timestamp"])
                found[item["metadata"]["name"]] = Sample(value, taken, parse_duration(item["window"]))
        if not found:
            what = f"unable to get metrics for resource {resource}"
            raise LookupError(f"{what}: no metrics returned from resource metrics API")
        return found

    # What is written.

    def _condition(self, kind: str, holds: bool, reason: str, message: str) -> None:
        condition = {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message,
        }
        set_condition(self._conditions, condition, self._clock.stamp())

    def _say(self, kind: Literal["Normal", "Warning"], reason: str, text: str) -> None:
        about = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"} | self._autoscaler
        self._events.event(about, kind, reason, text)

    def _write(self) -> None:
        status = self._status | {"conditions": self._conditions}
        status.setdefault("desiredReplicas", 0)
        if status != self._autoscaler.get("status"):
            self._client.update_status({**self._autoscaler, "status": status})


def _unavailable(kind: str, target: Target, resource: str, error: Exception) -> _NoMetric:
    what = "utilization" if target.utilization is not None else "usage"
    cause = str(error) if isinstance(error, LookupError) else _FROM_API.format(resource, _words(error))
    text = f"failed to get {resource} {what}: {cause}"
    return _NoMetric(
        f"FailedGet{kind}Metric", text, f"failed to get {resource} resource metric value: {text}"
    )


def _words(error: Exception) -> str:
    if isinstance(error, ApiError) and error.code == 404:
        return "the server could not find the requested resource (get pods.metrics.k8s.io)"
    return str(error)


def _requests(pods: list[Object], resource: str, container: str) -> dict[str, float]:
    """What each pod asks for; utilization means nothing for a container without a request."""
    found: dict[str, float] = {}
    for pod in pods:
        for each in pod["spec"]["containers"]:
            if container not in ("", each["name"]):
                continue
            asked = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if asked is None:
                raise LookupError(
                    f"missing request for {resource} in container {each['name']} of Pod {name_of(pod)}"
                )
            found[name_of(pod)] = found.get(name_of(pod), 0.0) + float(quantity(asked))
    return found


def _amount(text: str | None) -> float | None:
    return None if text is None else float(quantity(text))


def _title(target: Target) -> str:
    if target.utilization is not None:
        return f"{target.resource} resource utilization (percentage of request)"
    return f"{target.resource} resource"


def _as_status(metric: Object, proposal: Proposal) -> Object:
    field = "resource" if metric["type"] == "Resource" else "containerResource"
    wish = metric[field]
    if wish["name"] == "cpu":
        average = f"{round(proposal.average * 1000)}m"
    else:
        average = format_quantity(round(proposal.average))
    current: Object = {"averageValue": average}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    named = {key: wish[key] for key in ("name", "container") if key in wish}
    return {"type": metric["type"], field: named | {"current": current}}
