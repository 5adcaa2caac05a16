"""componentstatuses: a deprecated way to ask whether the control plane is well.

Source: core/v1 ComponentStatus.
"""

from __future__ import annotations

from collections.abc import Callable

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.encoding import object_response, partial, partial_list
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.tables import included_part, table
from container_kit.cluster.meta.objects import Object

__all__ = ["COMPONENTS"]

_DEPRECATED = "v1 ComponentStatus is deprecated in v1.19+"
_NAMES = ("controller-manager", "scheduler", "etcd-0")


def _component(name: str) -> Object:
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    return {"metadata": {"name": name, "creationTimestamp": None}, "conditions": [condition]}


def get_component(call: Call) -> Response:
    """One part of the control plane; all live in this process, so whoever can answer is well."""
    call.warn(_DEPRECATED)
    if call.route.name not in _NAMES:
        raise call.not_found()
    head = {"kind": "ComponentStatus", "apiVersion": "v1"}
    return _respond(call, [head | _component(call.route.name)], is_list=False)


def list_components(call: Call) -> Response:
    """All parts of the control plane."""
    call.warn(_DEPRECATED)
    return _respond(call, [_component(name) for name in _NAMES], is_list=True)


def _respond(call: Call, items: list[Object], *, is_list: bool) -> Response:
    form = call.form
    if form.view == "table":
        part = included_part(call.request)
        document = table(call.resource, items, {}, now=call.core.clock.stamp(), part=part)
    elif not is_list:
        document = partial(items[0]) if form.view == "partial" else items[0]
    elif form.view == "partial":
        document = partial_list(items, {})
    else:
        document = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items}
    return object_response(document, form, 200, call.warnings)


COMPONENTS: dict[str, dict[str, Callable[[Call], Response]]] = {
    "componentstatuses": {"get": get_component, "list": list_components}
}
