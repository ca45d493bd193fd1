"""The wallet: which key sealed which records, and rotation to another key."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from arcbook.secrets.envelope import KEY_BYTES, KeyProvider, SealError, key_of_record, rewrap
from arcbook.store.api import CredentialRow, Store

Found = TypeVar("Found")


class WalletStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a wallet."""

    provider: str
    #: The current key.
    key_id: str
    #: The number of records sealed by each key.
    records: dict[str, int]
    #: Records that cannot be opened with the available keys, by name, and why.
    unreadable: dict[str, str]


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a rotation."""

    key_id: str
    rewrapped: int
    #: Records already sealed by the current key.
    skipped: int
    #: Records replaced meanwhile; the next rotation covers them.
    changed: int
    #: Records that could not be opened, by name, and why. They are unchanged.
    failed: dict[str, str]


class Wallet:
    """The sealed records of a store, and their keys."""

    def __init__(self, store: Store, keys: KeyProvider) -> None:
        self._store = store
        self._keys = keys

    async def status(self) -> WalletStatus:
        """Return the content of the wallet; tries every record.

        Raises:
            SealError: there is no key.
        """
        key_id = await self._present()
        records: Counter[str] = Counter()
        unreadable: dict[str, str] = {}
        for row in await self._store.credentials():
            try:
                records[key_of_record(row.sealed)] += 1
                await self._run(partial(rewrap, row.sealed, self._keys))
            except SealError as error:
                unreadable[row.name] = str(error)
        return WalletStatus(
            provider=self._keys.provider,
            key_id=key_id,
            records=dict(sorted(records.items())),
            unreadable=unreadable,
        )

    async def rotate(self) -> Rotation:
        """Seal the data key of every record again with the current key.

        Raises:
            SealError: there is no key.
        """
        key_id = await self._present()
        counts: Counter[str] = Counter()
        failed: dict[str, str] = {}
        for row in await self._store.credentials():
            try:
                counts[await self._rotate(row, key_id)] += 1
            except SealError as error:
                failed[row.name] = str(error)
        return Rotation(
            key_id=key_id,
            rewrapped=counts["rewrapped"],
            skipped=counts["skipped"],
            changed=counts["changed"],
            failed=failed,
        )

    async def _rotate(self, row: CredentialRow, key_id: str) -> str:
        if key_of_record(row.sealed) == key_id:
            return "skipped"
        fresh = await self._run(partial(rewrap, row.sealed, self._keys))
        replaced = await self._store.replace_sealed(row.name, row.sealed, fresh)
        return "rewrapped" if replaced else "changed"

    async def _present(self) -> str:
        """Return the id of the current key; a key service reveals it only by sealing."""
        key_id, _ = await self._run(lambda: self._keys.seal_key(bytes(KEY_BYTES)))
        return key_id

    async def _run(self, work: Callable[[], Found]) -> Found:
        return await asyncio.to_thread(work) if self._keys.blocks else work()
