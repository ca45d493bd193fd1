"""Running a program, and saying what went wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.template.access import MISSING, attribute
from arcbook.template.errors import TemplateError
from arcbook.template.names import Names
from arcbook.template.scope import Scope

Program = Callable[[Scope], Any]

_FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What Python may raise where a value is not what a function of this package foresaw."""


def located(error: TemplateError, source: str) -> TemplateError:
    """Add the text of its template to an error that has none."""
    if not error.template:
        error.template = TemplateError("", source).template
    return error


def perform(program: Program, scope: Scope, source: str, names: Names) -> Any:
    """Run a program.

    Raises:
        TemplateError: it has no value, or used up its budget.
    """
    scope.views = {}
    try:
        return program(scope)
    except TemplateError as error:
        if "a missing value" in error.reason:
            error.reason += _missing(scope, names)
        raise located(error, source) from None
    except _FAULTS as error:
        raise TemplateError(f"{type(error).__name__}: {error}"[:200], source) from None
    finally:
        scope.views = None


def _missing(scope: Scope, names: Names) -> str:
    """Return which of the names of a template have no value."""
    found: list[str] = []
    for path in sorted(names):
        value = scope.lookup(path[0])
        for key in path[1:]:
            value = attribute(value, key)
        if value is MISSING:
            found.append(repr(".".join(path)))
    return f" ({', '.join(found[:3])} has no value)" if found else ""
