"""Idempotency keys: a request that comes again gets the execution of the first.

The key is stored in the commit that starts the execution, and fenced there: it holds
after a restart and over all servers. What this server starts at present it knows itself,
so that of two requests at once the second waits for the first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from arcbook.clock import Clock
from arcbook.owner.drive import LostOwnershipError
from arcbook.server.http.errors import ApiError
from arcbook.store.api import EventLog, StartKey

Starts = Callable[[StartKey], Awaitable[int]]


class Dedup:
    """Knows which execution a key stands for."""

    def __init__(self, store: EventLog, clock: Clock, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._starting: dict[tuple[str, str], asyncio.Future[int]] = {}

    async def once(
        self, path: str, key: str, seconds: float | None, start: Starts
    ) -> tuple[int, bool]:
        """Start an execution, unless the key stands for one of the same path.

        A key is only kept once its execution is durable: what fails may be tried again.

        Returns:
            The execution, and whether it was there before.
        """
        at = self._clock.now_us()
        window = self._seconds if seconds is None else seconds
        taken = StartKey(path, _digest(key), at, at + int(window * 1_000_000))
        named = taken[:2]
        starting = self._starting.get(named)
        if starting is not None:
            return await asyncio.shield(starting), True
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._starting[named] = future
        try:
            found = await self._found_or_started(taken, start)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else _cut_short())
            future.exception()
            raise
        finally:
            del self._starting[named]
        future.set_result(found[0])
        return found

    async def _found_or_started(self, key: StartKey, start: Starts) -> tuple[int, bool]:
        known = await self._store.started_with(key.path, key.key, key.at)
        if known is not None:
            return known, True
        try:
            return await start(key), False
        except LostOwnershipError:
            known = await self._store.started_with(key.path, key.key, key.at)
            if known is None:
                raise
            return known, True


def _digest(key: str) -> str:
    """Return a key as it is stored: short, and of characters that any store can hold."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _cut_short() -> Exception:
    return ApiError(503, "the request that began this was cut short; try again")
