"""A health check of the store: can it be written?"""

from __future__ import annotations

import asyncio
from typing import Final

from arcbook.server.core import Server
from arcbook.store.api import StoreError

FRESH_SECONDS: Final = 1.0
"""How long a result is reused, because anyone may request the health at any rate."""


class WriteProbe:
    """Writes a no-op, at a limited rate."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._asked_at: int | None = None
        self._error: StoreError | None = None
        self._asking = asyncio.Lock()

    async def written(self) -> None:
        """Return if the store accepts writes.

        Raises:
            StoreError: it does not.
        """
        async with self._asking:
            now = self._server.clock.monotonic_us()
            if self._asked_at is None or now - self._asked_at >= FRESH_SECONDS * 1_000_000:
                self._error = await self._tried()
                self._asked_at = self._server.clock.monotonic_us()
        if self._error is not None:
            raise self._error

    async def _tried(self) -> StoreError | None:
        store = self._server.store
        try:
            # An input for no execution, removed at once.
            await store.post(PROBE, b"")
            inputs = await store.take([PROBE])
            await store.drop([number for number, _, _ in inputs])
        except StoreError as error:
            return error
        return None


PROBE: Final = 0
"""The execution id of probes; no execution has it."""
