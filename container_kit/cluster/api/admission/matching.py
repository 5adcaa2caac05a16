"""Which writes a policy or webhook is about: rules, selectors, conditions; and how they see a request.

Source: Kubernetes, "Dynamic Admission Control" (matching requests), "Validating Admission Policy".
"""

from typing import Any

from container_kit.cluster.api.plugins import Attributes
from container_kit.cluster.meta import LabelSelector, Object, labels_of

__all__ = ["is_meant", "request_of", "rule_matches"]

Node = dict[str, Any]

# Nothing may lock itself out: what admission is made of is judged by nobody's rules.
_EXEMPT = frozenset(
    f"{plural}.admissionregistration.k8s.io"
    for plural in (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    )
)


def is_meant(attributes: Attributes, resources: Node, key: str = "resourceRules") -> bool:
    """Whether a write is one that *resources* (a MatchResources, or a webhook with its rules) means.

    Args:
        attributes: The write.
        resources: With rules, selectors and a matchPolicy.
        key: Where the rules are; without any a binding means whatever its policy means.
    """
    if attributes.resource.key in _EXEMPT:
        return False
    exact = resources.get("matchPolicy") == "Exact"
    rules, excluded = resources.get(key), resources.get("excludeResourceRules") or ()
    if any(rule_matches(rule, attributes, exact) for rule in excluded):
        return False
    if rules is not None and not any(rule_matches(rule, attributes, exact) for rule in rules):
        return False
    return _namespace_fits(attributes, resources) and _object_fits(
        attributes, resources.get("objectSelector")
    )


def rule_matches(rule: Node, attributes: Attributes, exact: bool) -> bool:
    """Whether one rule means a write; another version of the same resource counts unless *exact*."""
    resource = attributes.resource
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") != bool(attributes.namespace):
        return False
    names = rule.get("resourceNames")
    if names and attributes.name not in names:
        return False
    return (
        _has(rule.get("operations"), attributes.operation)
        and _has(rule.get("apiGroups"), resource.group)
        and (not exact or _has(rule.get("apiVersions"), resource.version))
        and any(
            _resource_fits(each, resource.plural, attributes.subresource)
            for each in rule.get("resources") or ()
        )
    )


def _has(words: Any, word: str) -> bool:
    return "*" in (words or ()) or word in (words or ())


def _resource_fits(pattern: str, plural: str, subresource: str) -> bool:
    """``pods`` is not its parts; ``pods/*``, ``*/status`` and ``*/*`` are."""
    wanted, slash, part = pattern.partition("/")
    if wanted not in ("*", plural):
        return False
    if not slash:
        return not subresource
    return part == "*" or part == subresource


def _namespace_fits(attributes: Attributes, resources: Node) -> bool:
    selector = resources.get("namespaceSelector")
    if not selector:
        return True
    if attributes.resource.key == "namespaces":
        found = attributes.obj or attributes.old
    elif not attributes.namespace:
        return True  # objects of the whole cluster are not chosen by namespace
    else:
        found = attributes.world.get("namespaces", "", attributes.namespace)
    return LabelSelector.from_spec(selector).matches(labels_of(found or {}))


def _object_fits(attributes: Attributes, selector: Node | None) -> bool:
    if not selector:
        return True
    wanted = LabelSelector.from_spec(selector)
    return any(
        each is not None and wanted.matches(labels_of(each)) for each in (attributes.obj, attributes.old)
    )


def request_of(attributes: Attributes) -> Object:
    """A write as an AdmissionRequest shows it, without its objects."""
    resource = attributes.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    metadata = (attributes.obj or {}).get("metadata") or {}
    found = {
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "name": attributes.name or metadata.get("name") or "",
        "namespace": attributes.namespace,
        "operation": attributes.operation,
        "userInfo": attributes.user.info(),
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    if attributes.subresource:
        found |= {"subResource": attributes.subresource, "requestSubResource": attributes.subresource}
    return found
