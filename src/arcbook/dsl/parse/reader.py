"""Read typed values from nodes, reporting every problem."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from arcbook.dsl import grammar
from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.durations import SHOWN, seconds_of
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.misreadings import of_other_languages
from arcbook.dsl.missing import Reading
from arcbook.dsl.mistaken import ELSEWHERE, asks_nothing, misspelt, repair_of
from arcbook.dsl.parse.doubts import lookalike, never_equal
from arcbook.dsl.python_code import read_code
from arcbook.dsl.source import ListNode, MapNode, Node, Position, place_inside
from arcbook.template.code import compile_code
from arcbook.template.errors import TemplateError, UnknownWordError, shorten
from arcbook.template.render import compile_condition, compile_value, is_template
from arcbook.template.script import Foreign, compile_script, foreign_in

E = TypeVar("E", bound=StrEnum)


class Names(Container[str], Iterable[str], Protocol):
    """Names that can be tested for membership and listed."""


SHOWN_MAX: Final = 60
"""Maximum characters of a value in a message."""

BRACES_SHOWN_MAX: Final = 3
"""Maximum templates of other programs quoted in a message."""

_GUARD_HINT: Final = "write \"{{ name == 'value' }}\""


class Reader:
    """Reads values for the parsers of all parts of a document."""

    def __init__(self, report: Report, kinds: Kinds, lines: Sequence[str] = ()) -> None:
        self.report = report
        self.kinds = kinds
        #: Lines of the document, to find positions inside long texts.
        self.lines = lines
        #: The step being read, for the diagnostics.
        self.step_name = ""
        #: Scripts and their steps, checked once all names are known.
        self.scripts: list[tuple[str, Node]] = []
        #: Values that contain templates.
        self.readings: list[Reading] = []

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
            self._lookalike(node, node.value)
            try:
                names = compile_value(node.value).names
            except TemplateError as error:
                self._template_error(node, error)
            else:
                self.readings.append(Reading(self.step_name, node, names))
        elif isinstance(node.value, str) and ("{" in node.value or "}}" in node.value):
            self._lookalike(node, node.value)
        return node.plain()

    def _lookalike(self, node: Node, text: str) -> None:
        """Warn about names of the playbook in the braces of another language."""
        match = lookalike(text)
        if match is not None and not self.report.is_stored:
            place = place_inside(self.lines, node, match.line)
            message = f"{match.text!r} is not a template and is left unchanged"
            self.warning("ARC312", message, place, f"write '{{{{ {match.name} }}}}'")

    def code(self, node: Node) -> None:
        """Check Python code, and the templates in it."""
        if isinstance(node.value, str) and "{{" not in node.value and not self.report.is_stored:
            code = read_code(node.value)
            if code.fault:
                place = place_inside(self.lines, node, code.line, code.column)
                hint = "write valid Python; its parser stopped here"
                message = f"the code is not Python: {code.fault}"
                self.report.tightened("ARC310", message, place, hint, self.step_name)
            if code.mistaken is not None:
                name, meant, line = code.mistaken
                place = place_inside(self.lines, node, line)
                message = f"the code writes {name!r} and never reads it, and yields nothing"
                self.warning("ARC313", message, place, f"did you mean {meant!r}?")
        if isinstance(node.value, str) and is_template(node.value):
            try:
                template = compile_code(node.value)
            except TemplateError as error:
                self._template_error(node, error)
                return
            self.readings.append(Reading(self.step_name, node, template.names, is_foreign=True))
            if not template.is_literal and template.names:
                hint = "pass values to code with 'input'; they become variables"
                self.warning("ARC304", "code has templates in it", node.position, hint)

    def script(self, node: Node) -> None:
        """Collect text that may contain templates of other programs, to check it later."""
        if isinstance(node, MapNode):
            for child in node.value.values():
                self.script(child)
        elif isinstance(node, ListNode):
            for child in node.value:
                self.script(child)
        elif isinstance(node.value, str) and is_template(node.value):
            self.scripts.append((self.step_name, node))

    def check_script(self, node: Node, known: Names) -> None:
        """Check every template in a text that may also contain foreign braces."""
        try:
            foreign = foreign_in(node.value, known)
        except TemplateError as error:
            self._template_error(node, error)
            return
        names = compile_script(node.value, known).names
        self.readings.append(Reading(self.step_name, node, names, is_foreign=True))
        others = [braces for braces in foreign if not braces.unknown]
        if others:
            texts = ", ".join(
                shorten(braces.text, SHOWN_MAX) for braces in others[:BRACES_SHOWN_MAX]
            )
            rest = len(others) - BRACES_SHOWN_MAX
            more = f" and {rest} more" if rest > 0 else ""
            why = "is left unchanged: it is not an expression"
            if others[1:]:
                why = "are left unchanged: they are not expressions"
            self._foreign(node, others[0], f"{texts}{more} {why}", "")
        for braces in foreign:
            if braces.unknown:
                why = f"is left unchanged: {braces.unknown!r} is not defined"
                message = f"{shorten(braces.text, SHOWN_MAX)} {why}"
                self._foreign(node, braces, message, did_you_mean(braces.unknown, known))

    def _foreign(self, node: Node, braces: Foreign, message: str, hint: str) -> None:
        line = node.value.count("\n", 0, braces.offset) + 1
        hint = hint or "ignore this if it is a template of another program"
        place = place_inside(self.lines, node, line)
        self.warning("ARC308", message, place, hint)

    def guard(self, node: Node) -> None:
        if isinstance(node.value, (bool, int)):
            return
        if not isinstance(node.value, str):
            message = f"a guard must be text or a boolean, not {node.kind}"
            self.error("ARC302", message, node.position, _GUARD_HINT)
            return
        text = node.value
        if not text.strip() or (
            "{" in text and "{{" not in text and "{%" not in text and ":" not in text
        ):
            message = f"the guard {text!r} is not an expression"
            self.error("ARC302", message, node.position, _GUARD_HINT)
            return
        try:
            names = compile_condition(text).names
        except TemplateError as error:
            self._template_error(node, error)
        else:
            self._compared(node)
            self.readings.append(Reading(self.step_name, node, names))

    def _compared(self, node: Node) -> None:
        """Warn about a comparison with a misspelt status, error kind or event, which is never true."""
        for what, value, near in never_equal(str(node.value)):
            message = f"{what!r} is never {value!r}"
            self.warning("ARC112", message, node.position, f"did you mean {near!r}?")

    def _template_error(self, node: Node, error: TemplateError) -> None:
        hint = of_other_languages(error.template)
        if isinstance(error, UnknownWordError):
            hint = did_you_mean(error.word, error.known) or "see the list of filters and tests"
        elif "empty" in error.reason:
            hint = 'write "{{ name }}"'
        place = place_inside(self.lines, node, error.line)
        self.error("ARC301", f"{error.reason}: {error.template}", place, hint)

    def map(self, node: MapNode | None, key: str, *, required: bool = False) -> MapNode | None:
        entry = node.get(key) if node is not None else None
        if entry is None or entry.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position, f"write {key!r}")
            return None
        if not isinstance(entry, MapNode):
            message = f"{key!r} must be a mapping, not {entry.kind}"
            self.error("ARC103", message, entry.position, "write 'key: value' below it")
            return None
        return entry

    def maps(self, node: ListNode, what: str) -> Iterator[MapNode]:
        """Yield the mappings of a list, reporting other items."""
        for child in node.value:
            if isinstance(child, MapNode):
                yield child
            else:
                message = f"{what} must be a mapping, not {child.kind}"
                self.error("ARC103", message, child.position, "write 'key: value'")

    def plain_map(self, node: MapNode, key: str) -> dict[str, Any]:
        entry = node.get(key)
        return entry.plain() if isinstance(entry, MapNode) else {}

    def value(self, node: MapNode | None, key: str) -> Any:
        entry = node.get(key) if node is not None else None
        return entry.plain() if entry is not None else None

    def scalar(self, node: MapNode | None, key: str) -> Any:
        entry = node.get(key) if node is not None else None
        return None if entry is None or isinstance(entry, (MapNode, ListNode)) else entry.value

    def text(self, node: MapNode | None, key: str, *, required: bool = False) -> str | None:
        entry = node.get(key) if node is not None else None
        if entry is None or entry.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position, f"write {key!r}")
            return None
        if isinstance(entry.value, str):
            return entry.value
        if isinstance(entry.value, (int, float)) and not isinstance(entry.value, bool):
            return str(entry.value)
        message = f"{key!r} must be text, not {entry.kind}"
        self.error("ARC103", message, entry.position, "write a text, in quotes if need be")
        return None

    def flag(self, node: MapNode, key: str) -> bool | None:
        value = self.scalar(node, key)
        if value is None or isinstance(value, bool):
            return value
        place = node.value[key].position
        self.error("ARC103", f"{key!r} must be true or false", place, "write 'true' or 'false'")
        return None

    def whole(self, node: MapNode | None, key: str, *, least: int) -> Any:
        """Return a whole number or a template that will yield one."""
        number = self.number(node, key, least=least)
        if isinstance(number, float) and number.is_integer():
            return int(number)
        if isinstance(number, float) and node is not None:
            message = f"{key!r} must be a whole number, not {number!r}"
            self.error("ARC111", message, node.value[key].position, f"write {least} or more")
        return number

    def number(self, node: MapNode | None, key: str, *, least: float | None = None) -> Any:
        """Return a number or a template that will yield one."""
        entry = node.get(key) if node is not None else None
        if entry is None or entry.value is None:
            return None
        value = entry.value
        if isinstance(value, str) and is_template(value):
            return self.templated(entry)
        number = as_number(value)
        if number is None:
            message = f"{key!r} must be a number, not {shown(entry)}"
            self.error("ARC103", message, entry.position, "write a number, or a template")
        elif least is not None and number < least:
            message = f"{key!r} must be at least {least:g}, not {value!r}"
            self.error("ARC111", message, entry.position, f"write {least:g} or more")
        return number

    def seconds(self, node: MapNode | None, key: str, *, least: float | None = None) -> Any:
        """Return a duration in seconds, or a template that will yield one."""
        entry = node.get(key) if node is not None else None
        if node is None or entry is None or entry.value is None:
            return None
        if isinstance(entry.value, str) and is_template(entry.value):
            return self.templated(entry)
        seconds = None if isinstance(entry, (MapNode, ListNode)) else seconds_of(entry.value)
        if seconds is None:
            message = f"{key!r} must be a duration, not {shown(entry)}"
            self.error("ARC103", message, entry.position, f"write {SHOWN}")
            return None
        return self.number(node.having(key, Node(seconds, entry.mark)), key, least=least)

    def time_limit(self, node: MapNode | None, key: str) -> Any:
        """Return a duration greater than zero, or a template that will yield one."""
        found = self.seconds(node, key)
        if isinstance(found, (int, float)) and found <= 0 and node is not None:
            message = f"{key!r} must be more than 0, not {node.value[key].value!r}"
            self.error("ARC111", message, node.value[key].position, "leave it out for no limit")
        return found

    def one_of(self, node: MapNode | None, key: str, choices: Sequence[str]) -> None:
        """Check that a text is one of the choices."""
        entry = node.get(key) if node is not None else None
        if entry is None or entry.value is None or str(entry.value) in choices:
            return
        if isinstance(entry.value, str) and is_template(entry.value):
            return
        hint = did_you_mean(str(entry.value), choices) or f"write one of {', '.join(choices)}"
        message = f"{key!r} must be one of {', '.join(choices)}, not {shown(entry)}"
        self.report.tightened("ARC112", message, entry.position, hint, self.step_name)

    def spelled(self, node: MapNode | None, known: Iterable[str]) -> None:
        """Warn about misspelt keys of a mapping that may have other keys as well."""
        for key in node.value if node is not None else ():
            near = "" if key in known or self.report.allows(key) else misspelt(key, known)
            if near and node is not None:
                message = f"key {key!r} is not known here"
                self.warning("ARC113", message, node.key_position(key), f"did you mean {near!r}?")

    def known_value(
        self, node: MapNode | None, key: str, choices: Sequence[str], *, code: str = "ARC112"
    ) -> None:
        """Check a text against an open set of known values.

        A misspelt value is an error. Any other is a warning, as it may be known elsewhere.
        """
        entry = node.get(key) if node is not None else None
        if entry is None or isinstance(entry, (MapNode, ListNode)) or is_template(str(entry.value)):
            return
        text = "" if entry.value is None else str(entry.value)
        if not text or text.lower() in choices or text in choices:
            return
        near = misspelt(text, choices)
        hint = f"did you mean {near!r}?" if near else f"write one of {', '.join(choices)}"
        message = f"{key!r} is {shown(entry)}, which is not one of {', '.join(choices)}"
        report = self.report.tightened if near else self.report.warning
        report(code, message, entry.position, hint, self.step_name)

    def choice(self, node: MapNode | None, key: str, choices: type[E], default: E) -> E:
        entry = node.get(key) if node is not None else None
        if entry is None or entry.value is None:
            return default
        text = str(entry.value).lower()
        for choice in choices:
            if choice.value == text:
                return choice
        names = [c.value for c in choices]
        hint = did_you_mean(text, names) or f"write one of {', '.join(names)}"
        message = f"{key!r} must be one of {', '.join(names)}, not {shown(entry)}"
        self.error("ARC112", message, entry.position, hint)
        return default

    def error(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Report an error in the current step."""
        self.report.error(code, message, position, hint, self.step_name)

    def warning(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Report a warning in the current step."""
        self.report.warning(code, message, position, hint, self.step_name)

    def known_keys(self, node: MapNode, table: str, also: frozenset[str] = frozenset()) -> None:
        known = grammar.TABLES[table]
        for key in node.value:
            if key not in known and key not in also:
                unknown_key(self.report, key, node, table, known, self.step_name)


def unknown_key(
    report: Report, key: str, node: MapNode, table: str, known: Iterable[str], step: str = ""
) -> None:
    """Report an unknown key; an error if it seems to ask for something."""
    place, repair = node.key_position(key), repair_of(key, table, known)
    if repair and not report.allows(key) and not asks_nothing(key, node.value[key].value):
        message = f"key {key!r} is not known here, so what it asks for would not happen"
        report.tightened("ARC117", message, place, repair, step)
        return
    message = f"key {key!r} is not known here; it is ignored"
    hint = repair or ELSEWHERE.get(key) or did_you_mean(key, known) or "remove it"
    report.warning("ARC113", message, place, hint, step)


def shown(node: Node) -> str:
    """Format a value for a message."""
    if isinstance(node, (MapNode, ListNode)):
        return node.kind
    return shorten(repr(node.value), SHOWN_MAX)


def as_number(value: Any) -> int | float | None:
    """Return a value as a number, also if it is written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        text = str(value).strip()
        number = int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
