"""Credentials by alias: stored encrypted, decrypted where a tool needs them.

Each access is recorded before the credential is returned; if that fails, so does the access.
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
"""Characters of a refused requester's alias that the audit keeps."""


class Labels(NamedTuple):
    """The tenant and organization of a credential or of a requester."""

    tenant: str = ""
    organization: str = ""


NOBODYS: Final = Labels()


class WalletStore(CredentialStore, SecretAudit, Protocol):
    """Port: the part of a store that credentials need."""


class CredentialBook:
    """The credentials of one store.

    Args:
        store: the store.
        keys: the keys that encrypt credentials.
        clock: the source of time.
        requester: the requester recorded by default.
    """

    def __init__(
        self, store: WalletStore, keys: KeyProvider, clock: Clock, *, requester: str = ""
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._who = requester

    async def add(  # the fields of a credential
        self,
        name: str,
        kind: str,
        data: dict[str, Any],
        *,
        description: str = "",
        tags: list[str] | None = None,
        requester: str = "",
        labels: Labels = NOBODYS,
    ) -> CredentialRow:
        """Encrypt and store a credential; replace one of the same name.

        Raises:
            CredentialInvalidError: the fields do not match its type.
            SealError: there is no key.
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
        await self._note("put", name, requester, labels=labels)
        return row

    async def rows(self) -> list[CredentialRow]:
        """Return all credentials, still encrypted."""
        return await self._store.credentials()

    async def remove(self, name: str, *, requester: str = "", labels: Labels = NOBODYS) -> bool:
        """Delete a credential; return whether it existed."""
        existed = await self._store.delete_credential(name)
        if existed:
            await self._note("delete", name, requester, labels=labels)
        return existed

    async def credential(
        self,
        alias: str,
        execution_id: int,
        *,
        requester: str = "",
        action: str = "resolve",
        labels: Labels = NOBODYS,
    ) -> Credential:
        """Return a credential, decrypted.

        Raises:
            CredentialError: it does not exist, or cannot be decrypted.
        """
        row = await self._store.credential(alias)
        if row is None:
            await self._note(action, alias, requester, execution_id, "unknown", labels)
            raise CredentialError(
                alias, f"is not known: add it with 'arcbook credential add {alias}'"
            )
        try:
            if self._keys.blocks:
                data = await asyncio.to_thread(unseal, alias, row.sealed, self._keys)
            else:
                data = unseal(alias, row.sealed, self._keys)
        except SealError as error:
            await self._note(action, alias, requester, execution_id, "unreadable", labels)
            raise CredentialError(alias, f"cannot be opened: {error}") from None
        await self._note(action, alias, requester, execution_id, labels=labels)
        return Credential(name=alias, type=row.type, data=data)

    async def noted(self, alias: str, execution_id: int, *, requester: str, outcome: str) -> None:
        """Record a request for a credential by an execution, and its outcome."""
        await self._note("resolve", alias[:ALIAS_CHARACTERS_MAX], requester, execution_id, outcome)

    async def refused(self, alias: str, *, requester: str, labels: Labels = NOBODYS) -> None:
        """Record a refused request for the data of a credential."""
        await self._note("read", alias, requester, outcome="refused", labels=labels)

    async def _note(
        self,
        action: str,
        alias: str,
        requester: str,
        execution_id: int = 0,
        outcome: str = "ok",
        labels: Labels = NOBODYS,
    ) -> None:
        await self._store.note_secret(
            SecretNote(
                at=self._clock.now_us(),
                who=requester or self._who,
                action=action,
                alias=alias,
                execution_id=execution_id,
                outcome=outcome,
                tenant=labels.tenant,
                organization=labels.organization,
            )
        )
