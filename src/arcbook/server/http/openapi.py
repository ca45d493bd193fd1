"""The OpenAPI document, generated from the route table and the wire structs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

import msgspec

from arcbook.server.http.route import Route
from arcbook.wire.http.common import ErrorBody
from arcbook.wire.http.problems import InvalidDocument

_REF: Final = "#/components/schemas/{name}"

REFUSALS: Final = {
    400: "The request is malformed.",
    401: "No valid token.",
    403: "The caller may not do this.",
    404: "It does not exist.",
    408: "The body did not arrive in time.",
    409: "It conflicts with the present state.",
    413: "The body is too large.",
    422: "The request is well-formed, but its content is invalid.",
    429: "Too many requests.",
    503: "The store, the bus or the owner of the execution does not answer; try again.",
}

_ID_SCHEMA: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}
_PATH_SCHEMAS: Final = {"execution_id": _ID_SCHEMA, "catalog_id": _ID_SCHEMA}

ALWAYS: Final = (401, 403, 503)
"""Errors that every route has."""

_PATH_PARAMETERS: Final = {
    "execution_id": "The execution's id.",
    "path": "A path in the catalog.",
    "name": "A name.",
    "step": "A step's name.",
    "token_id": "The token's id.",
    "catalog_id": "The id of one version of a document.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a route table."""
    kinds = _kinds(routes)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Arcbook",
            "version": metadata.version("arcbook"),
            "description": "The control plane of Arcbook, a durable runtime for NoETL playbooks.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _kinds(routes: Sequence[Route]) -> list[Any]:
    kinds: dict[str, Any] = {_key(kind): kind for kind in (ErrorBody, InvalidDocument)}
    for route in routes:
        for kind in (route.body, route.answer):
            if kind is not None:
                kinds.setdefault(_key(kind), kind)
    return list(kinds.values())


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.tag}_{route.name}",
        "tags": [route.tag],
        "summary": route.summary,
        "description": f"{route.full_description}\n\nScope: `{route.scope}`.",
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.body is not None:
        content = {"application/json": _content(schemas[_key(route.body)], route.body_example)}
        for media_type in route.raw_types:
            content[media_type] = {"schema": {"type": "string"}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    if route.scope == "open":
        operation["security"] = [{}]
    return operation


def _content(schema: Any, example: Any) -> dict[str, Any]:
    return {"schema": schema, "example": example}


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS.get(name, name),
            "schema": _PATH_SCHEMAS.get(name, {"type": "string"}),
        }
        for name in re.findall(r"{(\w+)}", route.template)
    ]
    if route.query is not None:
        (_,), components = msgspec.json.schema_components([route.query], ref_template=_REF)
        fields = components[route.query.__name__]
        required = fields.get("required", [])
        for name, schema in fields["properties"].items():
            parameter = {"name": name, "in": "query", "required": name in required}
            if "description" in schema:
                parameter["description"] = schema.pop("description")
            parameters.append(parameter | {"schema": schema})
    for name, description in route.headers.items():
        header = {"name": name, "in": "header", "required": False, "description": description}
        parameters.append(header | {"schema": {"type": "string"}})
    return parameters


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(route.status): {
            "description": route.summary,
            "content": {
                route.media_type: _content(schemas[_key(route.answer)], route.answer_example)
            },
        }
    }
    for media_type, schema in route.other_types.items():
        responses[str(route.status)]["content"][media_type] = {"schema": schema}
    of_query = (422,) if route.query is not None else ()
    of_body = (408,) if route.body is not None else ()
    for status in sorted({*route.refusals, *ALWAYS, *of_query, *of_body}):
        kind = InvalidDocument if status == 422 else ErrorBody
        example = {"error": REFUSALS[status], "status": status, "code": "", "detail": ""}
        responses[str(status)] = {
            "description": REFUSALS[status],
            "content": {"application/json": _content(schemas[_key(kind)], example)},
        }
    return responses
