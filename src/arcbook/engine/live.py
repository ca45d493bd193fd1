"""Where the tokens of an execution are, kept beside its state so that nobody looks for them.

It says nothing that the state does not say. It is not stored: it is made from the state
when it is first asked for, and :mod:`arcbook.engine.fold` keeps it up with each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from arcbook.engine.plan import Plan

if TYPE_CHECKING:
    from arcbook.engine.state import Run, State


class Live:
    """The steps with a token, those that were seen, and the loops that may go on."""

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
        #: How often each step is waiting, running, or failed without being caught.
        self._counts: dict[str, int] = {}
        #: Steps that were entered, or are out of reach.
        self._seen: set[str] = {*state.visits, *state.skipped}
        #: Those of them that the bits lack.
        self._new: list[str] = []
        self._plan: Plan | None = None
        #: The steps with a token, a bit for each, and the same as a number; both as they were
        #: when somebody last asked, but for the steps that have changed since.
        self._bits = bytearray()
        self._mask = 0
        self._changed: set[str] = set()
        self._seen_mask = 0
        #: For a step whose tokens wait, one of those with a token that it waits for.
        self.witness: dict[str, str] = {}
        #: Loops, by the keys of their visits, for which something has changed.
        self.moving: dict[str, None] = {}
        #: Visits that a cancellation may still wait for; none is there before it asks.
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
        """Note that a step has a token, or one more."""
        count = self._counts.get(step, 0)
        self._counts[step] = count + 1
        if not count:
            self._changed.add(step)

    def remove(self, step: str) -> None:
        """Note that a step has one token less."""
        count = self._counts.get(step, 0)
        if count > 1:
            self._counts[step] = count - 1
        elif count:
            del self._counts[step]
            self._changed.add(step)

    @property
    def is_one(self) -> bool:
        """Whether no more than one step has a token."""
        return len(self._counts) <= 1

    def is_at(self, step: str | None) -> bool:
        """Return whether a step has a token."""
        return step in self._counts

    def see(self, step: str) -> None:
        """Note that a step was entered or is out of reach."""
        if step not in self._seen:
            self._seen.add(step)
            self._new.append(step)

    def clear(self, state: State) -> None:
        """Forget what waited and ran: only failures are left."""
        self._changed.update(self._counts)
        self._counts.clear()
        self.witness.clear()
        self.moving.clear()
        for failure in state.failures:
            if not failure.recovered:
                self.add(failure.step)

    def mask(self, plan: Plan) -> int:
        """Return the steps with a token as bits, by their order in the playbook."""
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
        """Return the steps that were entered or are out of reach, as bits."""
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
        """Return whether a cancelled execution waits for a visit of its own.

        What has stopped stays so, because nothing begins any more: each visit is looked at
        until it has, and never again.
        """
        if self.stopping is None:
            self.stopping = list(runs.values())
        while self.stopping and not self.stopping[-1].is_busy:
            self.stopping.pop()
        return bool(self.stopping)


def _bits_of(plan: Plan, steps: Iterable[str]) -> int:
    found = bytearray((len(plan.steps) >> 3) + 1)
    for name in steps:
        step = plan.by_name.get(name)
        if step is not None:
            found[step.order >> 3] |= 1 << (step.order & 7)
    return int.from_bytes(found, "little")
