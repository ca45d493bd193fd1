"""An execution that ended, in plain data: what the corpus compares, wherever it ran."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.engine.state import State
from arcbook.engine.views import NeedsData, result_view
from arcbook.results.store import ResultStore
from arcbook.store.api import EventLog, all_events

STEP_LEVEL: Final = ("step.", "playbook.")
"""How the types of events begin that every run of a document has alike."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended, and what its steps yielded."""

    status: str
    error: str
    #: Steps that failed, but for those whose failure something took care of.
    failed: list[str]
    result: Any
    #: The data of each step's latest visit.
    steps: dict[str, Any]
    #: Types of events on the level of steps, with step and visit.
    sequence: list[tuple[str, str, int]]


async def ran_here(state: State, log: EventLog, kept: ResultStore) -> Ran:
    """Return how an execution of this process ended."""
    steps: dict[str, Any] = {}
    loaded: dict[str, Any] = {}
    for step, result in state.results.items():
        while step not in steps:
            try:
                steps[step] = result_view(result, loaded).plain()
            except NeedsData as need:
                loaded[need.ref.ref] = await kept.load(need.ref)
    sequence: list[tuple[str, str, int]] = []
    async for row in all_events(log, state.execution_id):
        if row.type.startswith(STEP_LEVEL):
            visit = msgspec.json.decode(row.body).get("visit", 0)
            sequence.append((row.type, row.step, visit))
    return Ran(
        status=str(state.status),
        error=state.error.message if state.error else "",
        failed=[failure.step for failure in state.failures if not failure.recovered],
        result=state.result,
        steps=steps,
        sequence=sequence,
    )
