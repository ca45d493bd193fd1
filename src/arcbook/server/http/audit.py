"""The audit of changes: who requested what, recorded before the change, and its outcome."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final, Protocol

import msgspec
from starlette.requests import Request

from arcbook.clock import Clock
from arcbook.logs import events as logged
from arcbook.secrets.tokens import note_id
from arcbook.server.http.access import Caller, remote_of
from arcbook.server.http.errors import REFUSALS, ApiError, refusal_of
from arcbook.store.access import ChangeAudit, ChangeNote
from arcbook.store.api import StoreError

SUBJECT_CHARACTERS_MAX: Final = 500

FAULT: Final = 500

log = logging.getLogger(__name__)


class Asked(Protocol):
    """A call as the audit records it: caller, subject and origin."""

    request: Request
    subject: str

    @property
    def caller(self) -> Caller:
        """The caller."""


class Note:
    """The outcome of one change."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = FAULT


class Audit:
    """Records changes. A change that cannot be recorded is not made."""

    def __init__(self, store: ChangeAudit, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @contextlib.asynccontextmanager
    async def noted(self, action: str, call: Asked) -> AsyncIterator[Note]:
        """Record a call, run the change, and record its outcome.

        Raises:
            StoreError: the row cannot be written; the change is not made.
        """
        now = self._clock.now_us()
        row = ChangeNote(
            note_id=note_id(now),
            at=now,
            actor=call.caller.name,
            action=action,
            subject=call.subject[:SUBJECT_CHARACTERS_MAX],
            remote=remote_of(call.request.scope),
            tenant=call.caller.tenant,
            organization=call.caller.organization,
        )
        await self._store.put_note(row)
        note = Note()
        try:
            yield note
        except ApiError as error:
            note.status = error.status
            raise
        except REFUSALS as error:
            note.status = refusal_of(error).status
            raise
        finally:
            subject = call.subject[:SUBJECT_CHARACTERS_MAX]
            await self._end(msgspec.structs.replace(row, status=note.status, subject=subject))

    async def _end(self, row: ChangeNote) -> None:
        try:
            await self._store.put_note(row)
        except StoreError as error:
            # The row names the caller; only the outcome is missing.
            log.warning(logged.AUDIT_OPEN, {"action": row.action, "reason": error})
