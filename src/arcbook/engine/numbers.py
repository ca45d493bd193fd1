"""Render templates as numbers and durations."""

from __future__ import annotations

from typing import Any

from arcbook.dsl.durations import SHOWN, seconds_of
from arcbook.engine.scope import ExecutionScope
from arcbook.template.errors import TemplateError
from arcbook.template.render import Template


def number(template: Template, scope: ExecutionScope, fallback: Any) -> Any:
    """Render a number.

    Raises:
        TemplateError: If the value is not a number.
    """
    value = template.render(scope)
    if value is None or value == "":
        return fallback
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        text = str(value).strip()
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise TemplateError(f"a number is needed here, not {value!r}") from None


def count(template: Template, scope: ExecutionScope, fallback: int) -> int:
    """Render a whole number of at least 1.

    Raises:
        TemplateError: If the value is not such a number.
    """
    value = number(template, scope, fallback)
    is_whole = isinstance(value, int) or value.is_integer()
    if not is_whole or value < 1:
        raise TemplateError(f"a whole number from 1 on is needed here, not {value!r}")
    return int(value)


def time_limit(template: Template, scope: ExecutionScope) -> Any:
    """Render a duration greater than zero, or null for no limit.

    Raises:
        TemplateError: If the value is not such a duration.
    """
    seconds = duration(template, scope, None)
    if seconds is not None and seconds <= 0:
        raise TemplateError(f"a duration of more than 0 is needed here, not {seconds!r}")
    return seconds


def duration(template: Template, scope: ExecutionScope, fallback: Any) -> Any:
    """Render a duration in seconds.

    Raises:
        TemplateError: If the value is not a duration.
    """
    value = template.render(scope)
    if value is None or value == "":
        return fallback
    seconds = seconds_of(value)
    if seconds is None or seconds < 0:
        raise TemplateError(f"a duration is needed here, not {value!r}: {SHOWN}")
    return seconds
