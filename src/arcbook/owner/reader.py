"""Read executions from the store: only committed state, whichever server owns them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from arcbook.engine.fold import apply
from arcbook.engine.state import State
from arcbook.engine.views import NeedsData, result_view
from arcbook.events.codec import decode
from arcbook.events.types import Recorded, StepEnter
from arcbook.owner.boundary import stored_state
from arcbook.owner.drive import ExecutionMissingError
from arcbook.results.store import ResultStore
from arcbook.store.api import EventLog, ExecutionRow, all_events


class ExecutionReader:
    """The executions in a store.

    Args:
        store: The store.
        results: The values kept by reference.
        place: Where these executions are, for the error about a missing one.
    """

    def __init__(self, store: EventLog, results: ResultStore, place: str = "") -> None:
        self._store = store
        self._results = results
        self._place = place

    async def row(self, execution_id: int) -> ExecutionRow:
        """Return the summary row of an execution.

        Raises:
            ExecutionMissingError: the execution does not exist.
        """
        row = await self._store.execution(execution_id)
        if row is None:
            raise self._missing(execution_id)
        return row

    async def state(self, execution_id: int) -> State:
        """Return an execution's state.

        Raises:
            ExecutionMissingError: the execution does not exist.
        """
        stored = await stored_state(self._store, execution_id)
        if stored is None:
            raise self._missing(execution_id)
        return stored.state

    async def events(self, execution_id: int) -> AsyncIterator[Recorded]:
        """Yield an execution's events in order."""
        async for row in all_events(self._store, execution_id):
            yield Recorded(row.seq, row.at, decode(row.body))

    async def result(self, state: State) -> Any:
        """Return a playbook's result; fetch it if it is kept by reference.

        Raises:
            ResultMissingError: the value no longer exists.
        """
        if state.result_ref is not None:
            return await self._results.load(state.result_ref)
        return state.result

    async def step_data(self, state: State, step: str) -> Any:
        """Return the data of a step's latest visit.

        Raises:
            KeyError: the step has no result.
            ResultMissingError: the value no longer exists.
        """
        loaded: dict[str, Any] = {}
        view = state.results[step]
        while True:
            try:
                return result_view(view, loaded).plain()
            except NeedsData as need:
                loaded[need.ref.ref] = await self._results.load(need.ref)

    async def state_at(self, execution_id: int, seq: int | None) -> State:
        """Return the state of an execution after an event; the current state by default.

        Raises:
            ExecutionMissingError: the execution does not exist.
        """
        if seq is None:
            return await self.state(execution_id)
        state = State(execution_id=execution_id)
        async for row in all_events(self._store, execution_id):
            if row.seq > seq:
                break
            apply(state, Recorded(row.seq, row.at, decode(row.body)))
        if not state.seq:
            raise self._missing(execution_id)
        return state

    async def state_before(self, execution_id: int, step: str) -> State | None:
        """Return the state in which an execution last entered a step; None if it never did."""
        last = 0
        async for row in all_events(self._store, execution_id, types=["step.enter"], step=step):
            last = row.seq
        if not last:
            return None
        state = State(execution_id=execution_id)
        async for row in all_events(self._store, execution_id):
            event = decode(row.body)
            if row.seq == last and isinstance(event, StepEnter):
                break
            apply(state, Recorded(row.seq, row.at, event))
        return state

    def _missing(self, execution_id: int) -> ExecutionMissingError:
        return ExecutionMissingError(f"there is no execution {execution_id}{self._place}")
