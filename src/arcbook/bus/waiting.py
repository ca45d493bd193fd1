"""Waiting until something came, or for some time."""

from __future__ import annotations

import asyncio


class Waiting:
    """Those who wait for the same thing; all of them are woken at once."""

    def __init__(self) -> None:
        #: In the order in which they came.
        self._waiters: dict[asyncio.Future[None], None] = {}

    async def wait(self, seconds: float) -> None:
        """Wait until the next :meth:`wake`, at most for some seconds."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await waiter
        except TimeoutError:
            return
        finally:
            del self._waiters[waiter]

    def wake(self) -> None:
        """Let everybody go on who waits now."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
