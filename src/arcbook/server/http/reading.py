"""Reading executions off the store: only what is committed, whoever owns them."""

from __future__ import annotations

from typing import Any

from arcbook.engine.fold import apply
from arcbook.engine.state import State
from arcbook.engine.views import NeedsData, result_view
from arcbook.events.codec import decode
from arcbook.events.types import Recorded, StepEnter
from arcbook.owner.boundary import stored_state
from arcbook.owner.drive import ExecutionMissingError
from arcbook.server.core import Server
from arcbook.store.api import ExecutionRow, all_events


class Reading:
    """Executions, as the store has them."""

    def __init__(self, server: Server) -> None:
        self._store = server.store
        self._results = server.results

    async def row(self, execution_id: int) -> ExecutionRow:
        """Return an execution at a glance.

        Raises:
            ExecutionMissingError: there is none.
        """
        row = await self._store.execution(execution_id)
        if row is None:
            raise _missing(execution_id)
        return row

    async def state(self, execution_id: int) -> State:
        """Return an execution's state.

        Raises:
            ExecutionMissingError: there is none.
        """
        found = await stored_state(self._store, execution_id)
        if found is None:
            raise _missing(execution_id)
        return found.state

    async def result(self, state: State) -> Any:
        """Return a playbook's result, fetched if it is kept by reference.

        Raises:
            ResultMissingError: it is gone.
        """
        if state.result_ref is not None:
            return await self._results.load(state.result_ref)
        return state.result

    async def step_data(self, state: State, step: str) -> Any:
        """Return the data of a step's latest visit.

        Raises:
            KeyError: it has none.
            ResultMissingError: it is gone.
        """
        loaded: dict[str, Any] = {}
        found = state.results[step]
        while True:
            try:
                return result_view(found, loaded).plain()
            except NeedsData as need:
                loaded[need.ref.ref] = await self._results.load(need.ref)

    async def state_at(self, execution_id: int, seq: int | None) -> State:
        """Return the state that an execution was in after an event; the present one by default.

        Raises:
            ExecutionMissingError: there is none.
        """
        if seq is None:
            return await self.state(execution_id)
        state = State(execution_id=execution_id)
        async for row in all_events(self._store, execution_id):
            if row.seq > seq:
                break
            apply(state, Recorded(row.seq, row.at, decode(row.body)))
        if not state.seq:
            raise _missing(execution_id)
        return state

    async def state_before(self, execution_id: int, step: str) -> State | None:
        """Return the state in which an execution last entered a step; nothing if it never did."""
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


def _missing(execution_id: int) -> ExecutionMissingError:
    return ExecutionMissingError(f"there is no execution {execution_id}")
