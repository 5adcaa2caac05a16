"""Rows of the core group, of networking and of events."""

from typing import Any

from container_kit.cluster.kinds.tables.cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Row,
    age,
    label_selector,
    labels,
    since,
    spec_of,
    status_of,
)
from container_kit.cluster.meta import Object, condition_of, name_of

__all__ = ["ROWS"]

_ROLE = "node-role.kubernetes.io/"
_MAX_HOSTS = 3


def config_map(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def secret(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def service_account(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or ()), age(obj, now)]


def namespace(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), status_of(obj).get("phase", ""), age(obj, now)]


def component_status(obj: Object, now: str) -> list[Any]:
    healthy: dict[str, Any] = next(
        (each for each in obj.get("conditions") or () if each.get("type") == "Healthy"), {}
    )
    state = {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")
    return [name_of(obj), state, healthy.get("message", ""), healthy.get("error", "")]


def resource_quota(obj: Object, now: str) -> list[Any]:
    hard, used = status_of(obj).get("hard") or {}, status_of(obj).get("used") or {}
    cells: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted(hard):
        cells[name.startswith("limits.")].append(f"{name}: {used.get(name, 0)}/{hard[name]}")
    return [name_of(obj), ", ".join(cells[False]), ", ".join(cells[True]), age(obj, now)]


def node(obj: Object, now: str) -> list[Any]:
    info = status_of(obj).get("nodeInfo") or {}
    addresses = {
        each.get("type"): each.get("address") for each in reversed(status_of(obj).get("addresses") or ())
    }
    return [
        name_of(obj),
        _node_state(obj),
        ",".join(sorted(_node_roles(obj))) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_state(obj: Object) -> str:
    ready = condition_of(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec_of(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Object) -> set[str]:
    pairs = (obj["metadata"].get("labels") or {}).items()
    named = {key.removeprefix(_ROLE) for key, _ in pairs if key.startswith(_ROLE)}
    return {role for role in named | {value for key, value in pairs if key == "kubernetes.io/role"} if role}


def service(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    addresses = spec.get("clusterIPs") or ()
    return [
        name_of(obj),
        spec.get("type", ""),
        addresses[0] if addresses else NONE,
        _external_address(obj),
        _service_ports(spec),
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _external_address(obj: Object) -> str:
    """Where a service is reached from outside, by its type."""
    spec = spec_of(obj)
    extra = ",".join(spec.get("externalIPs") or ())
    if spec.get("type") == "LoadBalancer":
        points = (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
        found = sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""})
        return ",".join([*found, *(spec.get("externalIPs") or ())]) or "<pending>"
    if spec.get("type") == "ExternalName":
        return spec.get("externalName") or NONE
    return extra or NONE


def _service_ports(spec: dict[str, Any]) -> str:
    shown = []
    for port in spec.get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node_port}/{port.get('protocol')}")
    return ",".join(shown) or NONE


def endpoints(obj: Object, now: str) -> list[Any]:
    subsets = obj.get("subsets") or ()
    pairs = [pair for subset in subsets for pair in _subset(subset)]
    more = f" + {len(pairs) - _MAX_HOSTS} more..." if len(pairs) > _MAX_HOSTS else ""
    return [name_of(obj), ",".join(pairs[:_MAX_HOSTS]) + more or NONE, age(obj, now)]


def _subset(subset: dict[str, Any]) -> list[str]:
    hosts, ports = [each["ip"] for each in subset.get("addresses") or ()], subset.get("ports") or ()
    if not ports:
        return hosts
    joined = [(f"[{host}]" if ":" in host else host) for host in hosts]
    return [f"{host}:{port.get('port')}" for port in ports for host in joined]


def endpoint_slice(obj: Object, now: str) -> list[Any]:
    ports = [_slice_port(port) for port in obj.get("ports") or ()] if obj.get("ports") else []
    hosts = [host for each in obj.get("endpoints") or () for host in each.get("addresses") or ()]
    return [name_of(obj), obj.get("addressType", ""), _first(ports), _first(hosts), age(obj, now)]


def _slice_port(port: dict[str, Any]) -> str:
    return "*" if port.get("port") is None else str(port["port"])


def _first(items: list[str]) -> str:
    """The first three, and how many more there are."""
    if not items:
        return UNSET
    more = f" + {len(items) - _MAX_HOSTS} more..." if len(items) > _MAX_HOSTS else ""
    return ",".join(items[:_MAX_HOSTS]) + more


def event(obj: Object, now: str) -> list[Any]:
    involved, source = obj.get("involvedObject") or {}, obj.get("source") or {}
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    count = series.get("count") or obj.get("count") or 1
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        _about(involved),
        involved.get("fieldPath", ""),
        ", ".join(filter(None, (component, host))),
        (obj.get("message") or "").strip(),
        since(first, now),
        count,
        name_of(obj),
    ]


def _about(involved: dict[str, Any]) -> str:
    kind, name = involved.get("kind", "").lower(), involved.get("name", "")
    return f"{kind}/{name}" if name else kind


def event_v1(obj: Object, now: str) -> list[Any]:
    """The same event in the words of events.k8s.io."""
    older = {
        "involvedObject": obj.get("regarding"),
        "source": obj.get("deprecatedSource"),
        "reportingComponent": obj.get("reportingController"),
        "firstTimestamp": obj.get("deprecatedFirstTimestamp"),
        "lastTimestamp": obj.get("deprecatedLastTimestamp"),
        "count": obj.get("deprecatedCount"),
        "message": obj.get("note"),
    }
    return event({**obj, **older}, now)


def ingress(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    shown = ",".join(hosts[:_MAX_HOSTS]) + (f" + {len(hosts) - 3} more..." if len(hosts) > _MAX_HOSTS else "")
    points = (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
    addresses = sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""})
    ports = "80, 443" if spec.get("tls") else "80"
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        shown or "*",
        ",".join(addresses),
        ports,
        age(obj, now),
    ]


def ingress_class(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    parameters = spec.get("parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [name_of(obj), spec.get("controller", ""), shown, age(obj, now)]


def network_policy(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), label_selector(spec_of(obj).get("podSelector")), age(obj, now)]


def lease(obj: Object, now: str) -> list[Any]:
    return [name_of(obj), spec_of(obj).get("holderIdentity") or "", age(obj, now)]


ROWS: dict[str, Row] = {
    "/ComponentStatus": component_status,
    "/ConfigMap": config_map,
    "/Endpoints": endpoints,
    "/Event": event,
    "/Namespace": namespace,
    "/Node": node,
    "/ResourceQuota": resource_quota,
    "/Secret": secret,
    "/Service": service,
    "/ServiceAccount": service_account,
    "coordination.k8s.io/Lease": lease,
    "discovery.k8s.io/EndpointSlice": endpoint_slice,
    "events.k8s.io/Event": event_v1,
    "networking.k8s.io/Ingress": ingress,
    "networking.k8s.io/IngressClass": ingress_class,
    "networking.k8s.io/NetworkPolicy": network_policy,
}
