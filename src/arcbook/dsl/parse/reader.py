"""Reading values out of nodes, each of the type that is wanted, with every problem noted."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from arcbook.dsl import grammar
from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.source import ListNode, MapNode, Node, Position
from arcbook.template.code import compile_code
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_condition, compile_value, is_template

E = TypeVar("E", bound=StrEnum)


class Reader:
    """Reads values for the parsers of all parts of a document."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        #: The step that is being read, for the diagnostics.
        self.step_name = ""

    def templated(self, node: Node | None) -> Any:
        """Check every template in a value, and return the value."""
        if node is None:
            return None
        if isinstance(node, MapNode):
            for child in node.value.values():
                self.templated(child)
        elif isinstance(node, ListNode):
            for child in node.value:
                self.templated(child)
        elif isinstance(node.value, str) and is_template(node.value):
            try:
                compile_value(node.value)
            except TemplateError as error:
                self._template_error(node, error)
        return node.plain()

    def code(self, node: Node) -> None:
        if isinstance(node.value, str) and is_template(node.value):
            template = compile_code(node.value)
            if not template.is_literal and template.names:
                hint = "hand values to code by 'input'; they arrive as variables"
                self.warning("ARC304", "code has templates in it", node.position, hint)

    def guard(self, node: Node) -> None:
        if isinstance(node.value, (bool, int)):
            return
        if not isinstance(node.value, str):
            self.error(
                "ARC302", f"a guard must be text or a boolean, not {node.kind}", node.position
            )
            return
        text = node.value
        if not text.strip() or (
            "{" in text and "{{" not in text and "{%" not in text and ":" not in text
        ):
            hint = "write \"{{ name == 'value' }}\""
            self.error("ARC302", f"the guard {text!r} is not an expression", node.position, hint)
            return
        try:
            compile_condition(text)
        except TemplateError as error:
            self._template_error(node, error)

    def _template_error(self, node: Node, error: TemplateError) -> None:
        line = node.position.line + max(error.line - 1, 0)
        column = node.position.column if error.line <= 1 else 1
        self.error("ARC301", f"{error.reason}: {error.template}", Position(line, column))

    def map(self, node: MapNode | None, key: str, *, required: bool = False) -> MapNode | None:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position)
            return None
        if not isinstance(found, MapNode):
            self.error("ARC103", f"{key!r} must be a mapping, not {found.kind}", found.position)
            return None
        return found

    def is_map(self, node: Node, what: str) -> bool:
        if isinstance(node, MapNode):
            return True
        self.error("ARC103", f"{what} must be a mapping, not {node.kind}", node.position)
        return False

    def plain_map(self, node: MapNode, key: str) -> dict[str, Any]:
        found = node.get(key)
        return found.plain() if isinstance(found, MapNode) else {}

    def value(self, node: MapNode | None, key: str) -> Any:
        found = node.get(key) if node is not None else None
        return found.plain() if found is not None else None

    def scalar(self, node: MapNode | None, key: str) -> Any:
        found = node.get(key) if node is not None else None
        return None if found is None or isinstance(found, (MapNode, ListNode)) else found.value

    def text(self, node: MapNode | None, key: str, *, required: bool = False) -> str | None:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position)
            return None
        if isinstance(found.value, str):
            return found.value
        if isinstance(found.value, (int, float)) and not isinstance(found.value, bool):
            return str(found.value)
        self.error("ARC103", f"{key!r} must be text, not {found.kind}", found.position)
        return None

    def flag(self, node: MapNode, key: str) -> bool | None:
        value = self.scalar(node, key)
        if value is None or isinstance(value, bool):
            return value
        self.error("ARC103", f"{key!r} must be true or false", node.value[key].position)
        return None

    def number(self, node: MapNode | None, key: str, *, least: float | None = None) -> Any:
        """Return a number or a template that will yield one."""
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            return None
        value = found.value
        if isinstance(value, str) and is_template(value):
            return self.templated(found)
        number = as_number(value)
        if number is None:
            self.error("ARC103", f"{key!r} must be a number, not {value!r}", found.position)
        elif least is not None and number < least:
            self.error(
                "ARC111", f"{key!r} must be at least {least:g}, not {value!r}", found.position
            )
        return number

    def choice(self, node: MapNode | None, key: str, choices: type[E], default: E) -> E:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            return default
        text = str(found.value).lower()
        for choice in choices:
            if choice.value == text:
                return choice
        names = [c.value for c in choices]
        hint = did_you_mean(text, names)
        message = f"{key!r} must be one of {', '.join(names)}, not {found.value!r}"
        self.error("ARC112", message, found.position, hint)
        return default

    def error(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Note an error at a place of the present step."""
        self.report.error(code, message, position, hint, self.step_name)

    def warning(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Note a warning at a place of the present step."""
        self.report.warning(code, message, position, hint, self.step_name)

    def known_keys(self, node: MapNode, table: str, also: frozenset[str] = frozenset()) -> None:
        known = grammar.TABLES[table]
        for key in node.value:
            if key not in known and key not in also:
                self.unknown_key(key, node, known)

    def unknown_key(self, key: str, node: MapNode, known: grammar.Keys) -> None:
        message = f"key {key!r} is not known here; it is ignored"
        self.warning("ARC113", message, node.key_position(key), did_you_mean(key, known))


def as_number(value: Any) -> int | float | None:
    """Return a number, also one written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        text = str(value).strip()
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return None
