"""ValidatingAdmissionPolicy: rules in CEL that writes must keep.

A policy says what must hold, its bindings where, with which parameters, and what happens otherwise.

Source: Kubernetes, "Validating Admission Policy"; recorded answers of a real server.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from container_kit.cluster.api.admission.matching import is_meant, request_of
from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.plugins import CONNECT, Attributes, Plugin
from container_kit.cluster.api.resources import Registry
from container_kit.cluster.meta import (
    FieldError,
    LabelSelector,
    Object,
    StatusError,
    labels_of,
    split_group_version,
)
from container_kit.cluster.schema.cel import CelError, Meter, compile_expression

__all__ = ["ValidatingAdmissionPolicy"]

Node = dict[str, Any]
_GROUP = "admissionregistration.k8s.io"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_MOST_STEPS = 4_000_000  # of all expressions of a policy, for one write; about half a second
_NO_PARAMETERS = (
    "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
)


class Failure(NamedTuple):
    """A rule that was not kept."""

    message: str
    reason: str = "Invalid"


class ValidatingAdmissionPolicy(Plugin):
    """Holds writes against the policies that are bound to them."""

    name = "ValidatingAdmissionPolicy"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def handles(self, attributes: Attributes) -> bool:
        return attributes.operation != CONNECT or bool(attributes.subresource)

    def validate(self, attributes: Attributes) -> None:
        bindings = list(attributes.world.list(f"validatingadmissionpolicybindings.{_GROUP}"))
        for binding in bindings:
            spec = binding.get("spec") or {}
            policy = attributes.world.get(
                f"validatingadmissionpolicies.{_GROUP}", "", spec.get("policyName") or ""
            )
            if policy is None or not is_meant(attributes, policy["spec"].get("matchConstraints") or {}):
                continue
            if is_meant(attributes, spec.get("matchResources") or {}):
                self._judge(attributes, policy, binding)

    def _judge(self, attributes: Attributes, policy: Object, binding: Object) -> None:
        names = policy["metadata"]["name"], binding["metadata"]["name"]
        actions = binding["spec"].get("validationActions") or ()
        for failure in self._failures(attributes, policy, binding):
            if "Deny" in actions:
                raise _denial(attributes, names, failure)
            if "Warn" in actions:
                where = f"ValidatingAdmissionPolicy '{names[0]}' with binding '{names[1]}'"
                attributes.warn(f"Validation failed for {where}: {failure.message}")

    def _failures(self, attributes: Attributes, policy: Object, binding: Object) -> Iterator[Failure]:
        spec, reference = policy["spec"], binding["spec"].get("paramRef")
        if spec.get("paramKind") is None or reference is None:
            yield from _broken_rules(attributes, spec, None)
            return
        parameters = list(self._parameters(attributes, spec["paramKind"], reference))
        if not parameters and reference.get("parameterNotFoundAction") != "Allow":
            yield Failure(_NO_PARAMETERS)
        for each in parameters:
            yield from _broken_rules(attributes, spec, each)

    def _parameters(self, attributes: Attributes, kind: Node, reference: Node) -> Iterable[Object]:
        """The objects that a binding refers to, by name or by their labels."""
        group, version = split_group_version(kind.get("apiVersion") or "")
        resource = self._registry.of_kind(group, version, kind.get("kind") or "")
        if resource is None:
            return
        namespace = (reference.get("namespace") or attributes.namespace) if resource.namespaced else ""
        if reference.get("name"):
            found = attributes.world.get(resource.key, namespace, reference["name"])
            yield from () if found is None else (found,)
            return
        wanted = LabelSelector.from_spec(reference.get("selector") or {})
        yield from (
            each for each in attributes.world.list(resource.key, namespace) if wanted.matches(labels_of(each))
        )


def _broken_rules(attributes: Attributes, spec: Node, parameters: Object | None) -> Iterator[Failure]:
    """The rules of a policy that a write does not keep; expressions that fail count by the failure policy."""
    names = _names(attributes, parameters)
    strict = spec.get("failurePolicy") != "Ignore"
    try:
        if not all(_value(each["expression"], names) for each in spec.get("matchConditions") or ()):
            return
    except CelError as error:
        if strict:
            yield Failure(str(error))
        return
    names["variables"] = _variables(spec.get("variables") or (), names)
    for rule in spec.get("validations") or ():
        try:
            kept = _value(rule["expression"], names) is True
        except CelError as error:
            if strict:
                yield Failure(f"expression '{rule['expression'].strip()}' resulted in error: {error}")
            continue
        if not kept:
            yield Failure(_message(rule, names), rule.get("reason") or "Invalid")


def _names(attributes: Attributes, parameters: Object | None) -> Node:
    """What expressions may look at."""
    namespace = attributes.namespace and attributes.world.get("namespaces", "", attributes.namespace)
    return {
        "object": attributes.obj,
        "oldObject": attributes.old,
        "request": request_of(attributes),
        "params": parameters,
        "namespaceObject": namespace or None,
        "variables": {},
        "meter of all": Meter(_MOST_STEPS),
    }


def _value(expression: str, names: Node) -> Any:
    return compile_expression(expression).evaluate(names, meter=names["meter of all"])


def _variables(definitions: Iterable[Node], names: Node) -> Node:
    """The values of a policy's variables; one that has none is missing where it is used."""
    values: Node = {}
    for each in definitions:
        try:
            values[each["name"]] = _value(each["expression"], {**names, "variables": values})
        except CelError:
            continue
    return values


def _message(rule: Node, names: Node) -> str:
    """What to say: the value of an expression, a fixed text, or else the rule itself."""
    if rule.get("messageExpression"):
        try:
            text = _value(rule["messageExpression"], names)
        except CelError:
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return rule.get("message") or f"failed expression: {rule['expression'].strip()}"


def _denial(attributes: Attributes, names: tuple[str, str], failure: Failure) -> StatusError:
    problem = (
        f"ValidatingAdmissionPolicy '{names[0]}' with binding '{names[1]}' denied request: {failure.message}"
    )
    error = refused(attributes, problem, [FieldError("", "", problem)])
    error.reason, error.code = failure.reason, _CODES.get(failure.reason, 422)
    return error
