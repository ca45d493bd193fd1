"""Idempotency keys: a repeated request returns the first execution.

The key is stored in the commit that starts the execution, and fenced there, so it holds across
restarts and servers. Starts in progress on this server are tracked in memory, so that a concurrent
duplicate waits for the first.
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
    """Maps idempotency keys to executions."""

    def __init__(self, store: EventLog, clock: Clock, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._starting: dict[tuple[str, str], asyncio.Future[int]] = {}

    async def once(
        self, path: str, key: str, seconds: float | None, start: Starts
    ) -> tuple[int, bool]:
        """Start an execution, unless the key already has one for the same path.

        A key is stored only with a durable execution, so a failed start can be repeated.

        Returns:
            The execution, and whether it already existed.
        """
        at = self._clock.now_us()
        window = self._seconds if seconds is None else seconds
        start_key = StartKey(path, _digest(key), at, at + int(window * 1_000_000))
        named = start_key[:2]
        starting = self._starting.get(named)
        if starting is not None:
            return await asyncio.shield(starting), True
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._starting[named] = future
        try:
            result = await self._found_or_started(start_key, start)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else _cut_short())
            future.exception()
            raise
        finally:
            del self._starting[named]
        future.set_result(result[0])
        return result

    async def _found_or_started(self, key: StartKey, start: Starts) -> tuple[int, bool]:
        existing = await self._store.started_with(key.path, key.key, key.at)
        if existing is not None:
            return existing, True
        try:
            return await start(key), False
        except LostOwnershipError:
            existing = await self._store.started_with(key.path, key.key, key.at)
            if existing is None:
                raise
            return existing, True


def _digest(key: str) -> str:
    """Return the stored form of a key: short, and valid in any store."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _cut_short() -> Exception:
    return ApiError(503, "the first request with this key was interrupted; try again")
