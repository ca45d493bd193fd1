"""Check that each value of a document is of the type that the grammar gives its key.

The parsers of the parts check the values that they read, with messages of their own. This
check reports what is left, so that no value of a wrong type is silently taken for a missing one.
"""

from __future__ import annotations

from typing import Any, Final

from arcbook.dsl import grammar
from arcbook.dsl.parse.reader import Reader, as_number, shown
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.template.render import is_template

_NAMES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}

_HINTS: Final = {
    "array": "write '- ...' for each item",
    "boolean": "write 'true' or 'false'",
    "integer": "write a number",
    "number": "write a number",
    "object": "write 'key: value' below it",
    "string": "write a text, in quotes if need be",
}


DESCRIPTIVE: Final = frozenset({"metadata"})
"""Tables that describe a document and that no run depends on: there, a wrong type is a warning."""


def check_shapes(read: Reader, root: MapNode) -> None:
    """Report every value whose type the grammar excludes and that has no error yet."""
    _check_table(read, root, "playbook")


def _check_table(read: Reader, node: MapNode, table: str) -> None:
    required = grammar.REQUIRED.get(table, frozenset())
    for key, schema in grammar.TABLES[table].items():
        value = node.get(key)
        if value is None:
            continue
        if key in required and isinstance(value.value, str) and not value.value.strip():
            _report(read, value, "ARC110", f"{key!r} is empty", f"write {key!r}")
        elif value.value is not None:
            _check_value(read, value, schema, key, is_descriptive=table in DESCRIPTIVE)


def _check_value(
    read: Reader, node: Node, schema: dict[str, Any], key: str, *, is_descriptive: bool = False
) -> None:
    if "oneOf" in schema:
        schema = schema["oneOf"][1 if isinstance(node, ListNode) else 0]
    table = schema.get("$ref")
    types = ["object"] if table else schema.get("type") or []
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(node, name) for name in types):
        names = " or ".join(_NAMES[name] for name in types if name in _NAMES)
        message = f"{key!r} must be {names}, not {shown(node)}"
        if is_descriptive:
            read.warning("ARC103", message, node.position, _HINTS[types[0]])
        else:
            _report(read, node, "ARC103", message, _HINTS[types[0]])
    elif table and isinstance(node, MapNode):
        _check_table(read, node, table)
    elif isinstance(node, ListNode) and "items" in schema:
        for item in node.value:
            _check_value(read, item, schema["items"], f"an item of {key}")


def _is(node: Node, name: str) -> bool:
    """Return whether a value is of a type, or a template that may yield one."""
    value = node.value
    if isinstance(node, (MapNode, ListNode)):
        return name == ("object" if isinstance(node, MapNode) else "array")
    if isinstance(value, str) and (is_template(value) or name in ("string", "boolean")):
        return name == "string" or is_template(value) or value.lower() in ("true", "false")
    if isinstance(value, bool):
        return name == "boolean"
    return name == "string" or (name in ("integer", "number") and as_number(value) is not None)


def _report(read: Reader, node: Node, code: str, message: str, hint: str) -> None:
    if not read.report.is_full and not read.report.has_error_at(node.position):
        read.report.tightened(code, message, node.position, hint)
