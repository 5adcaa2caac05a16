"""Checks of what extends a cluster: webhooks, policies, other API servers.

Source: Kubernetes API reference, admissionregistration.k8s.io/v1, apiregistration.k8s.io/v1.
"""

from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    problems,
    required,
    required_fields,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_subdomain_problems,
)
from container_kit.cluster.meta.status import go_quoted

__all__ = ["CHECKS"]

Node = dict[str, Any]
RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
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
    (ADMISSION, "MutatingWebhookConfiguration"): webhooks,
    (ADMISSION, "ValidatingAdmissionPolicy"): admission_policy,
    (ADMISSION, "ValidatingAdmissionPolicyBinding"): admission_binding,
    (ADMISSION, "ValidatingWebhookConfiguration"): webhooks,
}
