"""Checks of what governs a cluster: rights, priorities, budgets, autoscalers, leases, extensions.

Source: Kubernetes API reference; recorded answers of a real server.
"""

import base64
import binascii
from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    non_negative,
    percent_or_number,
    problems,
    required,
    required_fields,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_subdomain_problems,
    path_segment_problems,
)
from container_kit.cluster.meta.status import go_quoted

__all__ = ["CHECKS", "UPDATES"]

Node = dict[str, Any]
RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"


def role(obj: Object) -> Errors:
    return _rules(obj.get("rules") or (), namespaced=True)


def cluster_role(obj: Object) -> Errors:
    errors = _rules(obj.get("rules") or (), namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        field = "aggregationRule.clusterRoleSelectors"
        errors += required(
            field, selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil"
        )
        for index, each in enumerate(selectors):
            errors += selector(f"{field}[{index}]", each)
    return errors


def _rules(rules: Any, *, namespaced: bool) -> Errors:
    errors: Errors = []
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        errors += required(f"{path}.verbs", rule.get("verbs"), "verbs must contain at least one value")
        paths = rule.get("nonResourceURLs") or ()
        if paths:
            errors += _path_rule(path, rule, list(paths), namespaced)
            continue
        errors += required(
            f"{path}.apiGroups", rule.get("apiGroups"), "resource rules must supply at least one api group"
        )
        errors += required(
            f"{path}.resources", rule.get("resources"), "resource rules must supply at least one resource"
        )
    return errors


def _path_rule(path: str, rule: Node, paths: list[str], namespaced: bool) -> Errors:
    field = f"{path}.nonResourceURLs"
    if namespaced:
        detail = "namespaced rules cannot apply to non-resource URLs"
        return [invalid_as(field, go_list(paths), detail)]
    if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
        detail = "rules cannot apply to both regular resources and non-resource URLs"
        return [invalid_as(field, go_list(paths), detail)]
    return []


def _binding(obj: Object, kinds: tuple[str, ...]) -> Errors:
    reference = obj.get("roleRef") or {}
    errors: Errors = []
    if reference.get("apiGroup") != RBAC:
        errors += choice("roleRef.apiGroup", reference.get("apiGroup") or "", (RBAC,))
    errors += choice("roleRef.kind", reference.get("kind") or "", kinds)
    name = reference.get("name") or ""
    errors += (
        problems("roleRef.name", name, path_segment_problems)
        if name
        else [FieldError.required("roleRef.name")]
    )
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject(f"subjects[{index}]", subject, namespaced="Role" in kinds)
    return errors


def _subject(path: str, subject: Node, *, namespaced: bool) -> Errors:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    errors = required(f"{path}.name", name)
    if kind == "ServiceAccount":
        if name:
            errors += problems(f"{path}.name", name, dns1123_subdomain_problems)
        if group:
            errors += choice(f"{path}.apiGroup", group, ("",))
        if not namespaced:
            errors += required(f"{path}.namespace", subject.get("namespace"))
    elif kind in ("User", "Group"):
        errors += choice(f"{path}.apiGroup", group, (RBAC,))
    else:
        errors += choice(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))
    return errors


def role_binding(obj: Object) -> Errors:
    return _binding(obj, ("Role", "ClusterRole"))


def cluster_role_binding(obj: Object) -> Errors:
    return _binding(obj, ("ClusterRole",))


def binding_update(new: Object, old: Object) -> Errors:
    wanted = new.get("roleRef") or {}
    if wanted == old.get("roleRef"):
        return []
    words = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
    shown = ", ".join(f"{word}:{go_quoted(wanted.get(key) or '')}" for word, key in words)
    return [invalid_as("roleRef", f"rbac.RoleRef{{{shown}}}", "cannot change roleRef")]


_SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_HIGHEST_PRIORITY = 1_000_000_000


def priority_class(obj: Object) -> Errors:
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    errors: Errors = []
    if name.startswith("system-"):
        if _SYSTEM_CLASSES.get(name) != value:
            problem = f"{name} is not a known system priority class"
            if name in _SYSTEM_CLASSES:
                problem = f"value of {name} PriorityClass must be {_SYSTEM_CLASSES[name]}"
            detail = "priority class names with 'system-' prefix are reserved for system use only."
            errors.append(FieldError.forbidden("metadata.name", f"{detail} error: {problem}"))
    elif value > _HIGHEST_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}"
        errors.append(FieldError.forbidden("value", detail))
    policies = ("PreemptLowerPriority", "Never")
    return errors + choice("preemptionPolicy", obj.get("preemptionPolicy"), policies)


def priority_class_update(new: Object, old: Object) -> Errors:
    errors: Errors = []
    if new.get("value") != old.get("value"):
        errors.append(FieldError.forbidden("value", "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(
            FieldError.invalid("preemptionPolicy", new.get("preemptionPolicy") or "", "field is immutable")
        )
    return errors


def disruption_budget(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        return [invalid_as("spec", "policy.PodDisruptionBudgetSpec{...}", detail)]
    errors: Errors = []
    for key in ("minAvailable", "maxUnavailable"):
        errors += percent_or_number(f"spec.{key}", spec.get(key))
    errors += selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        errors += choice("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))
    return errors


_METRIC_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}


def autoscaler(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: Errors = []
    if least is not None and least < 1 and least != 0:
        errors.append(FieldError.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    elif least == 0:
        errors.append(FieldError.invalid("spec.minReplicas", 0, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(FieldError.invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        detail = "must be greater than or equal to `minReplicas`"
        errors.append(FieldError.invalid("spec.maxReplicas", most, detail))
    target = spec.get("scaleTargetRef") or {}
    for key in ("kind", "name"):
        value = target.get(key) or ""
        field = f"spec.scaleTargetRef.{key}"
        errors += problems(field, value, path_segment_problems) if value else [FieldError.required(field)]
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        errors += _metric(f"spec.metrics[{index}]", metric)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(FieldError.forbidden("spec.metrics", detail))
    return errors + _behavior(spec.get("behavior") or {})


def _metric(path: str, metric: Node) -> Errors:
    kind = metric.get("type") or ""
    if not kind:
        return [FieldError.required(f"{path}.type", "must specify a metric source type")]
    if kind not in _METRIC_SOURCES:
        return choice(f"{path}.type", kind, sorted(_METRIC_SOURCES))
    key = _METRIC_SOURCES[kind]
    source = metric.get(key)
    if source is None:
        return [FieldError.required(f"{path}.{key}", "must populate information for the given metric source")]
    errors: Errors = []
    if kind in ("Resource", "ContainerResource"):
        errors += required(f"{path}.{key}.name", source.get("name"), "must specify a resource name")
    else:
        errors += required(f"{path}.{key}.metric.name", (source.get("metric") or {}).get("name"))
    return errors + _target(f"{path}.{key}.target", source.get("target") or {})


def _target(path: str, target: Node) -> Errors:
    kind = target.get("type") or ""
    if not kind:
        return [FieldError.required(f"{path}.type", "must specify a metric target type")]
    errors = choice(f"{path}.type", kind, ("Utilization", "Value", "AverageValue"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        errors.append(FieldError.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return errors


def _behavior(behavior: Node) -> Errors:
    errors: Errors = []
    for key in ("scaleUp", "scaleDown"):
        rules = behavior.get(key)
        if rules is None:
            continue
        path = f"spec.behavior.{key}"
        window = rules.get("stabilizationWindowSeconds")
        errors += non_negative(f"{path}.stabilizationWindowSeconds", window)
        if window is not None and window > 3600:
            detail = "must be less than or equal to 3600"
            errors.append(FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
        if rules.get("selectPolicy") is not None:
            errors += choice(f"{path}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
        errors += required(f"{path}.policies", rules.get("policies"), "must specify at least one Policy")
        for index, policy in enumerate(rules.get("policies") or ()):
            errors += _scaling_policy(f"{path}.policies[{index}]", policy)
    return errors


def _scaling_policy(path: str, policy: Node) -> Errors:
    errors = choice(f"{path}.type", policy.get("type"), ("Percent", "Pods"))
    for key, most in (("value", None), ("periodSeconds", 1800)):
        number = policy.get(key) or 0
        if number <= 0:
            errors.append(FieldError.invalid(f"{path}.{key}", number, "must be greater than zero"))
        elif most is not None and number > most:
            errors.append(
                FieldError.invalid(f"{path}.{key}", number, f"must be less than or equal to {most}")
            )
    return errors


def lease(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    errors: Errors = []
    if seconds is not None and seconds <= 0:
        errors.append(FieldError.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return errors + non_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def runtime_class(obj: Object) -> Errors:
    from container_kit.cluster.meta.names import dns1123_label_problems

    return problems("handler", obj.get("handler") or "", dns1123_label_problems)


def runtime_class_update(new: Object, old: Object) -> Errors:
    if new.get("handler") == old.get("handler"):
        return []
    return [FieldError.invalid("handler", new.get("handler") or "", "field is immutable")]


def signing_request(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = _pem(spec.get("request") or "")
    usages = spec.get("usages") or ()
    errors += required("spec.usages", usages)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            errors.append(FieldError.duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    if not signer:
        return [*errors, FieldError.required("spec.signerName")]
    domain, slash, path = signer.partition("/")
    if not slash or not path or "." not in domain or dns1123_subdomain_problems(domain):
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(FieldError.invalid("spec.signerName", signer, detail))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(FieldError.invalid("spec.expirationSeconds", seconds, detail))
    return errors


def _pem(encoded: str) -> Errors:
    """Whether the request of a certificate is one in PEM."""
    try:
        data = base64.b64decode(encoded)
    except (ValueError, binascii.Error):
        data = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" in data or b"-----BEGIN NEW CERTIFICATE REQUEST-----" in data:
        return []
    shown = "[]byte{" + ", ".join(f"0x{byte:x}" for byte in data[:64]) + "}"
    return [invalid_as("spec.request", shown, "PEM block type must be CERTIFICATE REQUEST")]


_OPERATIONS = ("*", "CREATE", "UPDATE", "DELETE", "CONNECT")


def webhooks(obj: Object) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        errors += _webhook(f"webhooks[{index}]", hook)
        if hook.get("name") in seen:
            errors.append(FieldError.duplicate(f"webhooks[{index}].name", hook["name"]))
        seen.add(hook.get("name") or "")
    return errors


def _webhook(path: str, hook: Node) -> Errors:
    name = hook.get("name") or ""
    errors = problems(f"{path}.name", name, dns1123_subdomain_problems)
    if not errors and name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        errors.append(FieldError.invalid(f"{path}.name", name, detail))
    errors += _match_rules(f"{path}.rules", hook.get("rules") or ())
    for key, known in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        errors += choice(f"{path}.{key}", hook.get(key), known)
    effects = hook.get("sideEffects")
    known = ("None", "NoneOnDryRun")
    if effects is None:
        errors.append(FieldError.required(f"{path}.sideEffects", f"must specify one of {', '.join(known)}"))
    else:
        errors += choice(f"{path}.sideEffects", effects, known)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        errors.append(FieldError.invalid(f"{path}.timeoutSeconds", seconds, detail))
    for key in ("namespaceSelector", "objectSelector"):
        errors += selector(f"{path}.{key}", hook.get(key))
    errors += _client_config(f"{path}.clientConfig", hook.get("clientConfig") or {})
    return errors + _review_versions(
        f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or ()
    )


def _review_versions(field: str, versions: Any) -> Errors:
    if not versions:
        return [FieldError.required(field, "must specify one of v1, v1beta1")]
    if not {"v1", "v1beta1"} & set(versions):
        return [invalid_as(field, go_list(list(versions)), "must include at least one of v1, v1beta1")]
    return []


def _client_config(path: str, config: Node) -> Errors:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [FieldError.required(path, "exactly one of url or service is required")]
    if url is not None and not url.startswith("https://"):
        scheme = url.partition("://")[0] if "://" in url else ""
        detail = (
            f"'https' is the only allowed URL scheme; desired format: https://host[/path], got \"{scheme}\""
        )
        return [FieldError.invalid(f"{path}.url", url, detail)] if scheme != "https" else []
    return required_fields(f"{path}.service", service, "name", "namespace") if service is not None else []


def _match_rules(field: str, rules: Any) -> Errors:
    errors: Errors = []
    for index, rule in enumerate(rules):
        path = f"{field}[{index}]"
        errors += required_fields(path, rule, "apiGroups", "apiVersions", "resources")
        operations = rule.get("operations") or ()
        errors += required(f"{path}.operations", operations)
        for at, operation in enumerate(operations):
            errors += choice(f"{path}.operations[{at}]", operation, sorted(_OPERATIONS))
        if rule.get("scope") is not None:
            errors += choice(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced"))
    return errors


def admission_policy(obj: Object) -> Errors:
    from container_kit.cluster.kinds.validation.expressions import expression_problem

    spec = obj.get("spec") or {}
    errors = choice("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(FieldError.required("spec.matchConstraints"))
    else:
        rules = constraints.get("resourceRules") or ()
        errors += required("spec.matchConstraints.resourceRules", rules)
        errors += _match_rules("spec.matchConstraints.resourceRules", rules)
    validations = spec.get("validations") or ()
    if not validations and not spec.get("auditAnnotations"):
        detail = "validations or auditAnnotations must contain at least one item"
        errors.append(FieldError.required("spec.validations", detail))
    for index, each in enumerate(validations):
        path, text = f"spec.validations[{index}]", each.get("expression") or ""
        problem = expression_problem(text) if text.strip() else None
        if not text.strip():
            errors.append(FieldError.required(f"{path}.expression", "expression is not specified"))
        elif problem:
            errors.append(FieldError.invalid(f"{path}.expression", text, problem))
        reasons = ("Forbidden", "Invalid", "RequestEntityTooLarge")
        if each.get("reason") is not None:
            errors += choice(f"{path}.reason", each["reason"], reasons)
    return errors


def admission_binding(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = required("spec.policyName", spec.get("policyName"))
    actions = spec.get("validationActions") or ()
    errors += required("spec.validationActions", actions)
    for index, action in enumerate(actions):
        errors += choice(f"spec.validationActions[{index}]", action, ("Audit", "Deny", "Warn"))
    if {"Deny", "Warn"} <= set(actions):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the "
            "API response and headers serves no purpose)"
        )
        errors.append(
            invalid_as("spec.validationActions", "[]admissionregistration.ValidationAction{...}", detail)
        )
    return errors


def flow_schema(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    errors: Errors = []
    if precedence <= 0:
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > 10000:
        detail = "must not be greater than 10000"
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, detail))
    name = (spec.get("priorityLevelConfiguration") or {}).get("name")
    return errors + required("spec.priorityLevelConfiguration.name", name, "must reference a priority level")


def priority_level(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    kind, limited = spec.get("type") or "", spec.get("limited")
    errors = choice("spec.type", kind, ("Exempt", "Limited"))
    if kind == "Limited" and limited is None:
        return [*errors, FieldError.required("spec.limited", "must not be empty when type is Limited")]
    response = (limited or {}).get("limitResponse") or {}
    if limited is not None and response.get("type") == "Queue" and response.get("queuing") is None:
        detail = "must not be empty if limited.limitResponse.type is Limited"
        errors.append(FieldError.required("spec.limited.limitResponse.queuing", detail))
    if limited is not None and response.get("type") == "Reject" and response.get("queuing") is not None:
        detail = "must be nil if limited.limitResponse.type is not Limited"
        errors.append(FieldError.forbidden("spec.limited.limitResponse.queuing", detail))
    return errors


def api_service(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    name, wanted = obj["metadata"].get("name") or "", f"{spec.get('version') or ''}.{spec.get('group') or ''}"
    errors: Errors = []
    if name != wanted:
        detail = 'must be `spec.version+"."+spec.group`'
        errors.append(FieldError.invalid("metadata.name", name, f"{detail}: {go_quoted(wanted)}"))
    for key, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        number = spec.get(key) or 0
        if not 0 < number <= most:
            detail = f"must be positive and less than {most}"
            errors.append(FieldError.invalid(f"spec.{key}", number, detail))
    if spec.get("service") is None:
        if spec.get("caBundle"):
            detail = "local APIServices may not have a caBundle"
            errors.append(FieldError.invalid("spec.caBundle", f"{len(spec['caBundle'])} bytes", detail))
        return errors
    return errors + required_fields("spec.service", spec["service"], "namespace", "name")


CHECKS = {
    ("apiregistration.k8s.io", "APIService"): api_service,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
    ("certificates.k8s.io", "CertificateSigningRequest"): signing_request,
    ("coordination.k8s.io", "Lease"): lease,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): priority_level,
    ("node.k8s.io", "RuntimeClass"): runtime_class,
    ("policy", "PodDisruptionBudget"): disruption_budget,
    ("scheduling.k8s.io", "PriorityClass"): priority_class,
    (ADMISSION, "MutatingWebhookConfiguration"): webhooks,
    (ADMISSION, "ValidatingAdmissionPolicy"): admission_policy,
    (ADMISSION, "ValidatingAdmissionPolicyBinding"): admission_binding,
    (ADMISSION, "ValidatingWebhookConfiguration"): webhooks,
    (RBAC, "ClusterRole"): cluster_role,
    (RBAC, "ClusterRoleBinding"): cluster_role_binding,
    (RBAC, "Role"): role,
    (RBAC, "RoleBinding"): role_binding,
}
UPDATES = {
    ("node.k8s.io", "RuntimeClass"): runtime_class_update,
    ("scheduling.k8s.io", "PriorityClass"): priority_class_update,
    (RBAC, "ClusterRoleBinding"): binding_update,
    (RBAC, "RoleBinding"): binding_update,
}
