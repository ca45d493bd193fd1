"""The tables in the docs: keys, made from the grammar, and results, as tools declare them."""

from __future__ import annotations

import re
from typing import Any, Final

from arcbook.dsl.grammar import REQUIRED, TABLES
from arcbook.dsl.kinds import Field, Kind, Kinds, Param

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
    ("executor_spec", "entry_step"): "`start`, or the first step",
    ("loop_spec", "max_in_flight"): "64 if parallel, else 1",
    ("loop_spec", "mode"): "`sequential`, or `cursor` if there is one",
    ("metadata", "path"): "the name",
    ("output", "inline_max_bytes"): "102400",
    ("output", "store"): "`auto`",
    ("then", "backoff"): "`fixed` if there is a delay, else `none`",
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


RESULT_MARKS: Final = re.compile(r"(<!-- result: (\w+) -->\n).*?(<!-- /result -->)", re.DOTALL)


def result_rows(kind: Kind) -> str:
    """Return what a tool kind's results have, as a table."""
    if kind.results:
        head = f"| `{kind.result_by}` | The result has |\n| --- | --- |\n"
        return head + "".join(
            f"| `{value}` | {', '.join(f'`{name}`' for name in shape.names())} |\n"
            for value, shape in kind.results.items()
        )
    head = "| Field | What it is |\n| --- | --- |\n"
    fields = () if kind.result is None else kind.result.fields
    return head + "".join(
        f"| `{field.name}` | {field.description or _inner(field)} |\n" for field in fields
    )


def _inner(field: Field) -> str:
    names = [] if field.inner is None else field.inner.names()
    return f"A mapping with {', '.join(f'`{name}`' for name in names)}."


PARAM_MARKS: Final = re.compile(r"(<!-- params: (\w+) -->\n).*?(<!-- /params -->)", re.DOTALL)


def param_rows(kind: Kind) -> str:
    """Return a tool kind's parameters as a table, and what its calls may do."""
    head = "| Name | Type | Default | What it is |\n| --- | --- | --- | --- |\n"
    lines = "".join(
        f"| {spellings(param)} | {type_of(param)} | {default_of(param)} | {param.description} |\n"
        for param in kind.params
    )
    effects = " or ".join(f"`{effect}`" for effect in kind.effects)
    return f"{head}{lines}\n[Effects](../language.md#effects-of-a-call) of a call: {effects}.\n"


def spellings(param: Param) -> str:
    """Return a parameter's name and the other ones that documents use for it."""
    others = ", ".join(f"`{name}`" for name in param.aliases)
    return f"`{param.name}`" + (f" ({others})" if others else "")


def type_of(param: Param) -> str:
    """Return the values that a parameter takes."""
    return _type(param.schema)


def default_of(param: Param) -> str:
    """Return what counts where a parameter is not written."""
    if param.required:
        return "required"
    if param.default is None or param.default in ({}, []):
        return ""
    value = param.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def filled_tool(page: str, kinds: Kinds) -> str:
    """Return a tool's page whose tables are those that its kind declares."""

    def table(found: re.Match[str]) -> str:
        kind = kinds.kind(found[2])
        assert kind is not None, found[2]
        made = param_rows(kind) if found.re is PARAM_MARKS else result_rows(kind)
        return f"{found[1]}{made}{found[3]}"

    return PARAM_MARKS.sub(table, RESULT_MARKS.sub(table, page))


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
    if "examples" in schema:
        return "text: " + ", ".join(f"`{choice}`" for choice in schema["examples"])
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
