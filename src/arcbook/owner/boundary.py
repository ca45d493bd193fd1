"""Fault isolation: an error in one execution fails that execution and no other.

A decision may raise, an event may hold a value that JSON cannot represent, a log may be
damaged, a playbook may be deleted. None of these may stop the drive loop or leave the
execution hanging: it fails with a reason.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from arcbook.dsl.kinds import KindTable
from arcbook.dsl.model import Playbook
from arcbook.engine.plan import Plan
from arcbook.engine.state import State, Status
from arcbook.errors import InvalidError
from arcbook.events.codec import UnreadableEventError, encode
from arcbook.events.types import Parent, Recorded
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.owner.plans import Planned
from arcbook.owner.slots import Slot, UnreadableStateError, apply_row, rebuild
from arcbook.store.api import (
    CatalogEntry,
    EventLog,
    EventRow,
    ExecutionRow,
    UnstorableError,
    all_events,
)

ENGINE_FAULT: Final = "ENGINE_FAULT"
"""Error code of an execution that failed through a bug in Arcbook, not in its playbook."""

UNRECORDABLE: Final = "UNRECORDABLE"
"""Error code of an execution with a value that no event or store can hold."""

REASON_MAX: Final = 1000
"""Characters of an unexpected error's text quoted in a message."""


class DecisionHungError(BaseException):
    """A decision ran for too long and was interrupted.

    Derives from BaseException, so that no code below the drive loop catches it.
    """


class UnrecordableError(InvalidError):
    """A decision contains a value that cannot be encoded in an event."""

    code = "unrecordable"


def fault_of(error: BaseException) -> ErrorInfo:
    """Convert an exception raised while deciding into the execution's error."""
    if isinstance(error, (UnrecordableError, UnstorableError)):
        return ErrorInfo(kind=ErrorKind.CONFIG, message=reason_of(error), code=UNRECORDABLE)
    if isinstance(error, DecisionHungError):
        return fault(f"deciding was interrupted: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    return fault(f"deciding failed: {type(error).__name__}: {reason_of(error)}{where}")


def fault(message: str) -> ErrorInfo:
    """Return the error of an execution that cannot continue through no fault of its playbook."""
    message = f"{message}; this is a bug in Arcbook"
    return ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code=ENGINE_FAULT)


def reason_of(error: BaseException) -> str:
    """Return an error's text, truncated and safe for any store and terminal."""
    text = str(error).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text if len(text) <= REASON_MAX else text[:REASON_MAX] + "..."


def event_rows(events: Iterable[Recorded]) -> list[EventRow]:
    """Encode events as rows of the event log.

    Raises:
        UnrecordableError: An event contains a value that JSON cannot represent.
    """
    rows: list[EventRow] = []
    for seq, at, event in events:
        step: str = getattr(event, "step", "")
        try:
            rows.append(EventRow(seq, at, event.type, step, encode(event)))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _unrecordable(step, error) from None
    return rows


def _unrecordable(step: str, error: Exception) -> UnrecordableError:
    reason = reason_of(error)
    if isinstance(error, UnicodeEncodeError):
        reason = (
            "a string contains half of a surrogate pair, which is not a valid character: "
            "replace it at its source"
        )
    at = f"step {step!r}: " if step else ""
    return UnrecordableError(f"{at}a value cannot be recorded: {reason}")


class StoredState(NamedTuple):
    """An execution's state as loaded from the store."""

    state: State
    #: The execution's summary row, which may lag behind its events.
    row: ExecutionRow
    #: Why the log cannot be read to its end; empty if it can be.
    read_error: str = ""
    #: Time of the last event after the snapshot; 0 if there is none.
    last_at: int = 0

    def annotate(self, slot: Slot) -> Slot:
        """Set the row's progress on a slot and return the slot."""
        slot.row_seq, slot.event_at = self.row.seq, max(self.row.updated_at, self.last_at)
        return slot


async def stored_state(log: EventLog, execution_id: int) -> StoredState | None:
    """Rebuild an execution's state from the store, as far as its log is readable.

    An unreadable snapshot only costs time: the log is replayed from its start instead.
    """
    stored = await log.load(execution_id)
    if stored is None:
        return None
    try:
        last_at = stored.events[-1].at if stored.events else 0
        return StoredState(rebuild(execution_id, stored), stored.row, last_at=last_at)
    except (UnreadableStateError, UnreadableEventError):
        return await _salvaged(stored.row, all_events(log, execution_id))


async def _salvaged(row: ExecutionRow, log: AsyncIterator[EventRow]) -> StoredState:
    state = State(execution_id=row.execution_id)
    read_error = ""
    async for event in log:
        if not read_error:
            try:
                apply_row(state, event)
            except UnreadableEventError as error:
                read_error = str(error)
        state.seq = event.seq
    if read_error:
        # Take from the summary row what the unreadable log does not provide.
        state.path, state.version, state.catalog_id = row.path, row.version, row.catalog_id
        state.status = Status(row.status)
        if state.parent is None and row.parent_execution_id:
            state.parent = Parent(execution_id=row.parent_execution_id, command_id="")
    return StoredState(state, row, read_error)


def slot_without_plan(state: State, reason: str) -> Slot:
    """Return a slot for an execution that cannot continue and can only be ended."""
    entry = CatalogEntry(
        catalog_id=state.catalog_id,
        path=state.path,
        version=state.version,
        kind="playbook",
        content="",
        sha256="",
    )
    slot = Slot(state, Planned(entry, _EMPTY_PLAN))
    slot.broken = fault(f"the execution cannot continue: {reason}")
    return slot


_EMPTY_PLAN: Final = Plan(Playbook(name="", path="", steps=(), entry=""), KindTable())
