"""Checks of what extends a cluster: webhooks, policies, other API servers.

Source: Kubernetes API reference, admissionregistration.k8s.io/v1, apiregistration.k8s.io/v1.
"""

from typing import Any
from urllib.parse import urlsplit

from container_kit.cluster.kinds.go import go_list, go_typed_list, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    duplicate,
    port_number,
    problems,
    required,
    required_fields,
    selector,
)
from container_kit.cluster.kinds.validation.expressions import expression_problem
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1035_label_problems,
    dns1123_subdomain_problems,
    path_segment_problems,
    qualified_name_problems,
)
from container_kit.cluster.meta.status import go_quoted

__all__ = ["CHECKS"]

Node = dict[str, Any]
ADMISSION = "admissionregistration.k8s.io"
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_MAX_CONDITIONS = 64


def webhooks(obj: Object) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        errors += _webhook(path, hook)
        errors += _review_versions(
            f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or ()
        )
        errors += duplicate(f"{path}.name", hook["name"], seen) if hook.get("name") else []
    return errors


def _webhook(path: str, hook: Node) -> Errors:
    errors = _full_name(f"{path}.name", hook.get("name") or "")
    for index, rule in enumerate(hook.get("rules") or ()):
        errors += _match_rule(f"{path}.rules[{index}]", rule)
    for key, known in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        errors += choice(f"{path}.{key}", hook.get(key), known)
    effects, known = hook.get("sideEffects"), ("None", "NoneOnDryRun")
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
    if hook.get("reinvocationPolicy") is not None:
        errors += choice(f"{path}.reinvocationPolicy", hook["reinvocationPolicy"], ("IfNeeded", "Never"))
    errors += _client_config(f"{path}.clientConfig", hook.get("clientConfig") or {})
    return errors + _match_conditions(f"{path}.matchConditions", hook.get("matchConditions") or ())


def _full_name(field: str, name: str) -> Errors:
    if not name:
        return [FieldError.required(field)]
    if wrong := dns1123_subdomain_problems(name):
        return [FieldError.invalid(field, name, ",".join(wrong))]
    if name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        return [FieldError.invalid(field, name, detail)]
    return []


def _review_versions(field: str, versions: Any) -> Errors:
    if not versions:
        return [FieldError.required(field, "must specify one of v1, v1beta1")]
    errors: Errors = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(FieldError.invalid(f"{field}[{index}]", version, "duplicate version"))
        else:
            errors += problems(f"{field}[{index}]", version, dns1035_label_problems)
    if not {"v1", "v1beta1"} & set(versions):
        detail = "must include at least one of v1, v1beta1"
        errors.append(invalid_as(field, go_list(list(versions)), detail))
    return errors


def _client_config(path: str, config: Node) -> Errors:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [FieldError.required(path, "exactly one of url or service is required")]
    if url is not None:
        return _url(f"{path}.url", url)
    return _service(f"{path}.service", service or {})


_FORM = "; desired format: https://host[/path]"


def _url(field: str, url: str) -> Errors:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [FieldError.required(field, f"url must be a valid URL: {error}{_FORM}")]
    errors: Errors = []
    if parts.scheme != "https":
        detail = f"'https' is the only allowed URL scheme{_FORM}"
        errors.append(FieldError.invalid(field, parts.scheme, detail))
    user, _, host = parts.netloc.rpartition("@")
    if not host:
        errors.append(FieldError.invalid(field, "", f"host must be specified{_FORM}"))
    words = ("user information is", "fragments are", "query parameters are")
    for value, what in zip((user, parts.fragment, parts.query), words, strict=True):
        if value:
            errors.append(FieldError.invalid(field, value, f"{what} not permitted in the URL"))
    return errors


def _service(path: str, service: Node) -> Errors:
    errors: Errors = []
    for key in ("name", "namespace"):
        errors += required(f"{path}.{key}", service.get(key), f"service {key} is required")
    port = service.get("port", 443)
    for wrong in port_number(f"{path}.port", port):
        detail = wrong.message.partition(": ")[2].partition(": ")[2]
        errors.append(FieldError.invalid(f"{path}.port", port, f"port is not valid: {detail}"))
    return errors + _url_path(f"{path}.path", service.get("path") or "/")


def _url_path(field: str, path: str) -> Errors:
    if path == "/":
        return []
    if path == "//":
        return [FieldError.invalid(field, path, "segment[0] may not be empty")]
    errors = [] if path.startswith("/") else [FieldError.invalid(field, path, "must start with a '/'")]
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        found = dns1123_subdomain_problems(step) if step else ["may not be empty"]
        sign = ":" if step else ""
        errors += [FieldError.invalid(field, path, f"segment[{index}]{sign} {problem}") for problem in found]
    return errors


def _match_rule(path: str, rule: Node, *, named: bool = False) -> Errors:
    """Which requests a webhook or policy is for."""
    operations, groups, versions = (
        list(rule.get(key) or ()) for key in ("operations", "apiGroups", "apiVersions")
    )
    errors = _names(f"{path}.resourceNames", rule.get("resourceNames") or ()) if named else []
    errors += required(f"{path}.operations", operations)
    errors += _alone(f"{path}.operations", operations, "operations", "admissionregistration.OperationType")
    for at, operation in enumerate(operations):
        errors += choice(f"{path}.operations[{at}]", operation, _OPERATIONS)
    errors += required(f"{path}.apiGroups", groups) + _alone(f"{path}.apiGroups", groups, "API groups")
    errors += required(f"{path}.apiVersions", versions)
    errors += _alone(f"{path}.apiVersions", versions, "API versions")
    for at, version in enumerate(versions):
        errors += required(f"{path}.apiVersions[{at}]", version)
    errors += _resources(f"{path}.resources", list(rule.get("resources") or ()))
    if rule.get("scope") is not None:
        errors += choice(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced"))
    return errors


def _names(field: str, names: Any) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, name in enumerate(names):
        errors += problems(f"{field}[{index}]", name, path_segment_problems)
        errors += duplicate(f"{field}[{index}]", name, seen)
    return errors


def _alone(field: str, values: list[str], what: str, kind: str = "string") -> Errors:
    """Who says all needs not name any."""
    if "*" not in values or len(values) < 2:
        return []
    detail = f"if '*' is present, must not specify other {what}"
    return [invalid_as(field, go_typed_list(kind, values), detail)]


def _resources(field: str, resources: list[str]) -> Errors:
    errors = required(field, resources)
    for index, resource in enumerate(resources):
        name, slash, part = resource.partition("/")
        if not resource:
            errors.append(FieldError.required(f"{field}[{index}]"))
        for wider in (f"{name}/*", f"*/{part}"):
            if slash and wider in resources[:index]:
                detail = f"if '{wider}' is present, must not specify {resource}"
                errors.append(FieldError.invalid(f"{field}[{index}]", resource, detail))
    if "*/*" in resources and len(resources) > 1:
        detail = "if '*/*' is present, must not specify other resources"
        errors.append(invalid_as(field, go_list(resources), detail))
    if "*" in resources and any("/" not in each and each != "*" for each in resources):
        detail = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid_as(field, go_list(resources), detail))
    return errors


def _match_conditions(field: str, conditions: Any) -> Errors:
    """What must hold of a request before a webhook or policy looks at it."""
    errors: Errors = []
    if len(conditions) > _MAX_CONDITIONS:
        errors.append(FieldError.too_many(field, len(conditions), _MAX_CONDITIONS))
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        path, name = f"{field}[{index}]", each.get("name") or ""
        errors += _expression(f"{path}.expression", (each.get("expression") or "").strip(), "")
        errors += (
            problems(f"{path}.name", name, qualified_name_problems)
            if name
            else required(f"{path}.name", name)
        )
        errors += duplicate(f"{path}.name", name, seen) if name else []
    return errors


def _expression(field: str, text: str, missing: str = "expression is not specified") -> Errors:
    if not text.strip():
        return [FieldError.required(field, missing)]
    problem = expression_problem(text)
    return [FieldError.invalid(field, text, problem)] if problem else []


def _match_resources(path: str, constraints: Node) -> Errors:
    errors: Errors = []
    if constraints.get("matchPolicy") is not None:
        errors += choice(f"{path}.matchPolicy", constraints["matchPolicy"], ("Equivalent", "Exact"))
    for key in ("namespaceSelector", "objectSelector"):
        errors += selector(f"{path}.{key}", constraints.get(key))
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(constraints.get(key) or ()):
            errors += _match_rule(f"{path}.{key}[{index}]", rule, named=True)
    return errors


def admission_policy(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = choice("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        errors += _param_kind("spec.paramKind", spec["paramKind"])
    constraints, path = spec.get("matchConstraints"), "spec.matchConstraints"
    if constraints is None:
        errors.append(FieldError.required(path))
    else:
        errors += _match_resources(path, constraints)
        errors += required(f"{path}.resourceRules", constraints.get("resourceRules"))
    errors += _match_conditions("spec.matchConditions", spec.get("matchConditions") or ())
    for index, variable in enumerate(spec.get("variables") or ()):
        errors += _variable(f"spec.variables[{index}]", variable)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        detail = "validations or auditAnnotations must contain at least one item"
        fields = ("spec.validations", "spec.auditAnnotations")
        return errors + [FieldError.required(field, detail) for field in fields]
    for index, each in enumerate(validations):
        errors += _validation(f"spec.validations[{index}]", each)
    return errors + _audit_annotations("spec.auditAnnotations", obj, annotations)


def _param_kind(path: str, node: Node) -> Errors:
    version, kind, field = node.get("apiVersion") or "", node.get("kind") or "", f"{path}.apiVersion"
    group, slash, name = version.rpartition("/")
    errors: Errors = []
    if not version:
        errors.append(FieldError.required(field))
    elif "/" in group:
        errors.append(FieldError.invalid(field, version, f"unexpected GroupVersion string: {version}"))
    else:
        if slash and (wrong := dns1123_subdomain_problems(group)):
            errors.append(FieldError.invalid(field, group, ",".join(wrong)))
        if wrong := dns1035_label_problems(name):
            errors.append(FieldError.invalid(field, name, ",".join(wrong)))
    if not kind:
        errors.append(FieldError.required(f"{path}.kind"))
    elif wrong := dns1035_label_problems(kind.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        errors.append(FieldError.invalid(f"{path}.kind", kind, detail))
    return errors


def _variable(path: str, variable: Node) -> Errors:
    name, text = variable.get("name") or "", variable.get("expression") or ""
    errors: Errors = []
    if not name.strip():
        errors.append(FieldError.required(f"{path}.name", "name is not specified"))
    elif not name.isidentifier() or not name.isascii():
        errors.append(FieldError.invalid(f"{path}.name", name, "name is not a valid CEL identifier"))
    if not text.strip():
        errors.append(FieldError.required(f"{path}.expression", "expression is not specified"))
    elif problem := expression_problem(text, truth=False):
        errors.append(FieldError.invalid(f"{path}.expression", text, problem))
    return errors


def _validation(path: str, node: Node) -> Errors:
    errors = _expression(f"{path}.expression", node.get("expression") or "")
    told, message = node.get("messageExpression") or "", node.get("message") or ""
    if told and not told.strip():
        detail = "must be non-empty if specified"
        errors.append(FieldError.invalid(f"{path}.messageExpression", told, detail))
    elif told and (problem := expression_problem(told, truth=False)):
        errors.append(FieldError.invalid(f"{path}.messageExpression", told, problem))
    if message and not message.strip():
        detail = "message must be non-empty if specified"
        errors.append(FieldError.invalid(f"{path}.message", message, detail))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(FieldError.invalid(f"{path}.message", message, "message must not contain line breaks"))
    if node.get("reason") is not None:
        reasons = ("Forbidden", "Invalid", "RequestEntityTooLarge")
        errors += choice(f"{path}.reason", node["reason"], reasons)
    return errors


def _audit_annotations(field: str, obj: Object, annotations: Any) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, each in enumerate(annotations):
        path, key = f"{field}[{index}]", each.get("key") or ""
        name = obj["metadata"].get("name")
        errors += problems(f"{path}.key", f"{name}/{key}" if name else key, qualified_name_problems)
        text = each.get("valueExpression") or ""
        if not text.strip():
            errors.append(FieldError.required(f"{path}.valueExpression", "valueExpression is not specified"))
        elif problem := expression_problem(text, truth=False):
            errors.append(FieldError.invalid(f"{path}.valueExpression", text, problem))
        errors += duplicate(f"{path}.key", key, seen)
    return errors


def admission_binding(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    name, actions = spec.get("policyName") or "", list(spec.get("validationActions") or ())
    wrong = problems("spec.policyName", name, dns1123_subdomain_problems)
    errors = wrong if name else [FieldError.required("spec.policyName")]
    if spec.get("paramRef") is not None:
        errors += _param_reference("spec.paramRef", spec["paramRef"])
    if spec.get("matchResources") is not None:
        errors += _match_resources("spec.matchResources", spec["matchResources"])
    field = "spec.validationActions"
    seen: set[str] = set()
    for index, action in enumerate(actions):
        errors += choice(f"{field}[{index}]", action, ("Audit", "Deny", "Warn"))
        errors += duplicate(f"{field}[{index}]", action, seen)
    if {"Deny", "Warn"} <= set(actions):
        shown = go_typed_list("admissionregistration.ValidationAction", actions)
        errors.append(invalid_as(field, shown, _TWICE))
    return errors + required(field, actions, "at least one validation action is required")


_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the "
    "API response and headers serves no purpose)"
)


def _param_reference(path: str, reference: Node) -> Errors:
    name, chosen = reference.get("name") or "", reference.get("selector")
    errors: Errors = []
    if name:
        errors += problems(f"{path}.name", name, path_segment_problems)
        if chosen is not None:
            detail = "name and selector are mutually exclusive"
            errors.append(FieldError.forbidden(f"{path}.name", detail))
    if chosen is not None:
        errors += selector(f"{path}.selector", chosen)
    elif not name:
        errors.append(FieldError.required(path, "one of name or selector must be specified"))
    missing = reference.get("parameterNotFoundAction")
    if missing is None:
        errors.append(FieldError.required(f"{path}.parameterNotFoundAction"))
    else:
        errors += choice(f"{path}.parameterNotFoundAction", missing, ("Allow", "Deny"))
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
