"""The boundary of one execution: whatever is wrong with it ends it, and nothing else.

Deciding may fail, an event may hold what JSON cannot, a log may be damaged, a document may
be gone. None of that may stop the loop that drives the other executions, nor leave the
execution where nobody learns of it: it fails, with a reason.
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
from arcbook.owner.slots import Slot, UnreadableStateError, follow, rebuild
from arcbook.store.api import (
    CatalogEntry,
    EventLog,
    EventRow,
    ExecutionRow,
    UnstorableError,
    all_events,
)

ENGINE_FAULT: Final = "ENGINE_FAULT"
"""Code of an execution's error when it is not the playbook that went wrong."""

UNRECORDABLE: Final = "UNRECORDABLE"
"""Code of the error of an execution one of whose values no event or store can hold."""

REASON_MAX: Final = 1000
"""Characters of an unexpected error's text that a message quotes."""


class DecisionHungError(BaseException):
    """A decision went on for too long and was broken off.

    Nothing between the drive loop and what hangs may take it for an error of its own.
    """


class UnrecordableError(InvalidError):
    """A decision holds a value that an event cannot."""

    code = "unrecordable"


def fault_of(error: BaseException) -> ErrorInfo:
    """Return what went wrong with an execution's decision as the execution's error."""
    if isinstance(error, (UnrecordableError, UnstorableError)):
        return ErrorInfo(kind=ErrorKind.CONFIG, message=reason_of(error), code=UNRECORDABLE)
    if isinstance(error, DecisionHungError):
        return fault(f"deciding was broken off: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    return fault(f"deciding failed: {type(error).__name__}: {reason_of(error)}{where}")


def fault(message: str) -> ErrorInfo:
    """Return the error of an execution that cannot be gone on with, and not by its own doing."""
    message = f"{message}; this is a fault of Arcbook"
    return ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code=ENGINE_FAULT)


def reason_of(error: BaseException) -> str:
    """Return an error's text as any store and terminal can take it, and not too long."""
    text = str(error).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text if len(text) <= REASON_MAX else text[:REASON_MAX] + "..."


def event_rows(events: Iterable[Recorded]) -> list[EventRow]:
    """Return events as they are stored.

    Raises:
        UnrecordableError: one holds what JSON cannot.
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
    why = reason_of(error)
    if isinstance(error, UnicodeEncodeError):
        why = (
            "a text holds half of a surrogate pair, which is no character: replace it "
            "where it comes from"
        )
    at = f"step {step!r}: " if step else ""
    return UnrecordableError(f"{at}what follows cannot be recorded: {why}")


class StoredState(NamedTuple):
    """An execution's state as the store has it."""

    state: State
    #: The execution at a glance, which may be behind.
    row: ExecutionRow
    #: Why the log cannot be read to its end; empty if it can.
    unread: str = ""
    #: When the last event was that the load came upon; 0 if there is none after the snapshot.
    last_at: int = 0

    def noted(self, slot: Slot) -> Slot:
        """Note in a slot what the execution's row knows, and return it."""
        slot.row_seq, slot.event_at = self.row.seq, max(self.row.updated_at, self.last_at)
        return slot


async def stored_state(log: EventLog, execution_id: int) -> StoredState | None:
    """Return the state that an execution is in by its log, as far as that can be read.

    A saved state that cannot be read costs time and nothing else: the log says the same.
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
    unread = ""
    async for event in log:
        if not unread:
            try:
                follow(state, event)
            except UnreadableEventError as error:
                unread = str(error)
        state.seq = event.seq
    if unread:
        # What the log does not tell, the execution's row does.
        state.path, state.version, state.catalog_id = row.path, row.version, row.catalog_id
        state.status = Status(row.status)
        if state.parent is None and row.parent_execution_id:
            state.parent = Parent(execution_id=row.parent_execution_id, command_id="")
    return StoredState(state, row, unread)


def without_plan(state: State, reason: str) -> Slot:
    """Return an execution that can only be ended: there is nothing to go on by."""
    entry = CatalogEntry(
        catalog_id=state.catalog_id,
        path=state.path,
        version=state.version,
        kind="playbook",
        content="",
        sha256="",
    )
    slot = Slot(state, Planned(entry, _NOTHING))
    slot.broken = fault(f"the execution cannot be gone on with: {reason}")
    return slot


_NOTHING: Final = Plan(Playbook(name="", path="", steps=(), entry=""), KindTable())
