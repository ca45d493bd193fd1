"""The fields of a start form, derived from a playbook's workload."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from arcbook.dsl.source import MapNode, lines_of
from arcbook.server.http.documents import root_of
from arcbook.wire.http.catalog import UiField

_DIRECTIVE: Final = re.compile(r"#\s*ui:(.*)$")
_OPTION: Final = re.compile(r"(secret|enum=\[[^\]]*\]|credential=\S+|description=.*)")


def ui_fields(content: str) -> list[UiField]:
    """Return the fields of a document's workload; none if it cannot be read."""
    root = root_of(content)
    workload = root.get("workload") if root is not None else None
    if not isinstance(workload, MapNode):
        return []
    lines = lines_of(content)
    return [
        _field(name, node.plain(), _directives(lines, workload.key_position(name).line))
        for name, node in workload.items()
    ]


def _directives(lines: Sequence[str], line: int) -> dict[str, str]:
    """Return the options in the ``ui:`` comment of a line."""
    match = _DIRECTIVE.search(lines[line - 1]) if 1 <= line <= len(lines) else None
    if match is None:
        return {}
    options: dict[str, str] = {}
    for part in _OPTION.findall(match[1].replace("# ui:", " ")):
        key, _, value = part.partition("=")
        options[key] = value.strip()
    return options


def _field(name: str, value: Any, directives: dict[str, str]) -> UiField:
    options = None
    if "enum" in directives:
        options = [
            o.strip().strip("'\"") for o in directives["enum"].strip("[]").split(",") if o.strip()
        ]
    children = None
    if isinstance(value, dict):
        children = [_field(str(key), item, {}) for key, item in value.items()]
    secret = "secret" in directives
    return UiField(
        name=name,
        kind="enum" if options is not None else _kind(value),
        default=None if secret else value,
        description=directives.get("description"),
        secret=secret,
        credential_glob=directives.get("credential"),
        options=list(options) if options is not None else None,
        children=children,
    )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, (list, tuple)):
        return "array"
    return "object" if isinstance(value, dict) else "string"
