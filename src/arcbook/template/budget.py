"""The budget of a render, in units."""

from __future__ import annotations

from typing import NoReturn

from arcbook.template import limits
from arcbook.template.errors import BudgetError


class Budget:
    """The units that templates may still spend.

    Operations that take time or memory are charged *before* they run. Generated code subtracts
    its static cost from :attr:`left` itself, and calls :func:`exhausted` if that is negative.
    """

    __slots__ = ("left", "limit", "missed")

    def __init__(self, limit: int = limits.UNITS_MAX) -> None:
        self.limit = limit
        self.left = limit
        #: Whether a missing value was used in a computation, so that a warning is recorded.
        self.missed = False

    def spend(self, units: int) -> None:
        """Spend units.

        Raises:
            BudgetError: If not enough units are left.
        """
        self.left -= units
        if self.left < 0:
            exhausted(self)

    def characters(self, count: int) -> None:
        """Spend the cost of creating ``count`` characters: one unit for every 16."""
        self.left -= 1 + (count >> 4)
        if self.left < 0:
            exhausted(self)

    def slots(self, count: int) -> None:
        """Spend the cost of creating ``count`` slots of a list or mapping: one unit for every 8."""
        self.left -= 1 + (count >> 3)
        if self.left < 0:
            exhausted(self)


def exhausted(budget: Budget) -> NoReturn:
    """Raise the error for an exhausted budget.

    Raises:
        BudgetError: Always.
    """
    budget.left = 0
    raise BudgetError(f"the template needs more than {budget.limit:,} units of work")
