"""Predict the course of an acyclic graph from its outcomes, independently of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from arcbook.testing.exhaust.shapes import FIRES_ON, Route, Shape

Outcomes = Mapping[tuple[int, int, int], bool]
"""Success by step, visit and iteration (-1 outside loops)."""


class Expected(NamedTuple):
    """The predicted end of an execution."""

    status: str
    entered: frozenset[str]
    failed: frozenset[str]


def is_determined(shape: Shape) -> bool:
    """Return whether the outcomes determine the end, regardless of their order.

    They do not with a cycle, which may begin a visit before or after another token arrives;
    with a join that does not wait, which depends on the first arrival; and with a failing
    iteration, which prevents further ones from being issued.
    """
    return shape.is_acyclic and not shape.has_early_join and not shape.may_stop_midway


def expected(shape: Shape, outcomes: Outcomes) -> Expected:
    """Predict the end of an execution of a determined shape.

    The numbers of its steps are a topological order.
    """
    count = len(shape.routes)
    tokens: list[bool] = [step == 0 for step in range(count)]
    #: Steps that no token passes any more: they failed uncaught, or wait behind one that did.
    dead = [False] * count
    entered: set[int] = set()
    failed: set[int] = set()
    for step, route in enumerate(shape.routes):
        dead[step] = any(dead[i] and _leads(shape.routes[i], step) for i in range(step))
        if not tokens[step] or dead[step]:
            continue
        entered.add(step)
        passed = _outcome(shape, step, outcomes)
        successors = _taken(route, passed=passed)
        for to in successors:
            tokens[to] = True
        if not passed and not successors:
            failed.add(step)
            dead[step] = True
    return Expected("FAILED" if failed else "COMPLETED", _names(entered), _names(failed))


def _leads(route: Route, to: int) -> bool:
    return any(arrow.to == to for arrow in route.arrows)


def _outcome(shape: Shape, step: int, outcomes: Outcomes) -> bool:
    rounds = shape.loops[step]
    if rounds is None:
        return outcomes[step, 1, -1]
    done = [outcomes[step, 1, index] for index in range(rounds.items)]
    return all(done) or not rounds.stops


def _taken(route: Route, *, passed: bool) -> list[int]:
    firing = [arrow.to for arrow in route.arrows if passed in FIRES_ON[arrow.kind]]
    return firing if route.inclusive else firing[:1]


def _names(steps: set[int]) -> frozenset[str]:
    return frozenset(f"s{step}" for step in steps)
