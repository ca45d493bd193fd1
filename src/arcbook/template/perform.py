"""Run a program, and report its errors."""

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
"""Exceptions that Python may raise for values that this package's functions do not expect."""


def located(error: TemplateError, source: str) -> TemplateError:
    """Add the template's text to an error that lacks it."""
    if not error.template:
        error.template = TemplateError("", source).template
    return error


def perform(program: Program, scope: Scope, source: str, names: Names) -> Any:
    """Run a program.

    Raises:
        TemplateError: If it has no value, or exceeds its budget.
    """
    scope.views = {}
    try:
        found = program(scope)
    except TemplateError as error:
        if "a missing value" in error.reason:
            error.reason += _missing(scope, names)
        raise located(error, source) from None
    except _FAULTS as error:
        raise TemplateError(f"{type(error).__name__}: {error}"[:200], source) from None
    finally:
        scope.views = None
    if scope.budget.missed:
        scope.budget.missed = False
        for name in _lost(scope, names):
            scope.note_missing(name)
    return found


_MAY_LACK: Final = frozenset({"error", "event", "iter", "loop", "output"})
"""Names of which parts come and go, so that guards ask for them as they are."""


def _lost(scope: Scope, names: Names) -> list[str]:
    """Return the names of a template that lead into something that is there, and get lost.

    Where the root of a name is missing it may be a step that has not run, and what lies
    below null is null.
    """
    found: list[str] = []
    for path in sorted(names):
        value = MISSING if path[0] in _MAY_LACK else scope.lookup(path[0])
        for key in path[1:]:
            below = attribute(value, key)
            if below is MISSING and value is not MISSING and value is not None:
                found.append(".".join(path))
            value = below
    return found


def _missing(scope: Scope, names: Names) -> str:
    """Return the names of a template that have no value, for a message."""
    found: list[str] = []
    for path in sorted(names):
        value = scope.lookup(path[0])
        for key in path[1:]:
            value = attribute(value, key)
        if value is MISSING:
            found.append(repr(".".join(path)))
    return f" ({', '.join(found[:3])} has no value)" if found else ""
