"""Format values with ``%``, ``format`` and time formats.

Formats are parsed here: fields of values, nested widths and ``*`` are not supported, and sizes
have limits. Only single values of known types are passed to Python.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.text import text_of
from arcbook.template.values import NUMBERS, TEXTS, data, kind_of

_PERCENT: Final = re.compile(
    r"%(?:\(([^()]*)\))?([#0\- +]*)(\d*)(?:\.(\d*))?[hlL]?([diouxXeEfFgGcrsa%])"
)
_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}!:]*)(?:!([rsa]))?(?::([^{}]*))?\}|[{}]")
_SPEC: Final = re.compile(
    r"(?:.?[<>=^])?[+\- ]?z?#?0?(\d*)(?:[,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%]?)", re.DOTALL
)
_TIME: Final = re.compile(r"%[-_0^#]?[a-zA-Z%]|[^%]")

_INTEGERS: Final = frozenset("diouxXc")
_FLOATS: Final = frozenset("eEfFgG")


def percent(budget: Budget, template: str, values: Any) -> str:
    """Return ``template % values``, with values from a tuple by position or a mapping by name.

    Raises:
        TemplateError: If the format does not match the values.
    """
    template = str.__str__(template)
    budget.characters(len(template))
    named = values if type(values) is dict else None
    row = list(values) if type(values) is tuple else [values]
    pieces: list[str] = []
    at = used = 0
    for match in _PERCENT.finditer(template):
        _no_percent(template[at : match.start()])
        pieces.append(template[at : match.start()])
        at = match.end()
        name, flags, width, precision, kind = match.groups()
        if kind == "%":
            pieces.append("%")
            continue
        _check_width(width, precision)
        if name is not None:
            if named is None:
                raise TemplateError("a format with names needs a mapping")
            value = named.get(name, MISSING)
        elif used < len(row):
            value = row[used]
            used += 1
        else:
            raise TemplateError("the format has more places than there are values")
        point = "" if precision is None else f".{precision}"
        spec = f"%{flags}{width}{point}"
        pieces.append(_percent_piece(budget, spec, kind, value))
    _no_percent(template[at:])
    if used < len(row) and type(values) not in (dict, list):
        raise TemplateError("there are more values than the format has places")
    text = "".join((*pieces, template[at:]))
    budget.characters(len(text))
    return text


def _no_percent(text: str) -> None:
    if "%" in text:
        raise TemplateError("the format has a % that begins nothing; write %% for the character")


def _check_width(*sizes: str | None) -> None:
    for size in sizes:
        if size and (len(size) > 6 or int(size) > limits.WIDTH_MAX):
            raise BudgetError(f"a width in a format passes {limits.WIDTH_MAX:,} characters")


def _percent_piece(budget: Budget, spec: str, kind: str, value: Any) -> str:
    value = data(value)
    if kind in _INTEGERS:
        if kind == "c" and type(value) in TEXTS and len(value) == 1:
            return (spec + "s") % str.__str__(value)
        return _written(spec, kind, _integer(value))
    if kind in _FLOATS:
        return _written(spec, kind, value if type(value) in NUMBERS else _fail(kind, value))
    text = text_of(budget, value)
    return (spec + "s") % (text if kind == "s" else repr(text) if type(value) in TEXTS else text)


def _integer(value: Any) -> int:
    if type(value) not in NUMBERS:
        return int(_fail("an integer", value))
    try:
        if type(value) is Decimal and value.adjusted() > limits.NUMBER_CHARACTERS_MAX:
            raise OverflowError
        return int(value)
    except (ArithmeticError, ValueError):
        raise TemplateError("the number has no integer part to be written") from None


def _written(spec: str, kind: str, value: Any) -> str:
    if kind == "c" and not _is_character(value):
        raise TemplateError("%c writes a character by its number; this is none")
    try:
        written: str = (spec + kind) % value
    except (ArithmeticError, ValueError, TypeError):
        raise TemplateError(f"a value cannot be written as %{kind}") from None
    return written


def _is_character(number: int) -> bool:
    return 0 <= number < 0xD800 or 0xDFFF < number < 0x110000


def _fail(kind: str, value: Any) -> Any:
    raise TemplateError(f"%{kind} writes a number, not {kind_of(value)}")


def braces(budget: Budget, template: str, values: list[Any], named: dict[str, Any]) -> str:
    """Return ``template.format(*values, **named)``.

    Raises:
        TemplateError: If format and values do not match, or a field is not just a name or position.
    """
    template = str.__str__(template)
    budget.characters(len(template))
    pieces: list[str] = []
    at = used = 0
    for match in _BRACES.finditer(template):
        pieces.append(template[at : match.start()])
        at = match.end()
        if match[0] in ("{{", "}}"):
            pieces.append(match[0][0])
            continue
        if len(match[0]) == 1:
            raise TemplateError("the format has a single brace; write it twice for the character")
        field, conversion, spec = match[1], match[2], match[3] or ""
        if field == "":
            field, used = str(used), used + 1
        pieces.append(_brace_piece(budget, _field(field, values, named), conversion, spec))
    text = "".join((*pieces, template[at:]))
    budget.characters(len(text))
    return text


def _field(field: str, values: list[Any], named: dict[str, Any]) -> Any:
    if field.isascii() and field.isdigit() and len(field) < 6:
        if int(field) < len(values):
            return values[int(field)]
    elif field in named:
        return named[field]
    raise TemplateError(f"the format's field {field!r} has no value; a field is a name or a place")


def _brace_piece(budget: Budget, value: Any, conversion: str | None, spec: str) -> str:
    match = _SPEC.fullmatch(spec)
    value = data(value)
    if match is None:
        raise TemplateError(f"the format {spec!r} is none")
    _check_width(match[1], match[2])
    is_number = type(value) in NUMBERS and type(value) is not bool and not conversion
    if match[3] == "c":
        if not (is_number and type(value) is int and _is_character(value)):
            raise TemplateError("'c' writes a character by its number; this is none")
    elif not is_number:
        text = text_of(budget, value)
        value = repr(text) if conversion in ("r", "a") and type(value) in TEXTS else text
    try:
        return format(value, spec)
    except (ArithmeticError, ValueError, TypeError):
        raise TemplateError(f"{kind_of(value)} cannot be written by the format {spec!r}") from None


def time_text(budget: Budget, value: Any, template: Any) -> str:
    """Format a date or time with the directives of ``strftime``.

    Raises:
        TemplateError: If the format has an unknown directive or is too long.
    """
    template = data(template)
    if type(template) not in TEXTS:
        raise TemplateError(f"the format of a time is text, not {kind_of(template)}")
    template = str.__str__(template)
    if len(template) > limits.FORMAT_CHARACTERS_MAX:
        raise BudgetError(f"a time format passes {limits.FORMAT_CHARACTERS_MAX:,} characters")
    if sum(len(piece) for piece in _TIME.findall(template)) != len(template) or "\0" in template:
        raise TemplateError("the time format has a directive that there is not")
    assert isinstance(value, (dt.date, dt.time))
    budget.spend(len(template))
    try:
        text = value.strftime(template)
    except ValueError:
        raise TemplateError("the time cannot be written by this format") from None
    budget.characters(len(text))
    return text
