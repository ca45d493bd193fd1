"""Convert arguments of filters and methods to plain Python values."""

from __future__ import annotations

from typing import Any

from arcbook.template.access import MISSING
from arcbook.template.errors import TemplateError
from arcbook.template.operators import truth
from arcbook.template.values import TEXTS, data, kind_of


def integer(value: Any) -> int:
    """Return an argument that must be an integer.

    Raises:
        TemplateError: If it is not an integer.
    """
    value = data(value)
    if isinstance(value, int):
        return int(value)
    raise TemplateError(f"an integer is needed here, not {kind_of(value)}")


def optional_integer(value: Any) -> int | None:
    """Return an argument that may be an integer, or null."""
    return None if value is None or value is MISSING else integer(value)


def text(value: Any) -> str:
    """Return an argument that must be text.

    Raises:
        TemplateError: If it is not text.
    """
    value = data(value)
    if type(value) in TEXTS:
        return str.__str__(value)
    raise TemplateError(f"text is needed here, not {kind_of(value)}")


def truthy(value: Any) -> bool:
    """Return an argument as a boolean."""
    return truth(value)
