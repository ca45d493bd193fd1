"""Delivery of credentials, only to the worker that performs a command naming them."""

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
"""Documents whose credential names are cached."""

PROVING: Final = "the server, to look whether a mark is of it"
"""Reader recorded in the audit when a credential is decrypted to verify a mark."""

INTERNAL_CREDENTIAL: Final = "arcbook_internal"
"""Alias of the token of ``/api/internal``; only playbooks ``system/*`` get it."""

log = logging.getLogger(__name__)


class Credentials(Protocol):
    """Port: decrypts stored credentials and records each access."""

    async def credential(self, alias: str, execution_id: int, *, requester: str = "") -> Credential:
        """Return a credential, decrypted.

        Raises:
            CredentialError: it does not exist, or cannot be decrypted.
        """


class WithheldError(CredentialError):
    """The requester may not have this credential."""

    code = "credential_withheld"


class CredentialGuard:
    """Decides who gets a credential, for executions that a server owns.

    Args:
        drive: the drive loop of these executions.
        owner: the outstanding commands, and who holds them.
        rows: the stored credentials, and the audit.
        credentials: decrypts credentials.
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
        """Return a credential sealed for the requester alone, and record that in the audit.

        Raises:
            CredentialError: it does not exist, cannot be decrypted, or is withheld.
            SealError: the requester's public key is invalid.
            LostOwnershipError: the execution moved to another server.
            StoreError: the store does not answer.
        """
        reason = await self._reason(request)
        alias, execution_id = request.alias, request.execution_id
        requester = request.who or request.worker
        if reason:
            log.warning(
                logged.CREDENTIAL_REFUSED, {"who": requester, "alias": alias, "reason": reason}
            )
            await self._rows.note_secret(
                SecretNote(
                    at=self._clock.now_us(),
                    who=requester,
                    action="resolve",
                    alias=alias[:ALIAS_CHARACTERS_MAX].replace("\x00", "\ufffd"),
                    execution_id=execution_id,
                    outcome="refused",
                )
            )
            raise WithheldError(alias, f"is refused: {reason}")
        credential = await self._credentials.credential(alias, execution_id, requester=requester)
        return deliver(msgspec.json.encode(credential), request.public, request.bound)

    async def _reason(self, request: CredentialRequest) -> str:
        """Return why the requester may not have the credential; empty if it may."""
        slot = await self._slot(request.execution_id)
        works = self._held_payloads(slot, request.worker) if slot is not None else []
        if slot is None or not works:
            return f"worker {request.worker} holds no command of execution {request.execution_id}"
        row = await self._rows.credential(request.alias)
        labels = slot.state.labels
        if row is not None and row.tenant not in ("", labels.get("tenant", "")):
            return "it belongs to another tenant"
        if row is not None and row.organization not in ("", labels.get("organization", "")):
            return "it belongs to another organization"
        if request.alias == INTERNAL_CREDENTIAL and not request.is_own:
            return "it is only for workers that entered with the servers' own token"
        if self._named(slot.planned).names(request.alias, works):
            return ""
        if await self._is_in_data(request, works):
            return ""
        return f"the document {slot.state.path!r} does not name it"

    async def _slot(self, execution_id: int) -> Slot | None:
        """Return an execution with its stored commands; None if it does not exist."""
        try:
            if execution_id not in self._drive.slots:
                await self._drive.ask(execution_id, Settle())
        except (ExecutionMissingError, InvalidPlaybookError, PlaybookMissingError):
            return None
        slot = self._drive.slots.get(execution_id)
        if slot is None:  # ended executions are not kept in memory
            slot = await self._drive.load(execution_id)
        if execution_id not in self._drive.slots and not slot.state.status.is_terminal:
            raise LostOwnershipError(f"execution {execution_id} moved to another server")
        return slot

    def _held_payloads(self, slot: Slot, worker: str) -> list[CommandPayload]:
        """Return the commands of an execution that a worker holds."""
        state = slot.state
        payloads: list[CommandPayload] = []
        for out in self._owner.outstanding.get(state.execution_id, {}).values():
            command = state.command(out.row.command_id)
            if out.row.worker == worker and command is not None:
                payloads.append(payload_of(state, slot.plan, command))
        return payloads

    def _named(self, planned: Planned) -> Aliases:
        catalog_id = planned.entry.catalog_id
        aliases = self._documents.get(catalog_id)
        if aliases is None:
            aliases = self._documents[catalog_id] = aliases_of(planned.plan.playbook)
            while len(self._documents) > DOCUMENTS_MAX:
                self._documents.popitem(last=False)
        return aliases

    async def _is_in_data(self, request: CredentialRequest, works: list[CommandPayload]) -> bool:
        """Return whether the commands contain marks of the credential with a valid proof.

        Results of other documents may contain them; a worker puts the secrets back.
        """
        alias = request.alias
        packed = [msgspec.json.encode(work) for work in works]
        marks: dict[str, str] = {}
        for text in packed:
            if MARK_BYTES in text:
                marks |= proofs(text.decode(), alias)
        if not marks:
            return False
        try:
            opened = await self._credentials.credential(
                alias, request.execution_id, requester=PROVING
            )
        except CredentialError:
            return False
        return proves(marks, secret_fields(alias, opened.data).values())
