"""Credentials by alias: sealed in the store, opened where a tool needs them.

Who gets which is noted before it is handed out: without the note there is no credential.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple, Protocol

from arcbook.clock import Clock
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.envelope import KeyProvider, SealError, seal, unseal
from arcbook.secrets.types import CredentialInvalidError, checked
from arcbook.store.api import CredentialRow
from arcbook.store.api import Credentials as CredentialStore
from arcbook.store.secret_audit import SecretAudit, SecretNote

ALIAS_CHARACTERS_MAX: Final = 200
"""Characters of an alias that the audit keeps of who may not ask for it."""


class Labels(NamedTuple):
    """Whose a credential is, or who asks for one."""

    tenant: str = ""
    organization: str = ""


NOBODYS: Final = Labels()


class WalletStore(CredentialStore, SecretAudit, Protocol):
    """What of a store credentials need."""


class CredentialBook:
    """The credentials of one store.

    Args:
        store: the store.
        keys: what seals them.
        clock: the time.
        who: who asks, where nobody says it.
    """

    def __init__(
        self, store: WalletStore, keys: KeyProvider, clock: Clock, *, who: str = ""
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._who = who

    async def add(  # the fields of a credential
        self,
        name: str,
        kind: str,
        data: dict[str, Any],
        *,
        description: str = "",
        tags: list[str] | None = None,
        who: str = "",
        labels: Labels = NOBODYS,
    ) -> CredentialRow:
        """Seal and store a credential, in place of one of the same name.

        Raises:
            CredentialInvalidError: it is not what its type needs.
            SealError: there is no key to seal it with.
        """
        if "\x00" in name:
            raise CredentialInvalidError(["the name of a credential has no character of value 0"])
        kind = checked(kind, data)
        if self._keys.blocks:
            sealed = await asyncio.to_thread(seal, name, data, self._keys)
        else:
            sealed = seal(name, data, self._keys)
        now = self._clock.now_us()
        row = CredentialRow(
            name=name,
            type=kind,
            sealed=sealed,
            description=description,
            tags=tags or [],
            created_at=now,
            updated_at=now,
            tenant=labels.tenant,
            organization=labels.organization,
        )
        await self._store.put_credential(row)
        await self._note("put", name, who, labels=labels)
        return row

    async def rows(self) -> list[CredentialRow]:
        """Return all credentials, sealed."""
        return await self._store.credentials()

    async def remove(self, name: str, *, who: str = "", labels: Labels = NOBODYS) -> bool:
        """Delete a credential; return whether there was one."""
        found = await self._store.delete_credential(name)
        if found:
            await self._note("delete", name, who, labels=labels)
        return found

    async def credential(
        self,
        alias: str,
        execution_id: int,
        *,
        who: str = "",
        action: str = "resolve",
        labels: Labels = NOBODYS,
    ) -> Credential:
        """Return a credential, opened.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """
        row = await self._store.credential(alias)
        if row is None:
            await self._note(action, alias, who, execution_id, "unknown", labels)
            raise CredentialError(
                alias, f"is not known: add it with 'arcbook credential add {alias}'"
            )
        try:
            if self._keys.blocks:
                data = await asyncio.to_thread(unseal, alias, row.sealed, self._keys)
            else:
                data = unseal(alias, row.sealed, self._keys)
        except SealError as error:
            await self._note(action, alias, who, execution_id, "unreadable", labels)
            raise CredentialError(alias, f"cannot be opened: {error}") from None
        await self._note(action, alias, who, execution_id, labels=labels)
        return Credential(name=alias, type=row.type, data=data)

    async def noted(self, alias: str, execution_id: int, *, who: str, outcome: str) -> None:
        """Note that somebody asked for a credential for an execution, and what came of it."""
        await self._note("resolve", alias[:ALIAS_CHARACTERS_MAX], who, execution_id, outcome)

    async def refused(self, alias: str, *, who: str, labels: Labels = NOBODYS) -> None:
        """Note that somebody asked for what is in a credential, and may not know it."""
        await self._note("read", alias, who, outcome="refused", labels=labels)

    async def _note(
        self,
        action: str,
        alias: str,
        who: str,
        execution_id: int = 0,
        outcome: str = "ok",
        labels: Labels = NOBODYS,
    ) -> None:
        await self._store.note_secret(
            SecretNote(
                at=self._clock.now_us(),
                who=who or self._who,
                action=action,
                alias=alias,
                execution_id=execution_id,
                outcome=outcome,
                tenant=labels.tenant,
                organization=labels.organization,
            )
        )
