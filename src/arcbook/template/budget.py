"""The budget of a render: what it may still spend, in units."""

from __future__ import annotations

from typing import NoReturn

from arcbook.template import limits
from arcbook.template.errors import BudgetError


class Budget:
    """Units that templates may still spend.

    Whatever takes time or memory is charged *before* it is done. Generated code takes its
    static cost off :attr:`left` itself, and calls :func:`exhausted` when that is below zero.
    """

    __slots__ = ("left", "limit", "missed")

    def __init__(self, limit: int = limits.UNITS_MAX) -> None:
        self.limit = limit
        self.left = limit
        #: Whether a missing value was computed with, for the note that it was missing.
        self.missed = False

    def spend(self, units: int) -> None:
        """Take units off.

        Raises:
            BudgetError: there are not so many left.
        """
        self.left -= units
        if self.left < 0:
            exhausted(self)

    def characters(self, count: int) -> None:
        """Take the cost of making ``count`` characters off."""
        self.left -= 1 + (count >> 4)
        if self.left < 0:
            exhausted(self)

    def slots(self, count: int) -> None:
        """Take the cost of making ``count`` slots of a list or mapping off."""
        self.left -= 1 + (count >> 3)
        if self.left < 0:
            exhausted(self)

    def renew(self) -> None:
        """Begin again with all units."""
        self.left = self.limit


def exhausted(budget: Budget) -> NoReturn:
    """Say that a budget is used up.

    Raises:
        BudgetError: always.
    """
    budget.left = 0
    raise BudgetError(f"the template needs more than {budget.limit:,} units of work")
