"""Credentials by alias: sealed in the store, opened where a tool needs them."""

from __future__ import annotations

from typing import Any, Final

from arcbook.clock import Clock
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.envelope import KeyProvider, SealError, seal, unseal
from arcbook.secrets.types import FORMS, checked
from arcbook.store.api import CredentialRow
from arcbook.store.api import Credentials as CredentialStore

TYPES: Final = frozenset(FORMS)
"""Types of credentials that tools understand."""


class CredentialBook:
    """The credentials of one store."""

    def __init__(self, store: CredentialStore, keys: KeyProvider, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    async def add(  # the fields of a credential
        self,
        name: str,
        kind: str,
        data: dict[str, Any],
        *,
        description: str = "",
        tags: list[str] | None = None,
    ) -> CredentialRow:
        """Seal and store a credential, in place of one of the same name.

        Raises:
            CredentialInvalidError: it is not what its type needs.
            SealError: there is no key to seal it with.
        """
        kind = checked(kind, data)
        now = self._clock.now_us()
        row = CredentialRow(
            name=name,
            type=kind,
            sealed=seal(name, data, self._keys),
            description=description,
            tags=tags or [],
            created_at=now,
            updated_at=now,
        )
        await self._store.put_credential(row)
        return row

    async def rows(self) -> list[CredentialRow]:
        """Return all credentials, sealed."""
        return await self._store.credentials()

    async def remove(self, name: str) -> bool:
        """Delete a credential; return whether there was one."""
        return await self._store.delete_credential(name)

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential, opened.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """
        row = await self._store.credential(alias)
        if row is None:
            raise CredentialError(
                alias, f"is not known: add it with 'arcbook credential add {alias}'"
            )
        try:
            data = unseal(alias, row.sealed, self._keys)
        except SealError as error:
            raise CredentialError(alias, f"cannot be opened: {error}") from None
        return Credential(name=alias, type=row.type, data=data)
