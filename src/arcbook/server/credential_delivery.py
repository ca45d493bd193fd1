"""Handing out credentials: to a worker that performs what names them, and to nobody else."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final, Protocol

import msgspec

from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.inputs import Settle
from arcbook.logs import events as logged
from arcbook.owner.commands import CommandBook
from arcbook.owner.drive import Drive, ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import Planned, PlaybookMissingError
from arcbook.owner.slots import Slot
from arcbook.performer.aliases import Aliases, aliases_of
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.credentials import ALIAS_CHARACTERS_MAX, WalletStore
from arcbook.secrets.delivery import Delivery, deliver
from arcbook.secrets.fields import secret_fields
from arcbook.secrets.taint import MARK_BYTES, proofs, proves
from arcbook.store.secret_audit import SecretNote
from arcbook.wire.payload import CommandPayload, payload_of
from arcbook.wire.protocol import CredentialRequest

DOCUMENTS_MAX: Final = 1000
"""Documents whose names of credentials are remembered."""

PROVING: Final = "the server, to look whether a mark is of it"
"""Who opens a credential of which a mark is said to be, for the audit."""

INTERNAL_CREDENTIAL: Final = "arcbook_internal"
"""Alias of the token of ``/api/internal``; only playbooks ``system/*`` get it."""

log = logging.getLogger(__name__)


class Credentials(Protocol):
    """Opens stored credentials, and notes who got which."""

    async def credential(self, alias: str, execution_id: int, *, who: str = "") -> Credential:
        """Return a credential, opened.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """


class WithheldError(CredentialError):
    """The asker may not have it."""

    code = "credential_withheld"


class HandingOut:
    """Decides who gets a credential, for executions that a server owns.

    Args:
        drive: drives them.
        owner: knows who holds which of their commands.
        rows: the credentials as they are stored, and the audit.
        credentials: opens them.
    """

    def __init__(
        self,
        drive: Drive,
        owner: CommandBook,
        rows: WalletStore,
        credentials: Credentials,
    ) -> None:
        self._drive = drive
        self._owner = owner
        self._rows = rows
        self._clock = drive.clock
        self._credentials = credentials
        self._documents: OrderedDict[int, Aliases] = OrderedDict()

    async def sealed(self, request: CredentialRequest) -> Delivery:
        """Return a credential, sealed for the asker alone; the audit says who that was.

        Raises:
            CredentialError: there is none, it cannot be opened, or the asker may not have it.
            SealError: the asker's public key is none.
            LostOwnershipError: the execution went to another server.
            StoreError: the store does not answer.
        """
        reason = await self._reason(request)
        alias, execution_id = request.alias, request.execution_id
        who = request.who or request.worker
        if reason:
            log.warning(logged.CREDENTIAL_REFUSED, {"who": who, "alias": alias, "reason": reason})
            await self._rows.note_secret(
                SecretNote(
                    at=self._clock.now_us(),
                    who=who,
                    action="resolve",
                    alias=alias[:ALIAS_CHARACTERS_MAX].replace("\x00", "\ufffd"),
                    execution_id=execution_id,
                    outcome="refused",
                )
            )
            raise WithheldError(alias, f"is refused: {reason}")
        found = await self._credentials.credential(alias, execution_id, who=who)
        return deliver(msgspec.json.encode(found), request.public, request.bound)

    async def _reason(self, request: CredentialRequest) -> str:
        """Return why the asker may not have it, if so."""
        slot = await self._slot(request.execution_id)
        works = self._held(slot, request.worker) if slot is not None else []
        if slot is None or not works:
            return f"worker {request.worker} performs nothing of execution {request.execution_id}"
        row = await self._rows.credential(request.alias)
        labels = slot.state.labels
        if row is not None and row.tenant not in ("", labels.get("tenant", "")):
            return "it is another tenant's"
        if row is not None and row.organization not in ("", labels.get("organization", "")):
            return "it is another organization's"
        if request.alias == INTERNAL_CREDENTIAL and not request.is_own:
            return "it is for workers that entered with the servers' own token"
        if self._named(slot.planned).names(request.alias, works):
            return ""
        if await self._is_in_data(request, works):
            return ""
        return f"the document {slot.state.path!r} does not name it"

    async def _slot(self, execution_id: int) -> Slot | None:
        """Return an execution, with what is out of it as the store has it."""
        try:
            if execution_id not in self._drive.slots:
                await self._drive.ask(execution_id, Settle())
        except (ExecutionMissingError, InvalidPlaybookError, PlaybookMissingError):
            return None
        found = self._drive.slots.get(execution_id)
        if found is None:  # one that has ended is kept in memory by nobody
            found = await self._drive.load(execution_id)
        if execution_id not in self._drive.slots and not found.state.status.is_terminal:
            raise LostOwnershipError(f"execution {execution_id} went to another server")
        return found

    def _held(self, slot: Slot, worker: str) -> list[CommandPayload]:
        """Return the commands that a worker holds of an execution."""
        state = slot.state
        found: list[CommandPayload] = []
        for out in self._owner.outstanding.get(state.execution_id, {}).values():
            command = state.command(out.row.command_id)
            if out.row.worker == worker and command is not None:
                found.append(payload_of(state, slot.plan, command))
        return found

    def _named(self, planned: Planned) -> Aliases:
        catalog_id = planned.entry.catalog_id
        found = self._documents.get(catalog_id)
        if found is None:
            found = self._documents[catalog_id] = aliases_of(planned.plan.playbook)
            while len(self._documents) > DOCUMENTS_MAX:
                self._documents.popitem(last=False)
        return found

    async def _is_in_data(self, request: CredentialRequest, works: list[CommandPayload]) -> bool:
        """Return whether secrets of it stand in what is performed, as marks with their proof.

        What another document's step yielded may hold them: a worker puts the secrets back.
        """
        alias = request.alias
        packed = [msgspec.json.encode(work) for work in works]
        found: dict[str, str] = {}
        for text in packed:
            if MARK_BYTES in text:
                found |= proofs(text.decode(), alias)
        if not found:
            return False
        try:
            opened = await self._credentials.credential(alias, request.execution_id, who=PROVING)
        except CredentialError:
            return False
        return proves(found, secret_fields(alias, opened.data).values())
