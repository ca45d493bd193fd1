"""Enumerate all courses of a program that makes choices, depth first, without saving states.

Each course runs the program from the start. It repeats the choices of the previous course up
to the last one with a further alternative, takes that alternative, and then always the first
one. Only one list of numbers is kept, and every course is run once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class DivergedError(RuntimeError):
    """A program made another choice than before, after the same choices."""


class Choice(NamedTuple):
    """A choice that was made."""

    #: The index of the chosen alternative.
    taken: int
    among: int
    label: str


class Choices:
    """The choices of one course."""

    def __init__(self, choices: Sequence[Choice] = ()) -> None:
        self._given = choices
        self.made: list[Choice] = []

    def choose(self, count: int, label: str) -> int:
        """Return which of some alternatives is taken.

        Raises:
            DivergedError: the program is not deterministic.
        """
        at = len(self.made)
        taken = 0
        if at < len(self._given):
            known = self._given[at]
            if (known.among, known.label) != (count, label):
                raise DivergedError(f"{known.label} was asked at {at} before, and {label} is now")
            taken = known.taken
        self.made.append(Choice(taken, count, label))
        return taken

    def next(self) -> list[Choice] | None:
        """Return how the next course begins; nothing, if this was the last."""
        choices = list(self.made)
        while choices and choices[-1].taken + 1 == choices[-1].among:
            choices.pop()
        if choices:
            choices[-1] = choices[-1]._replace(taken=choices[-1].taken + 1)
        return choices or None


def courses(run: Callable[[Choices], None]) -> Iterator[Choices]:
    """Run a program in every course; return after the last one."""
    begin: list[Choice] | None = []
    while begin is not None:
        choices = Choices(begin)
        run(choices)
        yield choices
        begin = choices.next()
