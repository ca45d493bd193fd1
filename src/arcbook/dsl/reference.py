"""The tables of keys in the description of the language, made from the grammar."""

from __future__ import annotations

import re
from typing import Any, Final

from arcbook.dsl.grammar import REQUIRED, TABLES

_TYPES: Final = {
    "array": "list",
    "boolean": "boolean",
    "integer": "integer",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
_SPOKEN: Final = {
    ("executor_spec", "entry_step"): "`start`, else the first one",
    ("loop_spec", "max_in_flight"): "64 in parallel, else 1",
    ("loop_spec", "mode"): "`sequential`; `cursor` with a cursor",
    ("metadata", "path"): "the name",
    ("output", "inline_max_bytes"): "102400",
    ("output", "store"): "`auto`",
    ("then", "backoff"): "`fixed` with a delay, else `none`",
}
"""Defaults that depend on something else."""

MARKS: Final = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- /keys -->)", re.DOTALL)


def rows(table: str) -> str:
    """Return the keys of a mapping as a table."""
    head = "| Key | Type | Default | What it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(
        f"| `{key}` | {_type(value)} | {_default(table, key, value)} | {value['description']} |\n"
        for key, value in TABLES[table].items()
    )


def filled(page: str) -> str:
    """Return a page whose tables are those of the grammar."""
    return MARKS.sub(lambda found: f"{found[1]}{rows(found[2])}{found[3]}", page)


def _type(schema: dict[str, Any]) -> str:
    if schema.get("$comment"):
        return str(schema["$comment"])
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if "oneOf" in schema:
        return "mapping or list"
    types = schema.get("type", "object" if "$ref" in schema else None)
    if types is None:
        return "any"
    listed = [types] if isinstance(types, str) else list(types)
    if listed in (["number", "string"], ["integer", "string"]):
        listed = listed[:1]  # as text, it is a template or the number
    return " or ".join(_TYPES[one] for one in listed)


def _default(table: str, key: str, schema: dict[str, Any]) -> str:
    if key in REQUIRED.get(table, ()):
        return "required"
    if (table, key) in _SPOKEN:
        return _SPOKEN[table, key]
    if "default" not in schema:
        return ""
    value = schema["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
