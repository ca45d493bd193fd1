"""The names that a template can read."""

from __future__ import annotations

import datetime as dt
from typing import Any

from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError


class Scope:
    """The names for one render, and its budget.

    Subclasses implement :meth:`lookup`. The scope also records the names that had no value
    where one was needed.
    """

    __slots__ = ("budget", "draws", "missing", "views")

    def __init__(self, budget: Budget | None = None) -> None:
        self.missing: list[str] | None = None
        self.budget = Budget() if budget is None else budget
        #: Number of random choices so far.
        self.draws = 0
        #: Views by name while a program runs, so that each builds its data once.
        self.views: dict[str, Any] | None = None

    def lookup(self, name: str) -> Any:
        """Return the value of a root name, or :data:`MISSING`."""
        raise NotImplementedError

    def now_at(self) -> dt.datetime:
        """Return the current time.

        Raises:
            TemplateError: If the scope has no clock.
        """
        raise TemplateError("there is no clock here")

    def seed(self) -> str:
        """Return the seed of random choices."""
        return ""

    def note_missing(self, name: str) -> None:
        """Record that ``name`` had no value where one was needed."""
        if self.missing is None:
            self.missing = []
        if name not in self.missing and len(self.missing) < MISSING_MAX:
            self.missing.append(name)

    def take_missing(self) -> list[str]:
        """Return the names recorded as missing, and clear them."""
        found, self.missing = self.missing, None
        return found or []


MISSING_MAX = 100
"""Maximum names recorded as missing in one render."""


class DictScope(Scope):
    """A scope over one mapping."""

    __slots__ = ("names",)

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = names

    def lookup(self, name: str) -> Any:
        return self.names.get(name, MISSING)
