"""Executions in memory: rebuilding them from the store and encoding them for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from arcbook.engine.fold import apply
from arcbook.engine.plan import Plan
from arcbook.engine.state import State
from arcbook.errors import DamagedError
from arcbook.events.codec import UnreadableEventError, decode
from arcbook.events.types import Recorded, ResultRef
from arcbook.outcome import ErrorInfo
from arcbook.owner.plans import Planned
from arcbook.store.api import EventRow, ExecutionRow, ResultRow, Stored

SNAPSHOT_EVENTS: Final = 1000
"""Events between two snapshots; more for a state with more steps in it."""

FINAL_SNAPSHOT_EVENTS: Final = 200
"""Minimum length of a log for a snapshot when the execution ends."""

CURRENT_STEPS_MAX: Final = 5
"""Steps named in an execution's row."""

SNAPSHOT_VERSION: Final = 2
"""Version of the snapshot format. Other versions are ignored and the log is replayed."""


class UnreadableStateError(DamagedError, ValueError):
    """A snapshot is damaged or has another format version."""

    code = "unreadable_state"


class _Saved(msgspec.Struct, frozen=True):
    version: int
    state: State


class _Version(msgspec.Struct, frozen=True):
    version: int = 0


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[_Saved]] = msgspec.json.Decoder(_Saved)
_VERSION_DECODER: Final[msgspec.json.Decoder[_Version]] = msgspec.json.Decoder(_Version)


class Slot:
    """An execution in memory."""

    __slots__ = (
        "broken",
        "event_at",
        "loaded",
        "plan",
        "planned",
        "row_at",
        "row_seq",
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
        #: When the summary row was last written.
        self.row_at = 0
        #: The last event that the summary row reflects, and the time of the very last event.
        self.row_seq = 0
        self.event_at = 0
        self.timers: dict[str, int] = state.timers()
        self.timed = bool(self.timers)
        #: Why the execution cannot continue and can only be ended; None if it can.
        self.broken: ErrorInfo | None = None


def is_time_to_save(slot: Slot) -> bool:
    """Return whether the next commit should write a snapshot."""
    unsaved = slot.state.seq - slot.snapshot_seq
    if slot.state.status.is_terminal:
        return slot.state.seq >= FINAL_SNAPSHOT_EVENTS and unsaved > 0
    # Save a large state less often, so that the cost per event stays bounded.
    return unsaved >= max(SNAPSHOT_EVENTS, len(slot.state.runs) + len(slot.state.results))


def row_of(state: State, at: int) -> ExecutionRow:
    """Return an execution's summary row."""
    current = list(dict.fromkeys(run.step for run in state.runs.values()))[:CURRENT_STEPS_MAX]
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
    """Rebuild a stored execution's state from its snapshot and the events after it.

    Raises:
        UnreadableStateError: The snapshot cannot be read; the log may still be readable.
        UnreadableEventError: An event cannot be read or does not apply to the state.
    """
    state = State(execution_id=execution_id)
    if stored.snapshot is not None:
        state = decode_state(stored.snapshot)
    for row in stored.events:
        apply_row(state, row)
    return state


def apply_row(state: State, row: EventRow) -> None:
    """Apply a stored event to a state.

    Raises:
        UnreadableEventError: The event cannot be read or does not apply to the state.
    """
    recorded = Recorded(row.seq, row.at, decode(row.body))
    try:
        apply(state, recorded)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise UnreadableEventError(f"event {row.seq} does not apply: {cause}") from error


def encode_state(state: State) -> bytes:
    """Encode a state as a snapshot."""
    return _ENCODER.encode(_Saved(SNAPSHOT_VERSION, state))


def decode_state(data: bytes) -> State:
    """Decode a snapshot.

    Raises:
        UnreadableStateError: It is damaged or has another format version.
    """
    try:
        version = _VERSION_DECODER.decode(data).version
        if version != SNAPSHOT_VERSION:
            raise UnreadableStateError(
                f"the snapshot has format version {version}; {SNAPSHOT_VERSION} is supported"
            )
        return _DECODER.decode(data).state
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableStateError(f"the snapshot cannot be read: {error}") from error


def result_rows(refs: Iterable[ResultRef]) -> list[ResultRow]:
    """Convert references to rows of the store."""
    return [ResultRow(r.ref, _step_of(r.ref), r.bytes, r.sha256, r.store) for r in refs]


def _step_of(ref: str) -> str:
    return ref.split("/result/", 1)[-1].rpartition("/")[0]
