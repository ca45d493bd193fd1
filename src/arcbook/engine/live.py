"""An index of the tokens of an execution, so that finding them needs no scan.

Derived from the state and never stored: built on first use, then kept up to date by
:mod:`arcbook.engine.fold` with each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from arcbook.engine.plan import Plan

if TYPE_CHECKING:
    from arcbook.engine.state import Run, State


class Live:
    """The steps with a token, the steps seen so far, and the loops that may advance."""

    __slots__ = (
        "_bits",
        "_changed",
        "_counts",
        "_mask",
        "_new",
        "_plan",
        "_seen",
        "_seen_mask",
        "moving",
        "stopping",
        "witness",
    )

    def __init__(self, state: State) -> None:
        #: Tokens per step: waiting, running, or failed without being caught.
        self._counts: dict[str, int] = {}
        #: Steps that were entered or have become unreachable.
        self._seen: set[str] = {*state.visits, *state.skipped}
        #: Those not yet in ``_seen_mask``.
        self._new: list[str] = []
        self._plan: Plan | None = None
        #: One bit per step with a token, as bytes and as a number. Both are updated with
        #: the steps in ``_changed`` when the mask is read.
        self._bits = bytearray()
        self._mask = 0
        self._changed: set[str] = set()
        self._seen_mask = 0
        #: For each blocked step, one step with a token that blocks it.
        self.witness: dict[str, str] = {}
        #: Keys of the visits whose loops have changed.
        self.moving: dict[str, None] = {}
        #: Visits that a cancellation may still wait for; None until it first asks.
        self.stopping: list[Run] | None = None
        for run in state.runs.values():
            self.add(run.step)
        for name in state.waiting:
            self.add(name)
        for failure in state.failures:
            if not failure.recovered:
                self.add(failure.step)
        self.moving.update((key, None) for key, run in state.runs.items() if run.loop is not None)

    def add(self, step: str) -> None:
        """Add a token to a step."""
        count = self._counts.get(step, 0)
        self._counts[step] = count + 1
        if not count:
            self._changed.add(step)

    def remove(self, step: str) -> None:
        """Remove a token from a step."""
        count = self._counts.get(step, 0)
        if count > 1:
            self._counts[step] = count - 1
        elif count:
            del self._counts[step]
            self._changed.add(step)

    @property
    def is_one(self) -> bool:
        """Whether at most one step has a token."""
        return len(self._counts) <= 1

    def is_at(self, step: str | None) -> bool:
        """Return whether a step has a token."""
        return step in self._counts

    def see(self, step: str) -> None:
        """Record that a step was entered or has become unreachable."""
        if step not in self._seen:
            self._seen.add(step)
            self._new.append(step)

    def clear(self, state: State) -> None:
        """Drop all tokens except those of uncaught failures."""
        self._changed.update(self._counts)
        self._counts.clear()
        self.witness.clear()
        self.moving.clear()
        for failure in state.failures:
            if not failure.recovered:
                self.add(failure.step)

    def mask(self, plan: Plan) -> int:
        """Return the steps with a token, as bits in the playbook's order."""
        if self._plan is not plan:
            self._bind(plan)
        if self._changed:
            self._note_changes(plan)
        return self._mask

    def _note_changes(self, plan: Plan) -> None:
        for name in self._changed:
            step = plan.by_name.get(name)
            if step is None:
                continue
            bit = 1 << (step.order & 7)
            if name in self._counts:
                self._bits[step.order >> 3] |= bit
            else:
                self._bits[step.order >> 3] &= ~bit
        self._changed.clear()
        self._mask = int.from_bytes(self._bits, "little")

    def seen(self, plan: Plan) -> int:
        """Return the steps that were entered or have become unreachable, as bits."""
        if self._plan is not plan:
            self._bind(plan)
        if self._new:
            self._seen_mask |= _bits_of(plan, self._new)
            self._new.clear()
        return self._seen_mask

    def _bind(self, plan: Plan) -> None:
        self._plan = plan
        self._bits = bytearray((len(plan.steps) >> 3) + 1)
        self._mask = 0
        self._changed = set(self._counts)
        self._seen_mask = 0
        self._new = list(self._seen)

    def still_stopping(self, runs: Mapping[str, Run]) -> bool:
        """Return whether a cancelled execution still waits for one of its visits.

        No visit starts after a cancellation, so each is dropped once it has stopped.
        """
        if self.stopping is None:
            self.stopping = list(runs.values())
        while self.stopping and not self.stopping[-1].is_busy:
            self.stopping.pop()
        return bool(self.stopping)


def _bits_of(plan: Plan, steps: Iterable[str]) -> int:
    bits = bytearray((len(plan.steps) >> 3) + 1)
    for name in steps:
        step = plan.by_name.get(name)
        if step is not None:
            bits[step.order >> 3] |= 1 << (step.order & 7)
    return int.from_bytes(bits, "little")
