"""All courses of a program that asks what to do next: depth first, without its states.

Each course runs the program from its beginning. It repeats the choices of the one before
it up to the last that has a further alternative, takes that, and from there on always the
first. Nothing is kept but one list of numbers, and every course is run once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class DivergedError(RuntimeError):
    """A program asked something else than before, with the same answers."""


class Choice(NamedTuple):
    """A question that was answered."""

    #: Which of the alternatives; 0 is the first.
    taken: int
    among: int
    label: str


class Choices:
    """Answers for one course."""

    def __init__(self, choices: Sequence[Choice] = ()) -> None:
        self._given = choices
        self.made: list[Choice] = []

    def choose(self, count: int, label: str) -> int:
        """Return which of some alternatives is taken.

        Raises:
            DivergedError: the program does not repeat itself.
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
