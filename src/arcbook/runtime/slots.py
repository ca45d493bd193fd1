"""An execution in memory: how it is built from the store, and how it is written back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec

from arcbook.engine.fold import fold
from arcbook.engine.plan import Plan
from arcbook.engine.state import State
from arcbook.events.codec import decode
from arcbook.events.types import Recorded
from arcbook.runtime.plans import Planned
from arcbook.store.api import ExecutionRow, Stored

SNAPSHOT_EVENTS: Final = 1000
"""Events after which a state is saved."""

FINAL_SNAPSHOT_EVENTS: Final = 200
"""Length of a log from which the state is saved when the execution ends."""

CURRENT_SHOWN_MAX: Final = 5
"""Steps named in an execution's row."""

_STATE_ENCODER: Final = msgspec.json.Encoder()
_STATE_DECODER: Final[msgspec.json.Decoder[State]] = msgspec.json.Decoder(State)


class Slot:
    """An execution in memory."""

    __slots__ = (
        "loaded",
        "plan",
        "planned",
        "row_at",
        "snapshot_seq",
        "state",
        "timed",
        "timers",
    )

    def __init__(self, state: State, planned: Planned) -> None:
        self.state = state
        self.planned = planned
        self.plan: Plan = planned.plan
        self.loaded: OrderedDict[str, Any] = OrderedDict()
        self.snapshot_seq = state.seq
        #: When the execution's row was written last.
        self.row_at = 0
        self.timers: dict[str, int] = state.timers()
        self.timed = bool(self.timers)


def is_time_to_save(slot: Slot) -> bool:
    """Return whether the next commit should save the state."""
    since = slot.state.seq - slot.snapshot_seq
    if slot.state.status.is_terminal:
        return slot.state.seq >= FINAL_SNAPSHOT_EVENTS and since > 0
    return since >= SNAPSHOT_EVENTS


def row_of(state: State, at: int) -> ExecutionRow:
    """Return an execution at a glance."""
    current = list(dict.fromkeys(run.step for run in state.runs.values()))[:CURRENT_SHOWN_MAX]
    return ExecutionRow(
        execution_id=state.execution_id,
        path=state.path,
        version=state.version,
        catalog_id=state.catalog_id,
        status=str(state.status),
        seq=state.seq,
        parent_execution_id=state.parent.execution_id if state.parent else 0,
        started_at=state.started_at,
        updated_at=at,
        ended_at=state.ended_at,
        current=", ".join(current),
        error=state.error.message if state.error else "",
        labels=state.labels,
    )


def rebuild(execution_id: int, stored: Stored) -> State:
    """Return the state that a stored execution is in."""
    if stored.snapshot is None:
        state = State(execution_id=execution_id)
    else:
        state = _STATE_DECODER.decode(stored.snapshot)
    return fold(state, (Recorded(row.seq, row.at, decode(row.body)) for row in stored.events))


def encode_state(state: State) -> bytes:
    """Return a state as it is stored."""
    return _STATE_ENCODER.encode(state)
