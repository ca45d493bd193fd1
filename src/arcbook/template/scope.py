"""Where the names of a template come from."""

from __future__ import annotations

import datetime as dt
from typing import Any

from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError


class Scope:
    """Names for one render, and what the render may spend.

    Subclasses answer :meth:`lookup`. The scope also collects the names that were missing
    where a value was needed.
    """

    __slots__ = ("budget", "draws", "missing", "views")

    def __init__(self, budget: Budget | None = None) -> None:
        self.missing: list[str] | None = None
        self.budget = Budget() if budget is None else budget
        #: Choices made by chance so far.
        self.draws = 0
        #: Views that were looked up, by name, while a program runs: each makes its data once.
        self.views: dict[str, Any] | None = None

    def lookup(self, name: str) -> Any:
        """Return the value of a root name, or :data:`MISSING`."""
        raise NotImplementedError

    def now_at(self) -> dt.datetime:
        """Return the present time.

        Raises:
            TemplateError: there is none here.
        """
        raise TemplateError("there is no clock here")

    def seed(self) -> str:
        """Return what decides the choices by chance."""
        return ""

    def note_missing(self, name: str) -> None:
        """Record that a value was needed and ``name`` had none."""
        if self.missing is None:
            self.missing = []
        if name not in self.missing and len(self.missing) < MISSING_MAX:
            self.missing.append(name)

    def take_missing(self) -> list[str]:
        """Return the names noted as missing, and forget them."""
        found, self.missing = self.missing, None
        return found or []


MISSING_MAX = 100
"""Names that are noted as missing in one render."""


class DictScope(Scope):
    """A scope over one mapping."""

    __slots__ = ("names",)

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = names

    def lookup(self, name: str) -> Any:
        return self.names.get(name, MISSING)
