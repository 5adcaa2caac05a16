"""Definitions such as operators bring along: of certificates, and of monitors with whole pods inside."""

from __future__ import annotations

from typing import Any

__all__ = ["certificates", "monitors"]

Spec = dict[str, Any]
_TEXT: Spec = {"type": "string"}
_COUNT: Spec = {"type": "integer", "format": "int32"}
_AMOUNT: Spec = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$",
    "x-kubernetes-int-or-string": True,
}


def _object(properties: Spec, *required: str, **more: Any) -> Spec:
    made = {"type": "object", "properties": properties, **more}
    return {**made, "required": list(required)} if required else made


def _list(items: Spec, **more: Any) -> Spec:
    return {"type": "array", "items": items, **more}


def _keyed(items: Spec, *keys: str) -> Spec:
    return _list(items, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


_CONDITION = _object(
    {
        "type": {**_TEXT, "maxLength": 316},
        "status": {**_TEXT, "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": {**_TEXT, "maxLength": 32768},
        "lastTransitionTime": {**_TEXT, "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
    },
    "type",
    "status",
)
_READY = '.status.conditions[?(@.type=="Ready")].status'


def definition(
    group: str, kind: str, names: Spec, versions: list[Spec], *, scope: str = "Namespaced", **spec: Any
) -> Spec:
    """A CustomResourceDefinition of these versions."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": versions,
            **spec,
        },
    }


def certificates(group: str) -> Spec:
    """What a certificate should be, who issues it, and whether it is there."""
    key = _object(
        {
            "algorithm": {**_TEXT, "enum": ["RSA", "ECDSA", "Ed25519"], "default": "RSA"},
            "size": {"type": "integer", "default": 2048},
            "rotationPolicy": {**_TEXT, "enum": ["Never", "Always"]},
        },
        default={},
        **{
            "x-kubernetes-validations": [
                {
                    "rule": "self.algorithm != 'RSA' || self.size in [2048, 4096, 8192]",
                    "messageExpression": "'RSA keys cannot have ' + string(self.size) + ' bits'",
                    "fieldPath": ".size",
                },
                {
                    "rule": "self.algorithm == oldSelf.algorithm",
                    "message": "the algorithm stays",
                    "reason": "FieldValueForbidden",
                },
            ]
        },
    )
    spec = _object(
        {
            "commonName": {**_TEXT, "maxLength": 64},
            "dnsNames": _list({**_TEXT, "maxLength": 253}, maxItems=50, **{"x-kubernetes-list-type": "set"}),
            "ipAddresses": _list({**_TEXT, "maxLength": 45}, maxItems=10),
            "uris": _list({**_TEXT, "maxLength": 500}, maxItems=10),
            "duration": {**_TEXT, "format": "duration", "default": "2160h"},
            "renewBefore": {**_TEXT, "format": "duration"},
            "issuerRef": _object(
                {"name": _TEXT, "kind": {**_TEXT, "default": "Issuer"}, "group": _TEXT},
                "name",
                **{"x-kubernetes-map-type": "atomic"},
            ),
            "privateKey": key,
            "secretName": {**_TEXT, "minLength": 1},
            "usages": _list({**_TEXT, "enum": ["digital signature", "server auth", "client auth"]}),
        },
        "secretName",
        "issuerRef",
        **{
            "x-kubernetes-validations": [
                {"rule": "has(self.commonName) || has(self.dnsNames)", "message": "no name at all"},
                {"rule": "!has(self.renewBefore) || self.renewBefore < self.duration"},
                {"rule": "!has(self.ipAddresses) || self.ipAddresses.all(a, isIP(a))"},
                {"rule": "!has(self.uris) || self.uris.all(u, isURL(u) && url(u).getScheme() == 'spiffe')"},
            ]
        },
    )
    status = _object(
        {
            "conditions": _keyed(_CONDITION, "type"),
            "notAfter": {**_TEXT, "format": "date-time"},
            "revision": {"type": "integer"},
        }
    )
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object({"spec": spec, "status": status}, "spec")},
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".spec.secretName"}],
        "additionalPrinterColumns": [
            {"name": "Ready", "type": "string", "jsonPath": _READY},
            {"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"},
            {"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    }
    names = {"shortNames": ["certi"], "categories": ["all", "security"], "singular": "certificate"}
    return definition(group, "Certificate", names, [version])


def _container() -> Spec:
    """Much of what a container may say, with its probes and hooks."""
    action = _object(
        {
            "exec": _object({"command": _list(_TEXT, **{"x-kubernetes-list-type": "atomic"})}),
            "httpGet": _object({"path": _TEXT, "port": {**_AMOUNT, "pattern": ".*"}, "host": _TEXT}, "port"),
            "periodSeconds": _COUNT,
            "failureThreshold": _COUNT,
        }
    )
    resources = _object(
        {word: {"type": "object", "additionalProperties": _AMOUNT} for word in ("limits", "requests")}
    )
    source = _object({"name": {**_TEXT, "default": ""}, "key": _TEXT, "optional": {"type": "boolean"}}, "key")
    variable = _object(
        {
            "name": _TEXT,
            "value": _TEXT,
            "valueFrom": _object({"configMapKeyRef": source, "secretKeyRef": source}),
        },
        "name",
    )
    port = _object(
        {
            "name": _TEXT,
            "containerPort": _COUNT,
            "hostPort": _COUNT,
            "protocol": {**_TEXT, "default": "TCP"},
        },
        "containerPort",
    )
    texts = dict.fromkeys(("name", "image", "imagePullPolicy", "workingDir"), _TEXT)
    return _object(
        {
            **texts,
            "args": _list(_TEXT),
            "command": _list(_TEXT),
            "env": _keyed(variable, "name"),
            "ports": _keyed(port, "containerPort", "protocol"),
            "resources": resources,
            "volumeMounts": _keyed(
                _object(
                    {"name": _TEXT, "mountPath": _TEXT, "readOnly": {"type": "boolean"}}, "name", "mountPath"
                ),
                "mountPath",
            ),
            **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), action),
            "lifecycle": _object({"postStart": action, "preStop": action}),
            "securityContext": _object(
                {"runAsUser": {"type": "integer", "format": "int64"}, "privileged": {"type": "boolean"}}
            ),
        },
        "name",
    )


def _pods(depth: int = 2) -> Spec:
    selector = _object(
        {
            "matchLabels": {"type": "object", "additionalProperties": _TEXT},
            "matchExpressions": _list(
                _object({"key": _TEXT, "operator": _TEXT, "values": _list(_TEXT)}, "key", "operator")
            ),
        },
        **{"x-kubernetes-map-type": "atomic"},
    )
    term = _object(
        {"labelSelector": selector, "namespaceSelector": selector, "topologyKey": _TEXT}, "topologyKey"
    )
    affinity = {
        "podAffinity": _object(
            {
                "required": _list(term),
                "preferred": _list(_object({"weight": _COUNT, "term": term}, "weight", "term")),
            }
        )
    }
    return _object(
        {
            "containers": _keyed(_container(), "name"),
            "initContainers": _keyed(_container(), "name"),
            "affinity": _object({**affinity, "podAntiAffinity": affinity["podAffinity"]}),
            "tolerations": _list(_object(dict.fromkeys(("key", "operator", "value", "effect"), _TEXT))),
            "nodeSelector": {"type": "object", "additionalProperties": _TEXT},
            **({f"sidecar{number}": _pods(depth - 1) for number in range(3)} if depth else {}),
        }
    )


def monitors(group: str, **spec: Any) -> Spec:
    """Servers that watch others: a deep type with whole pods in it, scaled, in two versions."""
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    pods = _pods()
    wanted = _object(
        {
            **pods["properties"],
            "replicas": {**_COUNT, "minimum": 0, "maximum": 100, "default": 1},
            "retention": {**_TEXT, "pattern": "^(0|(([0-9]+)y)?(([0-9]+)d)?(([0-9]+)h)?)$"},
            "storage": _object({"size": _AMOUNT, "template": embedded}),
            "paused": {"type": "boolean"},
            "rules": _list(_object({"name": _TEXT, "limit": _COUNT}, "name"), maxItems=200),
            "extra": {"x-kubernetes-preserve-unknown-fields": True},
            "note": {**_TEXT, "nullable": True},
        },
        **{
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.rules) || self.rules.all(r, self.rules.exists_one(o, o == r))",
                    "message": "two rules have the same name",
                },
                {
                    "rule": "!has(self.storage) || !has(self.storage.size)"
                    " || quantity(string(self.storage.size)).isGreaterThan(quantity('1Mi'))",
                },
                {
                    "rule": "!oldSelf.hasValue() || self.replicas <= oldSelf.value().replicas + 10",
                    "optionalOldSelf": True,
                    "messageExpression": "'from %d to %d is too much'"
                    ".format([oldSelf.value().replicas, self.replicas])",
                },
            ]
        },
    )
    status = _object(
        {"replicas": _COUNT, "selector": _TEXT, "conditions": _keyed(_CONDITION, "type")},
    )
    paths = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    columns = [
        {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas", "description": "How many."},
        {"name": "Paused", "type": "boolean", "jsonPath": ".spec.paused", "priority": 1},
    ]
    version = {
        "served": True,
        "schema": {"openAPIV3Schema": _object({"spec": wanted, "status": status})},
        "subresources": {"status": {}, "scale": paths},
        "additionalPrinterColumns": columns,
    }
    versions = [
        {**version, "name": "v1", "storage": True},
        {**version, "name": "v1beta1", "storage": False, "deprecated": True},
    ]
    return definition(group, "Monitor", {"shortNames": ["mon"]}, versions, **spec)
