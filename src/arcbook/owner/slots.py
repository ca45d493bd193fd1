"""An execution in memory: how it is built from the store, and how it is written back."""

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
"""Events after which a state is saved; more of them if there are more steps in it."""

FINAL_SNAPSHOT_EVENTS: Final = 200
"""Length of a log from which the state is saved when the execution ends."""

CURRENT_SHOWN_MAX: Final = 5
"""Steps named in an execution's row."""

SNAPSHOT_VERSION: Final = 2
"""Form of saved states. One of another form is not read: the log says the same."""


class UnreadableStateError(DamagedError, ValueError):
    """A saved state is damaged, or of another version."""

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
        #: When the execution's row was written last.
        self.row_at = 0
        #: The last event that the execution's row knows, and when the last of all was.
        self.row_seq = 0
        self.event_at = 0
        self.timers: dict[str, int] = state.timers()
        self.timed = bool(self.timers)
        #: Why the execution cannot be gone on with, and can only be ended.
        self.broken: ErrorInfo | None = None


def is_time_to_save(slot: Slot) -> bool:
    """Return whether the next commit should save the state."""
    since = slot.state.seq - slot.snapshot_seq
    if slot.state.status.is_terminal:
        return slot.state.seq >= FINAL_SNAPSHOT_EVENTS and since > 0
    # A state with many steps in it is saved seldom: each of its events would cost all of it.
    return since >= max(SNAPSHOT_EVENTS, len(slot.state.runs) + len(slot.state.results))


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
    """Return the state that a stored execution is in.

    Raises:
        UnreadableStateError: its saved state cannot be read; the log may be.
        UnreadableEventError: its log cannot be read, or does not follow.
    """
    state = State(execution_id=execution_id)
    if stored.snapshot is not None:
        state = decode_state(stored.snapshot)
    for row in stored.events:
        follow(state, row)
    return state


def follow(state: State, row: EventRow) -> None:
    """Advance a state by a stored event.

    Raises:
        UnreadableEventError: it cannot be read, or does not follow.
    """
    recorded = Recorded(row.seq, row.at, decode(row.body))
    try:
        apply(state, recorded)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        said = f"{type(error).__name__}: {error}"
        raise UnreadableEventError(f"event {row.seq} does not follow: {said}") from error


def encode_state(state: State) -> bytes:
    """Return a state as it is stored."""
    return _ENCODER.encode(_Saved(SNAPSHOT_VERSION, state))


def decode_state(data: bytes) -> State:
    """Return a state that was stored.

    Raises:
        UnreadableStateError: it is damaged, or of another version.
    """
    try:
        version = _VERSION_DECODER.decode(data).version
        if version != SNAPSHOT_VERSION:
            raise UnreadableStateError(f"a saved state has the form {version}, not ours")
        return _DECODER.decode(data).state
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableStateError(f"a saved state cannot be read: {error}") from error


def result_rows(refs: Iterable[ResultRef]) -> list[ResultRow]:
    """Return values kept by reference as they are stored."""
    return [ResultRow(r.ref, _step_of(r.ref), r.bytes, r.sha256, r.store) for r in refs]


def _step_of(ref: str) -> str:
    return ref.split("/result/", 1)[-1].rpartition("/")[0]
