"""Idempotency keys: a request that comes again gets the execution of the first.

Keys live in this server's memory. A retry that reaches another server, or comes after a
restart, starts a second execution.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from arcbook.clock import Clock
from arcbook.server.http.errors import ApiError

KEYS_MAX: Final = 100_000
"""Keys that are remembered; the oldest are forgotten first."""


class Dedup:
    """Remembers which execution a key stands for."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[str, tuple[int, asyncio.Future[int]]] = OrderedDict()

    async def once(
        self, key: str, seconds: float | None, start: Callable[[], Awaitable[int]]
    ) -> tuple[int, bool]:
        """Start an execution, unless the key stands for one.

        A key is only kept once its execution is durable: what fails may be tried again.

        Returns:
            The execution, and whether it was there before.
        """
        now = self._clock.monotonic_us()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return await asyncio.shield(known[1]), True
        window = self._seconds if seconds is None else seconds
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._known[key] = (now + int(window * 1_000_000), future)
        self._known.move_to_end(key)
        while len(self._known) > KEYS_MAX:
            self._known.popitem(last=False)
        try:
            execution_id = await start()
        except BaseException as error:
            self._known.pop(key, None)
            future.set_exception(error if isinstance(error, Exception) else _cut_short())
            future.exception()
            raise
        future.set_result(execution_id)
        return execution_id, False


def _cut_short() -> Exception:
    return ApiError(503, "the request that began this was cut short; try again")
