"""The JSON Schema of playbooks (2020-12), for editors and other people's tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from arcbook.dsl.grammar import OPEN_TABLES, REQUIRED, TABLES
from arcbook.dsl.kinds import Kind, Kinds, Param
from arcbook.dsl.upgrade.spellings import OLDER, SHORTER

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kinds: Kinds, others: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of a playbook with the given tool kinds.

    Args:
        kinds: the tool kinds, with their parameters.
        others: names of further kinds that documents may use, with any parameters.
    """
    tables = {name: _table(name) for name in TABLES}
    declared = [kind for name in kinds.names() if (kind := kinds.kind(name)) is not None]
    tables["task"]["allOf"] = [_kind_rule(kind) for kind in declared]
    names = sorted({n for kind in declared for n in (kind.name, *kind.names)} | set(others))
    tables["task"]["properties"]["kind"] = {
        "description": "The tool.",
        "anyOf": [{"enum": [*names, "workbook"]}, {"const": "iterator", "deprecated": True}],
    }
    for kind in declared:
        tables[f"tool_{kind.name}"] = _kind(kind)
    return {
        "$schema": DIALECT,
        "title": "NoETL playbook",
        "$ref": "#/$defs/playbook",
        "$defs": tables,
    }


def _table(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            **{key: _property(name, key) for key in TABLES[name]},
            **OLDER.get(name, {}),
        },
    }
    if name in REQUIRED:
        # Editors ask for a tool where the lint only warns.
        schema["required"] = sorted(REQUIRED[name] | ({"tool"} if name == "step" else set()))
    if name not in OPEN_TABLES:
        schema["additionalProperties"] = False
    return schema


def _property(table: str, key: str) -> Any:
    normal = _linked(TABLES[table][key])
    shorter = SHORTER.get((table, key))
    if shorter is None:
        return normal
    description = normal.pop("description")
    return {"description": description, "anyOf": [normal, *shorter]}


def _linked(value: Any) -> Any:
    """Return a table's schema with its references made into pointers."""
    if isinstance(value, dict):
        return {
            key: f"#/$defs/{inner}" if key == "$ref" else _linked(inner)
            for key, inner in value.items()
        }
    return [_linked(v) for v in value] if isinstance(value, list) else value


def _kind_rule(kind: Kind) -> dict[str, Any]:
    names = [kind.name, *kind.names]
    return {
        "if": {"properties": {"kind": {"enum": names}}, "required": ["kind"]},
        "then": {"$ref": f"#/$defs/tool_{kind.name}"},
    }


def _kind(kind: Kind) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for param in kind.params:
        properties[param.name] = _param(param)
        for alias in param.aliases:
            properties.setdefault(alias, {**_param(param), "deprecated": True})
    schema: dict[str, Any] = {"description": _about(kind), "properties": properties}
    needed = [[param.name, *param.aliases] for param in kind.params if param.required]
    needed += [
        [spelling for name in group for spelling in _spellings(kind, name)] for group in kind.any_of
    ]
    if needed:
        schema["allOf"] = [
            {"anyOf": [{"required": [name]} for name in names] + [{"required": ["spec"]}]}
            for names in needed
        ]
    return schema


def _about(kind: Kind) -> str:
    """Return what an editor shows of a kind: what it does, and what its result has."""
    fields = [] if kind.result is None else kind.result.names()
    return f"{kind.description} Its result has {', '.join(fields)}." if fields else kind.description


def _spellings(kind: Kind, name: str) -> list[str]:
    param = kind.param(name)
    return [name, *(param.aliases if param else ())]


def _param(param: Param) -> dict[str, Any]:
    """Return a parameter's schema; a template may stand wherever a value does."""
    schema = {k: v for k, v in param.schema.items() if k not in ("anyOf", "enum")}
    types = schema.get("type")
    if types is not None:
        listed = [types] if isinstance(types, str) else list(types)
        schema["type"] = listed if "string" in listed else [*listed, "string"]
    return {"description": param.description, **schema}
