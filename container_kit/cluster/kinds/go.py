"""Values as Go prints them inside messages (``%#v``): maps, lists, selectors.

A real server names the offending value of some fields in Go's own notation. Structs with pointers show
addresses in its memory; ours shows always the same one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.status import go_quoted

__all__ = [
    "go_budget",
    "go_int_or_string",
    "go_list",
    "go_map",
    "go_owners",
    "go_pointer",
    "go_quantity",
    "go_resources",
    "go_security_context",
    "go_selector",
    "go_strategy",
    "go_toleration",
    "go_typed_list",
    "invalid_as",
    "unsupported_as",
]


def invalid_as(field: str, shown: str, detail: str) -> FieldError:
    """An invalid field whose value is already in Go's notation."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def unsupported_as(field: str, shown: str, supported: Sequence[str]) -> FieldError:
    """An unsupported value that is already in Go's notation."""
    listed = ", ".join(map(go_quoted, supported))
    message = f"Unsupported value: {shown}: supported values: {listed}"
    return FieldError(field, "FieldValueNotSupported", message)


def go_map(texts: Mapping[str, str] | None) -> str:
    """``map[string]string{"a":"b"}``, keys in order; nothing is ``(nil)``, an empty one ``{}``."""
    if texts is None:
        return "map[string]string(nil)"
    items = ", ".join(f"{go_quoted(key)}:{go_quoted(texts[key])}" for key in sorted(texts))
    return f"map[string]string{{{items}}}"


def go_list(texts: Sequence[str] | None) -> str:
    """``[]string{"a", "b"}``; nothing is ``[]string(nil)``."""
    return go_typed_list("string", texts)


def go_typed_list(kind: str, texts: Sequence[str] | None) -> str:
    """A list of texts that have a type of their own, such as ``core.ResourceQuotaScope``."""
    if texts is None:
        return f"[]{kind}(nil)"
    return f"[]{kind}{{{', '.join(map(go_quoted, texts))}}}"


def go_selector(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector with its labels and expressions."""
    selector = selector or {}
    expressions = selector.get("matchExpressions")
    shown = "[]v1.LabelSelectorRequirement(nil)"
    if expressions:
        shown = f"[]v1.LabelSelectorRequirement{{{', '.join(map(_requirement, expressions))}}}"
    labels = go_map(selector.get("matchLabels"))
    return f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{shown}}}"


def _requirement(requirement: Mapping[str, Any]) -> str:
    key, operator = go_quoted(requirement.get("key", "")), go_quoted(requirement.get("operator", ""))
    values = go_list(requirement.get("values"))
    return f"v1.LabelSelectorRequirement{{Key:{key}, Operator:{operator}, Values:{values}}}"


def go_int_or_string(value: int | str) -> str:
    """An IntOrString with all of its fields."""
    if isinstance(value, int):
        return f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}'
    return f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{go_quoted(value)}}}"


def go_quantity(value: str | int) -> str:
    """A quantity with all of its fields."""
    text, amount = str(value), quantity(value)
    form = "BinarySI" if text.endswith("i") else "DecimalSI"
    scale = -3 if amount.denominator != 1 else 0
    number = amount * 1000 if scale else amount
    inner = f"resource.int64Amount{{value:{number}, scale:{scale}}}"
    dec = "resource.infDecAmount{Dec:(*inf.Dec)(nil)}"
    return f"resource.Quantity{{i:{inner}, d:{dec}, s:{go_quoted(text)}, Format:{go_quoted(form)}}}"


def go_resources(amounts: Mapping[str, Any]) -> str:
    """A ResourceList, by name."""
    if not amounts:
        return "core.ResourceList(nil)"
    items = ", ".join(f"{go_quoted(name)}:{go_quantity(amounts[name])}" for name in sorted(amounts))
    return f"core.ResourceList{{{items}}}"


_ADDRESS = "0xc000000000"


def go_pointer(type_name: str, value: Any) -> str:
    """A pointer, of which only can be seen whether it is nil."""
    return f"(*{type_name})({'nil' if value is None else _ADDRESS})"


def go_strategy(name: str, parameters: str, strategy: Mapping[str, Any]) -> str:
    """How a workload is updated: a type, and what a rolling update may do."""
    shown = go_pointer(f"apps.{parameters}", strategy.get("rollingUpdate"))
    return f"apps.{name}{{Type:{go_quoted(strategy.get('type') or '')}, RollingUpdate:{shown}}}"


def go_toleration(toleration: Mapping[str, Any]) -> str:
    """A toleration with all of its fields."""
    words = (("Key", "key"), ("Operator", "operator"), ("Value", "value"), ("Effect", "effect"))
    texts = [f"{word}:{go_quoted(toleration.get(key) or '')}" for word, key in words]
    seconds = go_pointer("int64", toleration.get("tolerationSeconds"))
    return f"core.Toleration{{{', '.join(texts)}, TolerationSeconds:{seconds}}}"


def go_owners(references: Sequence[Mapping[str, Any]]) -> str:
    """A list of OwnerReferences."""
    return f"[]v1.OwnerReference{{{', '.join(map(_owner, references))}}}"


def _owner(reference: Mapping[str, Any]) -> str:
    words = (("APIVersion", "apiVersion"), ("Kind", "kind"), ("Name", "name"), ("UID", "uid"))
    texts = [f"{word}:{go_quoted(reference.get(key) or '')}" for word, key in words]
    flags = (("Controller", "controller"), ("BlockOwnerDeletion", "blockOwnerDeletion"))
    texts += [f"{word}:{go_pointer('bool', reference.get(key))}" for word, key in flags]
    return f"v1.OwnerReference{{{', '.join(texts)}}}"


# The fields of structs that are printed, with the types that they point to, in their order.
_SECURITY_CONTEXT = {
    "Capabilities": "core.Capabilities",
    "Privileged": "bool",
    "SELinuxOptions": "core.SELinuxOptions",
    "WindowsOptions": "core.WindowsSecurityContextOptions",
    "RunAsUser": "int64",
    "RunAsGroup": "int64",
    "RunAsNonRoot": "bool",
    "ReadOnlyRootFilesystem": "bool",
    "AllowPrivilegeEscalation": "bool",
    "ProcMount": "core.ProcMountType",
    "SeccompProfile": "core.SeccompProfile",
    "AppArmorProfile": "core.AppArmorProfile",
}
_BUDGET = {
    "MinAvailable": "intstr.IntOrString",
    "Selector": "v1.LabelSelector",
    "MaxUnavailable": "intstr.IntOrString",
    "UnhealthyPodEvictionPolicy": "policy.UnhealthyPodEvictionPolicyType",
}


def _pointers(name: str, fields: Mapping[str, str], node: Mapping[str, Any]) -> str:
    """A struct of nothing but pointers."""
    known = {key.lower(): value for key, value in node.items()}
    parts = [f"{field}:{go_pointer(kind, known.get(field.lower()))}" for field, kind in fields.items()]
    return f"{name}{{{', '.join(parts)}}}"


def go_security_context(context: Mapping[str, Any]) -> str:
    """The SecurityContext of a container."""
    return _pointers("core.SecurityContext", _SECURITY_CONTEXT, context)


def go_budget(spec: Mapping[str, Any]) -> str:
    """The spec of a PodDisruptionBudget."""
    return _pointers("policy.PodDisruptionBudgetSpec", _BUDGET, spec)
