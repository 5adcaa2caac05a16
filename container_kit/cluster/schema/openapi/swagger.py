"""OpenAPI 2 (Swagger): one document of everything, made from the documents of version 3.

kubectl before 1.29 and old clients read it.  The two say the same in other words: contents become media types
beside the operation, bodies become parameters, and what many operations share has a name.

Source: OpenAPI 2.0; the document of a 1.32 API server.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from container_kit.cluster.schema.openapi.types import facts

__all__ = ["whole_document"]

Json = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_BODY = {"name": "body", "in": "body"}


def whole_document(documents: Iterable[Json]) -> Json:
    """All of *documents* (version 3) as one of version 2."""
    paths: Json = {}
    definitions: Json = {}
    shared: Json = facts()["parameters_v2"]
    names = {_canonical(parameter): name for name, parameter in shared.items()}
    for document in documents:
        for path, item in document["paths"].items():
            paths[path] = _item(item, names)
        for name, schema in document["components"].get("schemas", {}).items():
            definitions[name] = schema_v2(schema)
    paths |= facts()["others_v2"]
    bearer = {"description": "Bearer Token authentication", "type": "apiKey"}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "1.32"},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "parameters": shared,
        "securityDefinitions": {"BearerToken": {**bearer, "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}],
    }


def _canonical(parameter: Json) -> bytes:
    return msgspec.json.encode(parameter, order="deterministic")


def _item(item: Json, names: dict[bytes, str]) -> Json:
    made: Json = {method: _operation(item[method], names) for method in _METHODS if method in item}
    if "parameters" in item:
        made["parameters"] = [_parameter(parameter, names) for parameter in item["parameters"]]
    return made


def _operation(operation: Json, names: dict[bytes, str]) -> Json:
    body = operation.get("requestBody")
    answer = operation["responses"]["200"].get("content", {})
    made: Json = {
        "description": operation["description"],
        "consumes": _consumes(body, answer, operation),
        "produces": _in_old_order(answer),
        "schemes": ["https"],
        "tags": operation["tags"],
        "operationId": operation["operationId"],
    }
    parameters = [_parameter(parameter, names) for parameter in operation.get("parameters", ())]
    if body is not None:
        parameters.insert(0, _parameter_of_body(body, names))
    if parameters:
        made["parameters"] = parameters
    made["responses"] = {code: _response(found) for code, found in operation["responses"].items()}
    return made | {key: value for key, value in operation.items() if key.startswith("x-")}


_ORDER = (
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/jwk-set+json",
    "*/*",
)


def _in_old_order(content: Json) -> list[str]:
    return sorted(content, key=_ORDER.index)


def _consumes(body: Json | None, answer: Json, operation: Json) -> list[str]:
    if body is not None and operation.get("x-kubernetes-action") == "patch":
        first = ("application/json-patch+json", "application/merge-patch+json")
        rest = sorted(set(body["content"]) - set(first), reverse=True)
        return [*first, *rest]
    return ["*/*"] if "x-kubernetes-action" in operation else _in_old_order(answer)


def _parameter_of_body(body: Json, names: dict[bytes, str]) -> Json:
    schema = next(iter(body["content"].values()))["schema"]
    required = {"required": True} if body.get("required") else {}
    made = {**_BODY, **required, "schema": schema_v2(schema)}
    name = names.get(_canonical(made))
    return {"$ref": f"#/parameters/{name}"} if name else made


def _parameter(parameter: Json, names: dict[bytes, str]) -> Json:
    made = {key: value for key, value in parameter.items() if key != "schema"} | parameter.get("schema", {})
    name = names.get(_canonical(made))
    return {"$ref": f"#/parameters/{name}"} if name else made


def _response(response: Json) -> Json:
    content = response.get("content")
    if not content:
        return {"description": response["description"]}
    return {
        "description": response["description"],
        "schema": schema_v2(next(iter(content.values()))["schema"]),
    }


def schema_v2(schema: Any) -> Any:
    """A type in the words of version 2: no defaults, no alternatives, references beside other words."""
    if isinstance(schema, list):
        return [schema_v2(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made: Json = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: schema_v2(field) for name, field in value.items()}
        elif key == "allOf" and len(value) == 1 and "$ref" in value[0]:
            made |= schema_v2(value[0])
        elif key == "$ref":
            made[key] = value.replace("#/components/schemas/", "#/definitions/")
        elif key == "oneOf":
            made["type"] = "string"
        elif key != "default":
            made[key] = schema_v2(value)
    return made
